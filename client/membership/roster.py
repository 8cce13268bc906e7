"""Who takes part in the protocol that hides sums: the roster that this hospital approves, and its waivers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from client.membership.identity import read_identity
from client.membership.membership import Approval, Membership
from client.membership.own_secret import decide_secret
from client.membership.party import HidingParty
from client.membership.policy import check_plan, check_roster_policy, check_waiver_policy
from common.errors import PolicyError
from common.messages.enrolment import study_name
from common.messages.handed_file import name_in_faults, read_handed_file
from common.plan.study import StudyPlan
from common.runtime.storage import write_atomically
from common.secagg.site.endpoint import approve_waiver
from common.secagg.site.files import AuditLog, SiteFiles
from common.secagg.wire.roster import Identity, Pin, Roster, Waiver, check_roster, read_waiver


def approve_plan(member: Membership, roster: Path | None = None, *, has_begun: bool = False) -> None:
    """Record the hospital's consent to the pinned plan, and to who takes part.

    Parameters
    ----------
    member : Membership
    roster : Path, optional
        The file that the authority signed; needed once, where the plan hides sums.
    has_begun : bool
        Whether numbers have left under the plan: the site's lots are drawn then, and stay as they are.

    Raises
    ------
    PolicyError
        If site.toml does not allow what the plan asks, or a roster is missing.
    SecAggError
        If the roster may not be approved.
    SiteError
        If the site's secret, or the marker of simulated patients, cannot be read.
    """
    plan = member.invitation.study_plan()
    check_plan(member.settings, member.folder, plan)
    offered = read_offered_roster(member, roster)
    secret, version = decide_secret(member, plan, has_begun=has_begun), -1
    if offered is not None:
        version = offered[0].version
        write_atomically(member.roster_file, offered[1], private=True)
    approval = Approval(
        plan_hash=plan.digest(),
        approved_at=datetime.now(UTC),
        roster=version,
        secret=secret,
    )
    member.record_approval(approval)


def read_offered_roster(member: Membership, path: Path | None) -> tuple[Roster, bytes] | None:
    """The roster in a file, or the one approved before, with its signed bytes; None if the plan hides no sum.

    Raises
    ------
    PolicyError
        If the plan needs a roster and there is none, or it opens sums of fewer sites than site.toml asks for.
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
    source = path or member.roster_file
    message = read_handed_file(source)
    pin = _make_pin(member, plan)
    if member.roster_file.exists() and message == read_handed_file(member.roster_file):
        pin = replace(pin, version=-1)
    with name_in_faults(source, "roster that an authority signed, study.roster"):
        roster = check_roster(message, pin)
    check_roster_policy(member.settings, plan, roster)
    return roster, message


def read_approved_roster(member: Membership) -> Roster:
    """The roster that the hospital approved.

    Raises
    ------
    PolicyError
        If it approved none, or no plan, or the roster opens sums of fewer sites than site.toml asks for.
    SecAggError
        If the file is not the one that was approved.
    """
    plan = member.read_approved_plan()
    if member.approval is None or member.approval.roster < 0:
        raise PolicyError(f"no roster is approved -> rhe-client approve {member.folder} --roster FILE")
    pin = replace(_make_pin(member, plan), version=member.approval.roster - 1)
    roster = check_roster(read_handed_file(member.roster_file), pin)
    check_roster_policy(member.settings, plan, roster)
    return roster


def read_offered_waiver(member: Membership, path: Path) -> tuple[Waiver, Roster, bytes]:
    """The waiver in a file, the roster that it is of, and its signed bytes.

    Parameters
    ----------
    member : Membership
    path : Path
        The file that the authority signed.

    Raises
    ------
    SecAggError
        If it is not the authority's for this study and roster.
    ProtocolError
        If it cannot be read.
    PolicyError
        If it leaves fewer sites in a sum than site.toml asks for.
    """
    plan, message = member.read_approved_plan(), read_handed_file(path)
    roster = read_approved_roster(member)
    with name_in_faults(path, "waiver that an authority signed, study.waiver"):
        waiver = read_waiver(message, bytes.fromhex(member.invitation.signer), roster)
    check_waiver_policy(member.settings, plan, waiver)
    return waiver, roster, message


def take_waiver(member: Membership, message: bytes, audit: AuditLog) -> None:
    """Accept the authority's waiver at this site.

    Parameters
    ----------
    member : Membership
    message : bytes
        As `read_offered_waiver` read it.
    audit : AuditLog
        The site's log, which says so.

    Raises
    ------
    SecAggError
        If it is not the authority's for this study, roster and site.
    """
    files = SiteFiles(member.protocol_files, audit=audit)
    approve_waiver(files, message, _make_pin(member, member.read_approved_plan()))


def make_hiding_party(member: Membership) -> HidingParty | None:
    """The site's key, roster and files in the protocol; None if the plan hides no sum.

    Raises
    ------
    PolicyError
        If it approved no roster, or no plan.
    SecAggError
        If the file is not the one that was approved.
    """
    plan = member.read_approved_plan()
    if not plan.hides_sums:
        return None
    read_approved_roster(member)
    signer = bytes.fromhex(member.invitation.signer)
    return HidingParty(
        _read_identity(member, plan), signer, read_handed_file(member.roster_file), member.protocol_files
    )


def _make_pin(member: Membership, plan: StudyPlan) -> Pin:
    identity = _read_identity(member, plan)
    approved = member.approval
    return Pin(
        authority=bytes.fromhex(member.invitation.signer),
        study=study_name(plan),
        plan=plan.digest(),
        site=identity.site,
        public=identity.public,
        version=-1 if approved is None else approved.roster,
    )


def _read_identity(member: Membership, plan: StudyPlan) -> Identity:
    return read_identity(member.identity_key, plan.number_of(member.settings.name))
