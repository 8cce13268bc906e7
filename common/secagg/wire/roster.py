"""Who takes part: identities, and the roster of them that the authority signs and every site approves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, StringConstraints

from common.errors import ProtocolError
from common.secagg.codes import SecAggError
from common.secagg.crypto.keys import decode_public_key, encode_public_key, fingerprint
from common.secagg.wire.frames import MessageKind, pack, unpack
from common.secagg.wire.messages import CanonicalDocument, Digest, Natural, PhaseName, SiteId, StudyName, read

SiteName = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,64}$")]
"""A site's name: 1 to 64 printable ASCII characters."""


class Member(CanonicalDocument):
    """One site: its number, its name and its identity's public key."""

    id: SiteId
    """Number of the site."""
    name: SiteName
    """Name of the site."""
    key: Digest
    """Raw public Ed25519 key, 64 hexadecimal digits."""

    @property
    def fingerprint(self) -> str:
        """Eight groups of four letters and digits to compare by telephone."""
        return fingerprint(decode_public_key(self.key))


class Roster(CanonicalDocument):
    """The sites of a study, and how many of them a sum must cover."""

    study: StudyName
    """Name of the study."""
    version: Natural
    """Grows with each roster of the study."""
    plan: Digest
    """SHA-256 of the plan."""
    minimum: Annotated[int, Field(ge=2)]
    """m: the smallest set that is summed."""
    colluders: Annotated[int, Field(ge=0)]
    """t: how many sites may collude with the coordinator without learning another's vector."""
    sites: Annotated[tuple[Member, ...], Field(min_length=2, max_length=512)]
    """2 to 512 sites."""
    coordinator: Digest
    """The coordinator's raw public Ed25519 key, 64 hexadecimal digits."""

    @property
    def digest(self) -> str:
        """SHA-256, 64 hexadecimal digits: messages name the roster by it, and operators compare it."""
        return hashlib.sha256(self.body()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Eight groups of four letters and digits to compare by telephone."""
        return fingerprint(bytes.fromhex(self.digest))

    def find_by_number(self, site: int) -> Member | None:
        """The site of this number, or None."""
        return next((member for member in self.sites if member.id == site), None)

    def find_by_name(self, name: str) -> Member:
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

    def find_key(self, site: int) -> bytes | None:
        """The raw public identity key of the site with this number, or None."""
        member = self.find_by_number(site)
        return None if member is None else decode_public_key(member.key)


class Card(CanonicalDocument):
    """What a site gives to the authority; its signature proves that the site holds the private key."""

    id: SiteId
    """Number of the site."""
    name: SiteName
    """Name of the site."""
    key: Digest
    """Raw public Ed25519 key, 64 hexadecimal digits."""


class Waiver(CanonicalDocument):
    """The authority's consent to what the release rules forbid; each site must approve it, too."""

    study: StudyName
    """Name of the study."""
    roster: Digest
    """SHA-256 of the roster."""
    kind: Literal["absent", "snapshot", "restored"]
    """"absent": the named sites may be missing from the sums of the phase and come back to them.
    "snapshot": a static statistic may be released once more. "restored": a site may go on that was burned, or
    that stopped because it found a sum false."""
    phase: PhaseName
    """The phase in which sites may be absent; "any" in other waivers."""
    absent: tuple[SiteId, ...]
    """Numbers of the sites that may be absent; none in other waivers."""
    definition: Digest
    """SHA-256 of the definition of the static statistic; `NO_DIGEST` in other waivers."""
    site: Annotated[int, Field(ge=0)]
    """Number of the site that may go on; 0 in other waivers."""
    number: Natural
    """Serial number, so that each consent is given once."""


@dataclass(frozen=True)
class Pin:
    """What a site has pinned, and a roster must agree with.

    Attributes
    ----------
    authority : bytes
        Raw public Ed25519 key, 32 bytes, compared by telephone at enrolment.
    study : str
        Name of the study.
    plan : str
        SHA-256 of the plan that the site approved.
    site : int
        The site's own number.
    public : bytes
        The site's own raw public key, 32 bytes.
    minimum : int
        The number of sites in the smallest set that the site agrees to.
    version : int
        Version of the roster that the site approved last; -1 if none.
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
    """A party's long-term key, and its number in the roster.

    Attributes
    ----------
    key : Ed25519PrivateKey
        Signs all that the party says; never leaves it.
    site : int
        The site's number in the roster.
    """

    key: Ed25519PrivateKey
    site: int

    @cached_property
    def public(self) -> bytes:
        """The raw public key, 32 bytes."""
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
    """A site's card, signed with its own key."""
    card = Card(id=identity.site, name=name, key=encode_public_key(identity.public))
    return pack(MessageKind.CARD, card.body(), identity.key)


def read_card(message: bytes) -> Member:
    """The site that a card describes.

    Raises
    ------
    ProtocolError
        If the card is malformed, or not signed by the key on it.
    """
    frame = unpack(message)
    card = read(frame, MessageKind.CARD, Card)
    if not frame.is_signed_by(decode_public_key(card.key)):
        raise ProtocolError("a card is not signed by its own key")
    return Member(id=card.id, name=card.name, key=card.key)


def sign_roster(roster: Roster, authority: Ed25519PrivateKey) -> bytes:
    """The signed roster as every site and the coordinator receive it."""
    return pack(MessageKind.ROSTER, roster.body(), authority)


def sign_waiver(waiver: Waiver, authority: Ed25519PrivateKey) -> bytes:
    """The signed waiver as every site receives it."""
    return pack(MessageKind.WAIVER, waiver.body(), authority)


def read_roster(message: bytes, authority: bytes) -> Roster:
    """The roster that the authority signed, once it is found consistent.

    Raises
    ------
    SecAggError
        E_ROSTER_SIG if somebody else signed it; E_DUP_KEY if two parties share a number, name or key;
        E_MIN if its minimum is below the formula, or above its number of sites.
    ProtocolError
        If it is malformed, or a key on it is none that may be trusted.
    """
    frame = unpack(message)
    if not frame.is_signed_by(authority):
        raise SecAggError("the authority did not sign the roster", code="E_ROSTER_SIG")
    roster = read(frame, MessageKind.ROSTER, Roster)
    for parts in (
        [site.id for site in roster.sites],
        [site.name for site in roster.sites],
        [roster.coordinator, *(site.key for site in roster.sites)],
    ):
        if len(set(parts)) != len(parts):
            raise SecAggError("two parties of the roster share a number, name or key", code="E_DUP_KEY")
    for key in (roster.coordinator, *(site.key for site in roster.sites)):
        decode_public_key(key)
    _check_minimum(roster)
    return roster


def check_roster(message: bytes, pin: Pin) -> Roster:
    """The roster, once a site has made sure that it may approve it.

    Raises
    ------
    SecAggError
        As `read_roster`; E_PLAN if it is of another study or plan; E_SELF_KEY if the site's own key is not
        in it; E_ROSTER_OLD if an equal or later version was approved; E_MIN if its minimum is below the
        site's own.
    ProtocolError
        If it is malformed.
    """
    roster = read_roster(message, pin.authority)
    if (roster.study, roster.plan) != (pin.study, pin.plan):
        raise SecAggError("the roster is of another study or plan", code="E_PLAN")
    if roster.find_key(pin.site) != pin.public:
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
    ProtocolError
        If it is malformed.
    """
    frame = unpack(message)
    if not frame.is_signed_by(authority):
        raise SecAggError("the authority did not sign the waiver", code="E_ROSTER_SIG")
    waiver = read(frame, MessageKind.WAIVER, Waiver)
    if (waiver.study, waiver.roster) != (roster.study, roster.digest):
        raise SecAggError("the waiver is of another study or roster", code="E_CONTEXT")
    return waiver


def _check_minimum(roster: Roster) -> None:
    sites = len(roster.sites)
    if not minimum_sites(sites, roster.colluders) <= roster.minimum <= sites:
        raise SecAggError("the roster's minimum is below the formula, or above its sites", code="E_MIN")
