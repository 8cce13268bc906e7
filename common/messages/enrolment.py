"""The files that coordinator and hospital exchange before a study: an invitation, a card, a proposal."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal, Self, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
    load_ssh_public_key,
)
from pydantic import Field, ValidationError, field_validator

from common.errors import PlanError, ProtocolError
from common.messages.handed_file import read_handed_file
from common.plan.study import Name, StudyPlan
from common.runtime.settings_file import Section, parse_toml
from common.runtime.storage import write_atomically
from common.secagg.crypto.keys import (
    decode_public_key,
    fingerprint,
    load_verifying_key,
    sign_message,
    verify_signature,
)
from common.secagg.wire.roster import Member, Roster, minimum_sites, read_card


class Handout(Section):
    """A file that one party gives to the other."""

    def fingerprint(self) -> str:
        """Eight groups of four letters and digits that both parties compare on the phone."""
        return fingerprint(hashlib.sha256(self.model_dump_json().encode()).digest())

    def save(self, path: Path) -> None:
        """Write the file.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        write_atomically(path, self.model_dump_json(indent=1).encode())


class Invitation(Handout):
    """What a hospital needs to take part. Nothing in it is secret; all of it must be genuine."""

    kind: Literal["rhe-invitation"] = "rhe-invitation"
    """Kind of this file."""
    version: Literal[1] = 1
    """Version of this file's format."""
    address: str = Field(pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$")
    """The coordinator's host and port."""
    authority: str
    """The study's certificate authority, PEM."""
    coordinator: str
    """The coordinator's Ed25519 public key, PEM; it signs every request."""
    signer: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Raw Ed25519 key, hexadecimal, of the authority that signs the roster, never the coordinator's; empty if
    no sum is hidden."""
    plan: str
    """The text of the study plan, TOML."""

    @field_validator("authority")
    @classmethod
    def _is_certificate(cls, text: str) -> str:
        x509.load_pem_x509_certificate(text.encode())
        return text

    @field_validator("coordinator")
    @classmethod
    def _is_ed25519(cls, text: str) -> str:
        try:
            _load_ed25519(text)
        except ProtocolError as failure:
            raise ValueError(f"is not an Ed25519 public key ({failure})") from None
        return text

    @field_validator("signer")
    @classmethod
    def _is_authority_key(cls, text: str) -> str:
        try:
            return decode_public_key(text).hex() if text else ""
        except ProtocolError as failure:
            raise ValueError(str(failure)) from None

    @field_validator("plan")
    @classmethod
    def _is_plan(cls, text: str) -> str:
        StudyPlan.model_validate(parse_toml(text))
        return text

    def study_plan(self) -> StudyPlan:
        """The plan, validated."""
        return StudyPlan.model_validate(parse_toml(self.plan))

    def coordinator_key(self) -> Ed25519PublicKey:
        """The coordinator's key.

        Raises
        ------
        ProtocolError
            If it is of another kind, or as `load_verifying_key`.
        """
        return _load_ed25519(self.coordinator)


class SiteCard(Handout):
    """What the coordinator needs to let a hospital in: its public key."""

    kind: Literal["rhe-site-card"] = "rhe-site-card"
    """Kind of this file."""
    version: Literal[1] = 1
    """Version of this file's format."""
    name: Name
    """The site's name in the plan."""
    plan_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of the plan in the invitation that the site received."""
    node_key: str
    """The public key with which the site's node authenticates, in OpenSSH's format, on a NIST curve."""
    identity: str = Field(default="", pattern=r"^([0-9a-f]{2})*$")
    """The site's card in the protocol that hides sums, signed by its own key, hexadecimal; empty if no sum is
    hidden."""
    signature: str = Field(default="", pattern=r"^([0-9a-f]{128})?$")
    """The site's signature of all of the above, by its identity's key, hexadecimal; empty if it has none."""

    @field_validator("node_key")
    @classmethod
    def _is_nist_curve(cls, text: str) -> str:
        try:
            key = load_ssh_public_key(text.encode())
        except UnsupportedAlgorithm:
            key = None
        if not isinstance(key, EllipticCurvePublicKey):
            raise ValueError("is not an ECDSA public key in OpenSSH's format")  # noqa: TRY004 - pydantic's
        return text

    def key_as_pem(self) -> bytes:
        """The node's public key in the form in which Flower registers it."""
        key = load_ssh_public_key(self.node_key.encode())
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, key: Ed25519PrivateKey) -> Self:
        """The card, signed by the key of its identity."""
        signature = sign_message(key, self.kind, self._encode_signed())
        return self.model_copy(update={"signature": signature.hex()})

    def fingerprint(self) -> str:
        """The same eight groups wherever the site is named: its card at both ends, a proposal, a roster.

        They are of the site's own key, which signed the card; of the card's content if no sum is hidden.

        Raises
        ------
        ProtocolError
            If the card is not signed by the key of its identity.
        """
        if not self.identity:
            return super().fingerprint()
        return self._read_identity().fingerprint

    def check(self, plan: StudyPlan) -> Self:
        """Refuse a card that does not belong to the plan; otherwise return it.

        Raises
        ------
        PlanError
            If the plan has no such site.
        ProtocolError
            If the site holds another plan.
        """
        plan.site(self.name)
        if plan.hides_sums:
            self.member(plan)
        if self.plan_hash != plan.digest():
            raise ProtocolError(
                f"site {self.name} was invited to plan {self.plan_hash[:12]}, this study's is "
                f"{plan.digest()[:12]} -> send it this study's invitation"
            )
        return self

    def member(self, plan: StudyPlan) -> Member:
        """The site's entry in the roster.

        Raises
        ------
        ProtocolError
            If the card holds no identity of this site that is signed by its own key, or is not signed by it.
        """
        member = self._read_identity()
        if (member.id, member.name) != (plan.number_of(self.name), self.name):
            raise ProtocolError(f"the card of {self.name} proves the identity of {member.name!r}")
        return member

    def _read_identity(self) -> Member:
        try:
            member = read_card(bytes.fromhex(self.identity))
        except ProtocolError as failure:
            raise self._say_unproved(str(failure)) from None
        signer, signature = decode_public_key(member.key), bytes.fromhex(self.signature)
        if not verify_signature(signer, self.kind, self._encode_signed(), signature):
            raise self._say_unproved("its content is not signed by the site's key")
        return member

    def _say_unproved(self, reason: str) -> ProtocolError:
        return ProtocolError(
            f"the card of {self.name} proves no identity ({reason}) -> let the site make it again with "
            "rhe-client init"
        )

    def _encode_signed(self) -> bytes:
        return self.model_copy(update={"signature": ""}).model_dump_json().encode()


