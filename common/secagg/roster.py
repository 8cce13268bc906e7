"""Who takes part: identities, and the list of them that the authority signs and every site approves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, StringConstraints

from common.errors import ProtocolError
from common.secagg.errors import SecAggError
from common.secagg.keys import fingerprint, public_bytes, public_hex
from common.secagg.messages import Count, Digest, Header, Phase, SiteId, Study, read
from common.secagg.wire import Kind, pack, unpack

SiteName = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,64}$")]


class Member(Header):
    """One site: its number, its name and its identity's public key."""

    id: SiteId
    name: SiteName
    key: Digest


class Roster(Header):
    """The sites of a study, and how many of them a sum must cover."""

    study: Study
    version: Count
    plan: Digest
    minimum: Annotated[int, Field(ge=2)]
    """m: the smallest set that is summed."""
    colluders: Annotated[int, Field(ge=0)]
    """t: how many sites may collude with the coordinator without learning another's vector."""
    sites: Annotated[tuple[Member, ...], Field(min_length=2, max_length=512)]
    coordinator: Digest

    @property
    def digest(self) -> str:
        """What messages name it by, and operators compare: 64 hexadecimal digits."""
        return hashlib.sha256(self.body()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Eight groups of four letters and digits for the telephone."""
        return fingerprint(bytes.fromhex(self.digest))

    def member(self, site: int) -> Member | None:
        """The site of this number, or None."""
        return next((member for member in self.sites if member.id == site), None)

    def named(self, name: str) -> Member:
        """The site of this name.

        Raises
        ------
        ProtocolError
            If there is none.
        """
        for member in self.sites:
            if member.name == name:
                return member
        raise ProtocolError(f"the roster has no site {name!r}")

    def public(self, site: int) -> bytes | None:
        """The raw identity key of this site, or None."""
        member = self.member(site)
        return None if member is None else public_bytes(member.key)


class Card(Header):
    """What a site hands the authority; its signature proves that the site has the private key."""

    id: SiteId
    name: SiteName
    key: Digest


class Waiver(Header):
    """The authority's consent to what the release rules forbid; every site approves it for itself."""

    study: Study
    roster: Digest
    kind: Literal["absent", "snapshot", "restored"]
    """"absent": the sites named may be missing from, and come back to, the sums of the phase.
    "snapshot": a static statistic may be released once more. "restored": a burnt site may go on."""
    phase: Phase
    """In which sites may be absent; "any" in other waivers."""
    absent: tuple[SiteId, ...]
    definition: Digest
    """Of the static statistic; zeros otherwise."""
    site: Annotated[int, Field(ge=0)]
    """Which burnt site; 0 otherwise."""
    number: Count
    """Serial, so that each consent is given once."""


@dataclass(frozen=True)
class Pin:
    """What a site knows for itself, whatever a roster says.

    Attributes
    ----------
    authority : bytes
        Raw Ed25519 key, compared by telephone at enrolment.
    study : str
    plan : str
        Digest of the plan that the site approved.
    site : int
        The site's own number.
    public : bytes
        Its own raw key.
    minimum : int
        The smallest set that the site agrees to.
    version : int
        Of the roster that it approved last; -1 if none.
    """

    authority: bytes
    study: str
    plan: str
    site: int
    public: bytes
    minimum: int = 2
    version: int = -1


@dataclass(frozen=True)
class Identity:
    """A party's long-term key, and its number in the roster."""

    key: Ed25519PrivateKey
    site: int

    @cached_property
    def public(self) -> bytes:
        """Raw, 32 bytes."""
        return self.key.public_key().public_bytes_raw()


def minimum_sites(sites: int, colluders: int) -> int:
    """m: t + 2 leaves two honest inputs in every sum, a majority of the honest prevents two disjoint sums.

    Examples
    --------
    >>> [minimum_sites(k, t) for k, t in [(2, 0), (3, 1), (5, 1), (20, 3), (50, 10)]]
    [2, 3, 4, 12, 31]
    """
    return max(2, colluders + 2, (sites + colluders) // 2 + 1)


def make_card(identity: Identity, name: str) -> bytes:
    """A site's card, signed by itself."""
    card = Card(id=identity.site, name=name, key=public_hex(identity.public))
    return pack(Kind.CARD, card.body(), identity.key)


def read_card(message: bytes) -> Member:
    """The site that the card is of.

    Raises
    ------
    ProtocolError
        If it is malformed, or not signed by the key on it.
    """
    frame = unpack(message)
    card = read(frame, Kind.CARD, Card)
    if not frame.is_signed_by(public_bytes(card.key)):
        raise ProtocolError("a card is not signed by its own key")
    return Member(id=card.id, name=card.name, key=card.key)


def sign_roster(roster: Roster, authority: Ed25519PrivateKey) -> bytes:
    """The roster as it is handed to every site and to the coordinator."""
    return pack(Kind.ROSTER, roster.body(), authority)


def sign_waiver(waiver: Waiver, authority: Ed25519PrivateKey) -> bytes:
    """The waiver as it is handed to every site."""
    return pack(Kind.WAIVER, waiver.body(), authority)


def read_roster(message: bytes, authority: bytes) -> Roster:
    """The roster that the authority signed, consistent in itself.

    Raises
    ------
    SecAggError
        E_ROSTER_SIG if somebody else signed it; E_DUP_KEY if two parties share a number, name or key;
        E_MIN if its minimum is below the formula.
    """
    frame = unpack(message)
    if not frame.is_signed_by(authority):
        raise SecAggError("the authority did not sign the roster", code="E_ROSTER_SIG")
    roster = read(frame, Kind.ROSTER, Roster)
    for parts in (
        [site.id for site in roster.sites],
        [site.name for site in roster.sites],
        [roster.coordinator, *(site.key for site in roster.sites)],
    ):
        if len(set(parts)) != len(parts):
            raise SecAggError("two parties of the roster share a number, name or key", code="E_DUP_KEY")
    _check_minimum(roster)
    return roster


def check_roster(message: bytes, pin: Pin) -> Roster:
    """The roster, if a site may approve it.

    Raises
    ------
    SecAggError
        As `read_roster`; E_PLAN if it is of another study or plan; E_SELF_KEY if the site's own key is not
        in it; E_ROSTER_OLD if an equal or later version was approved; E_MIN below the site's own minimum.
    """
    roster = read_roster(message, pin.authority)
    if (roster.study, roster.plan) != (pin.study, pin.plan):
        raise SecAggError("the roster is of another study or plan", code="E_PLAN")
    if roster.public(pin.site) != pin.public:
        raise SecAggError("the roster has another key for this site", code="E_SELF_KEY")
    if roster.version <= pin.version:
        raise SecAggError("a later version of the roster was approved", code="E_ROSTER_OLD")
    if roster.minimum < pin.minimum:
        raise SecAggError("the roster's minimum is below this site's own", code="E_MIN")
    return roster


def read_waiver(message: bytes, authority: bytes, roster: Roster) -> Waiver:
    """The waiver that the authority signed.

    Raises
    ------
    SecAggError
        E_ROSTER_SIG if somebody else signed it; E_CONTEXT if it is of another study or roster.
    """
    frame = unpack(message)
    if not frame.is_signed_by(authority):
        raise SecAggError("the authority did not sign the waiver", code="E_ROSTER_SIG")
    waiver = read(frame, Kind.WAIVER, Waiver)
    if (waiver.study, waiver.roster) != (roster.study, roster.digest):
        raise SecAggError("the waiver is of another study or roster", code="E_CONTEXT")
    return waiver


def _check_minimum(roster: Roster) -> None:
    sites = len(roster.sites)
    if not minimum_sites(sites, roster.colluders) <= roster.minimum <= sites:
        raise SecAggError("the roster's minimum is below the formula, or above its sites", code="E_MIN")
