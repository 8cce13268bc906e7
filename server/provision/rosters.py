"""The coordinator's side of the roster: it proposes who takes part, and the authority signs."""

from __future__ import annotations

from pathlib import Path

from common.errors import PlanError
from common.messages.enrolment import Invitation, Proposal, load_handout
from common.messages.handed_file import name_in_faults, read_handed_file
from common.runtime.storage import write_atomically
from common.secagg.wire.roster import Roster, Waiver, read_roster, read_waiver
from server.provision.office import Office


def propose_roster(office: Office, path: Path) -> Proposal:
    """Write the proposal that the authority is asked to sign, and return it.

    Raises
    ------
    PlanError
        If the plan hides no sum.
    ProtocolError
        If a site has not sent its card.
    StorageError
        If it cannot be written.
    """
    earlier = load_roster(office).version if office.roster_file.exists() else 0
    proposal = Proposal(
        number=earlier + 1,
        plan=(office.folder / "study.toml").read_text(encoding="utf-8"),
        coordinator=office.load_key().public_key().public_bytes_raw().hex(),
        cards=office.load_cards(),
    )
    proposal.roster()
    proposal.save(path)
    return proposal


def install_roster(office: Office, path: Path) -> Roster:
    """Check a signed roster, store it in the coordinator's folder, and return it.

    Raises
    ------
    SecAggError
        If the invitation's authority did not sign it.
    PlanError
        If it belongs to another plan or coordinator.
    ProtocolError
        If the file cannot be read.
    """
    message = read_handed_file(path)
    with name_in_faults(path, "roster that an authority signed, study.roster"):
        roster = _check_roster(office, message)
    write_atomically(office.roster_file, message)
    return roster


def load_roster(office: Office) -> Roster:
    """The roster under which sums are hidden.

    Raises
    ------
    SecAggError
        If the invitation's authority did not sign it.
    PlanError
        If the folder has none, or it belongs to another plan or coordinator.
    """
    if not office.roster_file.exists():
        raise PlanError(
            f"{office.folder} has no signed roster -> rhe-server roster {office.folder}, let the authority "
            "sign it, then rhe-server roster --signed FILE"
        )
    return _check_roster(office, office.roster_file.read_bytes())


def install_waiver(office: Office, path: Path) -> Waiver:
    """Check a signed waiver, store it in the coordinator's folder, and return it.

    Raises
    ------
    SecAggError
        If the authority did not sign it for this roster.
    ProtocolError
        If the file cannot be read.
    """
    message, roster = read_handed_file(path), load_roster(office)
    with name_in_faults(path, "waiver that an authority signed, study.waiver"):
        waiver = read_waiver(message, _read_signer(office), roster)
    write_atomically(office.folder / "waivers" / f"{waiver.number}.waiver", message)
    return waiver


def load_waived_absences(office: Office) -> dict[str, frozenset[int]]:
    """By phase, the numbers of the sites that may be missing from its sums; raises as `install_waiver`."""
    absences: dict[str, frozenset[int]] = {}
    for path in sorted((office.folder / "waivers").glob("*.waiver")):
        waiver = read_waiver(path.read_bytes(), _read_signer(office), load_roster(office))
        absences[waiver.phase] = absences.get(waiver.phase, frozenset()) | set(waiver.absent)
    return absences


def _read_signer(office: Office) -> bytes:
    return bytes.fromhex(load_handout(office.invitation, Invitation).signer)


def _check_roster(office: Office, message: bytes) -> Roster:
    roster = read_roster(message, _read_signer(office))
    expected = (office.plan.digest(), office.load_key().public_key().public_bytes_raw().hex())
    if (roster.plan, roster.coordinator) != expected:
        raise PlanError("the roster is of another plan or coordinator -> let the authority sign this one's")
    return roster
