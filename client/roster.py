"""Who takes part in the protocol that hides sums, as this hospital sees it: its own key, and a list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from client.party import HidingParty
from common.enrolment import study_name
from common.errors import PolicyError, ProtocolError, SiteError
from common.secagg.files import SiteFiles
from common.secagg.roster import Identity, Pin, Roster, check_roster
from common.secagg.site import approve_waiver
from common.study import StudyPlan

if TYPE_CHECKING:
    from client.membership import Membership


def identity_of(member: Membership, plan: StudyPlan) -> Identity:
    """The site's key and its number in the roster.

    Raises
    ------
    SiteError
        If the key cannot be read.
    """
    return Identity(_load(member.identity_key), plan.number_of(member.settings.name))


def offered_roster(member: Membership, path: Path | None) -> tuple[Roster, bytes] | None:
    """The roster in a file, or the one that was approved before; None where the plan hides no sum.

    Raises
    ------
    PolicyError
        If the plan needs a roster and there is none.
    SecAggError
        If the authority did not sign it, or it contradicts what the site has pinned.
    ProtocolError
        If the file is damaged.
    """
    plan = member.invitation.study_plan()
    if not plan.hides_sums:
        return None
    if path is None and not member.roster_file.exists():
        raise PolicyError(
            "the plan hides sums among sites, and no roster says who they are -> ask the coordinator for "
            "the signed roster: rhe-client approve --roster FILE"
        )
    message = _contents(path or member.roster_file)
    pin = _pin(member, plan)
    if member.roster_file.exists() and message == _contents(member.roster_file):
        pin = replace(pin, version=-1)
    return check_roster(message, pin), message


def approved_roster(member: Membership) -> Roster:
    """The roster that the hospital approved.

    Raises
    ------
    PolicyError
        If it approved none.
    SecAggError
        If the file is not the one that was approved.
    """
    plan = member.approved_plan()
    if member.approval is None or member.approval.roster < 0:
        raise PolicyError(f"no roster is approved -> rhe-client approve {member.folder} --roster FILE")
    pin = replace(_pin(member, plan), version=member.approval.roster - 1)
    return check_roster(_contents(member.roster_file), pin)


def take_waiver(member: Membership, path: Path) -> None:
    """Lets the authority's waiver hold at this site.

    Raises
    ------
    SecAggError
        If it is not the authority's for this study, roster and site.
    ProtocolError
        If it cannot be read.
    """
    plan = member.approved_plan()
    approve_waiver(SiteFiles(member.protocol_files), _contents(path), _pin(member, plan))


def hiding_party(member: Membership) -> HidingParty | None:
    """Who the site is in the protocol; None where the plan hides no sum.

    Raises
    ------
    PolicyError
        If it approved no roster.
    SecAggError
        If the file is not the one that was approved.
    """
    plan = member.approved_plan()
    if not plan.hides_sums:
        return None
    approved_roster(member)
    signer = bytes.fromhex(member.invitation.signer)
    return HidingParty(
        identity_of(member, plan), signer, _contents(member.roster_file), member.protocol_files
    )


def new_identity() -> bytes:
    """A fresh private key, PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _pin(member: Membership, plan: StudyPlan) -> Pin:
    identity = identity_of(member, plan)
    approved = member.approval
    return Pin(
        authority=bytes.fromhex(member.invitation.signer),
        study=study_name(plan),
        plan=plan.digest(),
        site=identity.site,
        public=identity.public,
        version=-1 if approved is None else approved.roster,
    )


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as failure:
        raise SiteError(f"{path}: the site's identity cannot be read ({failure})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SiteError(f"{path}: is not an Ed25519 key -> restore the file from its backup")
    return key


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise ProtocolError(f"{path}: cannot be read ({failure.strerror})") from None
