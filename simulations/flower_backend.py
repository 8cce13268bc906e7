"""A whole study over real Flower processes on this machine, by the coordinator's and hospitals' commands."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from client.membership import Membership
from client.supervise import LOOPBACK, free_port
from common.errors import RheError, SiteError
from common.processes import Child, start, stop
from common.storage import exclusive, write_atomically
from common.study import load_plan
from server.job import Outcome
from server.provision.office import open_office
from server.run import StudyRun
from server.superlink import answers
from simulations.parties import as_pem, simulated_key
from simulations.two_centres import check_sites, open_engines

if TYPE_CHECKING:
    from rich.progress import Progress

    from simulations.study import StudyRequest

_POLL_S = 0.3
_PORTS = 3
_GRACE_S = 30.0
"""A site signs off, and a ServerApp is cancelled, before they are ended by force."""


def run_over_flower(request: StudyRequest, progress: Progress) -> None:
    """Runs the study with a SuperLink, and an engine and a SuperNode at each site.

    Parameters
    ----------
    request : StudyRequest
    progress : Progress
        Shows what takes long.

    Raises
    ------
    RheError
        Whatever is wrong with plan, folders, sites or training.
    """
    plan = load_plan(request.plan)
    check_sites(plan, request.sites)
    run = StudyRun(
        plan=plan,
        out=request.out.resolve(),
        key=simulated_key(plan),
        backend="flower",
        pretrained=request.pretrained,
        resume=request.resume,
    )
    with exclusive(run.out / "flower"):
        with exclusive(run.out):
            run.claim()
            _train_pooled(run, request.sites, progress)
        _Neighbourhood(run, request).conduct(progress)


def _train_pooled(run: StudyRun, sites: Mapping[str, Path], progress: Progress) -> None:
    """The comparison that no federation can make: only a simulation has all patients in one place."""
    if any(arm.kind == "pooled" for arm in run.plan.all_arms()):
        from simulations.pooled import train_pooled

        train_pooled(run, open_engines(run, sites, progress), progress)


@dataclass(frozen=True)
class _Neighbourhood:
    """A coordinator and its hospitals, all on this machine."""

    run: StudyRun
    request: StudyRequest

    @property
    def _office(self) -> Path:
        return self.run.out / "flower" / "coordinator"

    @property
    def _authority(self) -> Path:
        return self.run.out / "flower" / "authority"

    @property
    def _logs(self) -> Path:
        return self.run.out / "flower" / "logs"

    def conduct(self, progress: Progress) -> None:
        """Founds office and memberships unless they are there, then runs the study over them."""
        self._provision(free_port())
        with ExitStack() as stack:
            coordinator, port = self._open_office(stack)
            sites = [self._open_site(stack, name, port) for name in sorted(self.request.sites)]
            self._study(stack, (coordinator, *sites), progress)

    def _provision(self, port: int) -> None:
        hides = self.run.plan.hides_sums
        if not (self._office / "server.toml").exists():
            command = ["rhe-server", "init", str(self._office), "--plan", str(self.request.plan)]
            command += ["--host", LOOPBACK, "--port", str(port)]
            _do(*command, *(self._found_authority() if hides else ()))
        invitation = open_office(self._office).invitation
        for name, folder in sorted(self.request.sites.items()):
            member = self._member(name)
            self._derive_identity(member)
            joining = ("--invitation", str(invitation), "--state", str(member.state))
            _do("rhe-client", "init", str(folder), *joining)
            _do("rhe-server", "enrol", str(self._office), str(member.card))
        roster = self._sign_roster() if hides else ()
        for name, folder in sorted(self.request.sites.items()):
            state = str(self._member(name).state)
            _do("rhe-client", "approve", str(folder), "--yes", "--state", state, *roster)

    def _derive_identity(self, member: Membership) -> None:
        """The same secrets as in one process: a simulated study has the same bits."""
        if self.run.plan.hides_sums and not member.identity_key.exists():
            key = simulated_key(self.run.plan, f"site {member.settings.name}")
            write_atomically(member.identity_key, as_pem(key), private=True)

    def _found_authority(self) -> tuple[str, ...]:
        """On a machine of its own in a real study; what `rhe-server init` is told of it."""
        if not (self._authority / "authority.pub").exists():
            _do("rhe-authority", "init", str(self._authority))
        return ("--authority", str(self._authority / "authority.pub"))

    def _sign_roster(self) -> tuple[str, ...]:
        """Proposed by the coordinator, signed by the authority; what `rhe-client approve` is told of it."""
        office = open_office(self._office)
        if not office.roster_file.exists():
            proposal = self._office / "study.proposal"
            signed = self._authority / "study.roster"
            _do("rhe-server", "roster", str(self._office), "--out", str(proposal))
            _do("rhe-authority", "sign", str(self._authority), str(proposal), "--yes", "--out", str(signed))
            _do("rhe-server", "roster", str(self._office), "--signed", str(signed))
        return ("--roster", str(office.roster_file))

    def _open_office(self, stack: ExitStack) -> tuple[Child, int]:
        """The coordinator, once its SuperLink answers, and its port: a free one may be taken meanwhile."""
        for _ in range(_PORTS):
            port = free_port()
            command = ("rhe-server", "start", str(self._office), "--port", str(port))
            child = stack.enter_context(_running("coordinator", command, self._logs / "coordinator.log"))
            while child.running:
                if answers(open_office(self._office)):
                    return child, port
                time.sleep(_POLL_S)
        raise _end_of(child)

    def _open_site(self, stack: ExitStack, name: str, port: int) -> Child:
        member = self._member(name)
        command = ("rhe-client", "start", str(member.folder), "--state", str(member.state))
        address = ("--address", f"{LOOPBACK}:{port}")
        return stack.enter_context(_running(name, (*command, *address), self._logs / f"{name}.log"))

    def _study(self, stack: ExitStack, parties: Sequence[Child], progress: Progress) -> None:
        command = ["rhe-server", "run", str(self._office), "--out", str(self.run.out), "--resume"]
        if self.run.pretrained is not None:
            command += ["--pretrained", str(self.run.pretrained)]
        study = stack.enter_context(_running("study", command, self._logs / "study.log"))
        task = progress.add_task("federated study: see flower/logs", total=None)
        while study.running:
            for party in parties:
                if not party.running:
                    raise _end_of(party)
            lines = study.tail().splitlines()
            progress.update(task, description=lines[-1] if lines else "federated study")
            time.sleep(_POLL_S)
        Outcome(exit_code=study.process.returncode, message=_last_words(study)).insist()

    def _member(self, name: str) -> Membership:
        return Membership(self.request.sites[name].resolve(), self.run.out / "sites" / name)


@contextmanager
def _running(name: str, command: Sequence[str], log: Path) -> Iterator[Child]:
    child = start(name, [_program(command[0]), *command[1:]], log=log)
    try:
        yield child
    finally:
        stop(child, _GRACE_S)


def _do(*command: str) -> None:
    """Runs a short command to its end."""
    done = subprocess.run(
        [_program(command[0]), *command[1:]],
        capture_output=True,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        message = (
            "\n".join(lines).partition(": ")[2] or f"{' '.join(command[:2])} ended with {done.returncode}"
        )
        Outcome(exit_code=done.returncode, message=_without_code(message)).insist()


def _end_of(party: Child) -> RheError:
    """What to raise where a coordinator or a site ended before its study did."""
    try:
        Outcome(exit_code=party.process.returncode, message=_last_words(party)).insist()
    except RheError as error:
        return error
    return SiteError(f"{party.name} went away -> see {party.log}")


def _last_words(child: Child) -> str:
    """The message with which a command ended, without the program's name and the error's code."""
    lines = child.tail().strip().splitlines()
    said = lines[-1].partition(": ")[2] if lines else ""
    return _without_code(said) or f"{child.name} ended with {child.process.returncode} -> see {child.log}"


def _without_code(message: str) -> str:
    return message.rpartition("  [")[0] or message


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
