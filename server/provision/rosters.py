"""The coordinator's side of the roster: it proposes who takes part, and the authority signs."""

from __future__ import annotations

from pathlib import Path

from common.enrolment import Invitation, Proposal, load_handout
from common.errors import PlanError, ProtocolError
from common.secagg.roster import Roster, read_roster
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


def _checked(office: Office, message: bytes) -> Roster:
    signer = load_handout(office.invitation, Invitation).signer
    roster = read_roster(message, bytes.fromhex(signer))
    own = (office.plan.digest(), office.key().public_key().public_bytes_raw().hex())
    if (roster.plan, roster.coordinator) != own:
        raise PlanError("the roster is of another plan or coordinator -> let the authority sign this one's")
    return roster
