"""The coordinator's side of the roster: it proposes who takes part, and the authority signs."""

from __future__ import annotations

from pathlib import Path

from common.enrolment import Invitation, Proposal, load_handout
from common.errors import PlanError, ProtocolError
from common.secagg.roster import Roster, Waiver, read_roster, read_waiver
from common.storage import write_atomically
from server.provision.office import Office


def propose_roster(office: Office, path: Path) -> Proposal:
    """Writes what the authority is asked to sign.

    Raises
    ------
    PlanError
        If the plan hides no sum.
    ProtocolError
        If a site has sent no card.
    StorageError
        If it cannot be written.
    """
    earlier = signed_roster(office).version if office.roster_file.exists() else 0
    proposal = Proposal(
        number=earlier + 1,
        plan=(office.folder / "study.toml").read_text(encoding="utf-8"),
        coordinator=office.key().public_key().public_bytes_raw().hex(),
        cards=office.cards(),
    )
    proposal.roster()
    proposal.save(path)
    return proposal


def install_roster(office: Office, path: Path) -> Roster:
    """Takes a signed roster in.

    Raises
    ------
    SecAggError
        If the invitation's authority did not sign it.
    PlanError
        If it is of another study, plan or coordinator.
    ProtocolError
        If the file cannot be read.
    """
    try:
        message = path.read_bytes()
    except OSError as failure:
        raise ProtocolError(f"{path}: cannot be read ({failure.strerror})") from None
    roster = _checked(office, message)
    write_atomically(office.roster_file, message)
    return roster


def signed_roster(office: Office) -> Roster:
    """The roster under which sums are hidden; raises as `install_roster`."""
    if not office.roster_file.exists():
        raise PlanError(
            f"{office.folder} has no signed roster -> rhe-server roster {office.folder}, let the authority "
            "sign it, then rhe-server roster --signed FILE"
        )
    return _checked(office, office.roster_file.read_bytes())


def install_waiver(office: Office, path: Path) -> Waiver:
    """Takes a signed waiver in.

    Raises
    ------
    SecAggError
        If the authority did not sign it for this roster.
    ProtocolError
        If the file cannot be read.
    """
    try:
        message = path.read_bytes()
    except OSError as failure:
        raise ProtocolError(f"{path}: cannot be read ({failure.strerror})") from None
    waiver = read_waiver(message, _signer(office), signed_roster(office))
    write_atomically(office.folder / "waivers" / f"{waiver.number}.waiver", message)
    return waiver


def waived_absences(office: Office) -> dict[str, frozenset[int]]:
    """By phase, the numbers of the sites that may be missing from its sums; raises as `install_waiver`."""
    found: dict[str, frozenset[int]] = {}
    for path in sorted((office.folder / "waivers").glob("*.waiver")):
        waiver = read_waiver(path.read_bytes(), _signer(office), signed_roster(office))
        found[waiver.phase] = found.get(waiver.phase, frozenset()) | set(waiver.absent)
    return found


def _signer(office: Office) -> bytes:
    return bytes.fromhex(load_handout(office.invitation, Invitation).signer)


def _checked(office: Office, message: bytes) -> Roster:
    roster = read_roster(message, _signer(office))
    own = (office.plan.digest(), office.key().public_key().public_bytes_raw().hex())
    if (roster.plan, roster.coordinator) != own:
        raise PlanError("the roster is of another plan or coordinator -> let the authority sign this one's")
    return roster