class Proposal(Handout):
    """What the coordinator asks the authority to sign: the participants, by their own cards."""

    kind: Literal["rhe-roster-proposal"] = "rhe-roster-proposal"
    """Kind of this file."""
    version: Literal[1] = 1
    """Version of this file's format."""
    number: int = Field(ge=1)
    """Number of the roster; sites refuse a number below the one they approved."""
    plan: str
    """The text of the study plan, TOML."""
    coordinator: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The coordinator's raw Ed25519 public key, in hexadecimal."""
    cards: tuple[SiteCard, ...]
    """One card of each site of the plan."""

    def roster(self) -> Roster:
        """The roster that follows from the cards and the plan.

        Raises
        ------
        PlanError
            If the plan does not hide sums, or a card belongs to no site of it.
        ProtocolError
            If a site has no card, or a card does not prove its identity.
        """
        plan = StudyPlan.model_validate(parse_toml(self.plan))
        if not plan.hides_sums:
            raise PlanError("the plan hides no sum (privacy.secure, or one site alone) -> it needs no roster")
        missing = set(plan.site_names) - {card.name for card in self.cards}
        if missing:
            raise ProtocolError(f"these sites have sent no card: {', '.join(sorted(missing))}")
        members = tuple(card.check(plan).member(plan) for card in self.cards)
        return Roster(
            study=study_name(plan),
            version=self.number,
            plan=plan.digest(),
            minimum=minimum_sites(len(members), plan.privacy.colluders),
            colluders=plan.privacy.colluders,
            sites=tuple(sorted(members, key=lambda member: member.id)),
            coordinator=decode_public_key(self.coordinator).hex(),
        )


def study_name(plan: StudyPlan) -> str:
    """The study's name in messages of the protocol."""
    return f"rhe {plan.digest()[:16]}"


def _load_ed25519(text: str) -> Ed25519PublicKey:
    """The key in a PEM file.

    Raises
    ------
    ProtocolError
        If it is of another kind, or as `load_verifying_key`.
    """
    key = load_pem_public_key(text.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise ProtocolError("it is of another kind")
    return load_verifying_key(key.public_bytes_raw())


AnyHandout = TypeVar("AnyHandout", bound=Handout)


def load_handout(path: Path, kind: type[AnyHandout]) -> AnyHandout:
    """The invitation, card or proposal in a file.

    Raises
    ------
    ProtocolError
        If there is no such file, this user may not read it, or it is damaged or of another kind.
    """
    try:
        return kind.model_validate_json(read_handed_file(path))
    except ValidationError as failure:
        reasons = "; ".join(
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))
            for fault in failure.errors()[:3]
        )
        name = re.sub("(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
        raise ProtocolError(f"{path}: is not a whole {name} ({reasons}) -> ask for the file again") from None
