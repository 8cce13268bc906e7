"""A whole study over real Flower processes on this machine, by the commands of coordinator and hospitals."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from client.link.supervise import find_free_port
from client.membership.membership import Membership
from common.errors import RheError, SiteError
from common.plan.study import load_plan
from common.runtime.processes import LOOPBACK, Child, start_child, stop_child
from common.runtime.storage import lock_folder, write_atomically
from server.process.superlink import is_listening
from server.provision.office import open_office
from server.run import StudyRun
from simulations.backends.endings import raise_ending
from simulations.backends.parties import as_pem, derive_simulated_key
from simulations.backends.side_process import count_places
from simulations.study_request import check_site_folders

if TYPE_CHECKING:
    from rich.progress import Progress

    from simulations.study_request import StudyRequest

_POLL_S = 0.3
_PORTS = 3
_WAIT_H = 0.05
"""How long the study waits for a site of this machine that is away, in hours."""
_GRACE_S = 30.0
"""Time for a site to sign off, and for a run to be ended, before they are killed."""


def run_over_flower(request: StudyRequest, progress: Progress) -> None:
    """Run the study with a SuperLink, and with an engine and a link at each site.

    Parameters
    ----------
    request : StudyRequest
    progress : Progress
        Shows the steps that take long.

    Raises
    ------
    RheError
        If the plan, a folder, a site or the training fails.
    """
    plan = load_plan(request.plan)
    check_site_folders(plan, request.sites)
    run = StudyRun(
        plan=plan,
        out=request.out.resolve(),
        key=derive_simulated_key(plan),
        backend="flower",
        pretrained=request.pretrained,
        resume=request.resume,
        cards=request.cards,
    )
    federation = LocalFederation(run, request)
    with lock_folder(run.out / "flower"), ThreadPoolExecutor(1) as beside:
        with lock_folder(run.out):
            run.claim()
            joining = beside.submit(federation.provision)
            _train_pooled(run, request.sites, progress)
        joining.result()
        federation.conduct(progress)


def _train_pooled(run: StudyRun, sites: Mapping[str, Path], progress: Progress) -> None:
    """Train the plan's pooled models, if any: only a simulation has all patients in one place."""
    if any(arm.kind == "pooled" for arm in run.plan.all_arms()):
        # torch, which a study that only starts processes does without
        from simulations.backends.engine_host import train_pooled_beside

        train_pooled_beside(run, sites, progress)


@dataclass(frozen=True)
class LocalFederation:
    """A coordinator and its hospitals, all on this machine.

    Attributes
    ----------
    run : StudyRun
        The study's plan, key and output folder.
    request : StudyRequest
        What was asked for, with the sites' folders.
    """

    run: StudyRun
    request: StudyRequest

    @property
    def office(self) -> Path:
        """The coordinator's folder."""
        return self.run.out / "flower" / "coordinator"

    @property
    def _authority(self) -> Path:
        return self.run.out / "flower" / "authority"

    @property
    def _logs(self) -> Path:
        return self.run.out / "flower" / "logs"

    def conduct(self, progress: Progress) -> None:
        """Run the study over office and memberships that exist."""
        with ExitStack() as stack:
            self._run_study(stack, self.open_parties(stack), progress)

    def open_parties(self, stack: ExitStack) -> tuple[Child, ...]:
        """Start coordinator and hospitals, which the stack ends."""
        coordinator, port = self._open_office(stack)
        return coordinator, *(self._open_site(stack, name, port) for name in sorted(self.request.sites))

    def provision(self) -> None:
        """Set up office and memberships, unless they exist: no more than each party's files."""
        hides = self.run.plan.hides_sums
        if not (self.office / "server.toml").exists():
            command = ["rhe-server", "init", str(self.office), "--plan", str(self.request.plan)]
            command += ["--host", LOOPBACK, "--port", str(find_free_port())]
            _run_to_end(*command, *(self._create_authority() if hides else ()))
        invitation = open_office(self.office).invitation
        names = sorted(self.request.sites)
        with ThreadPoolExecutor(count_places(1)) as pool:
            list(pool.map(lambda name: self._join(name, invitation), names))
            for name in names:
                _run_to_end("rhe-server", "enrol", str(self.office), str(self._membership_of(name).card))
            roster = self._sign_roster() if hides else ()
            list(pool.map(lambda name: self._approve(name, roster), names))

    def _join(self, name: str, invitation: Path) -> None:
        member = self._membership_of(name)
        self._derive_identity(member)
        joining = ("--invitation", str(invitation), "--state", str(member.state))
        _run_to_end("rhe-client", "init", str(self.request.sites[name]), "--same-user", *joining)

    def _approve(self, name: str, roster: Sequence[str]) -> None:
        state = str(self._membership_of(name).state)
        folder = str(self.request.sites[name])
        _run_to_end("rhe-client", "approve", folder, "--yes", "--state", state, *roster)

    def _derive_identity(self, member: Membership) -> None:
        """Give a site the same secrets as in one process, so that a simulated study has the same bits."""
        if self.run.plan.hides_sums and not member.identity_key.exists():
            key = derive_simulated_key(self.run.plan, f"site {member.settings.name}")
            write_atomically(member.identity_key, as_pem(key), private=True)

    def _create_authority(self) -> tuple[str, ...]:
        """Create the authority and return the option that tells `rhe-server init` of it.

        In a real study it is on a machine of its own.
        """
        if not (self._authority / "authority.pub").exists():
            _run_to_end("rhe-authority", "init", str(self._authority))
        return ("--authority", str(self._authority / "authority.pub"))

    def _sign_roster(self) -> tuple[str, ...]:
        """Let the coordinator propose and the authority sign; return the option for `rhe-client approve`."""
        office = open_office(self.office)
        if not office.roster_file.exists():
            proposal = self.office / "study.proposal"
            signed = self._authority / "study.roster"
            _run_to_end("rhe-server", "roster", str(self.office), "--out", str(proposal))
            _run_to_end(
                "rhe-authority", "sign", str(self._authority), str(proposal), "--yes", "--out", str(signed)
            )
            _run_to_end("rhe-server", "roster", str(self.office), "--signed", str(signed))
        return ("--roster", str(office.roster_file))

    def _open_office(self, stack: ExitStack) -> tuple[Child, int]:
        """Start the coordinator and return it with its port once its SuperLink answers.

        Another program may take a free port before the SuperLink does; then the next port is tried.

        Raises
        ------
        RheError
            If it ends before it answers, at each of several ports.
        """  # noqa: DOC501 - `_error_of` is one
        for _ in range(_PORTS):
            port = find_free_port()
            command = ("rhe-server", "start", str(self.office), "--port", str(port), "--gateway", "loopback")
            child = stack.enter_context(
                _run_in_background("coordinator", command, self._logs / "coordinator.log")
            )
            while child.running:
                if is_listening(open_office(self.office)):
                    return child, port
                time.sleep(_POLL_S)
        raise _error_of(child)

    def _open_site(self, stack: ExitStack, name: str, port: int) -> Child:
        member = self._membership_of(name)
        command = ("rhe-client", "start", str(member.folder), "--same-user", "--state", str(member.state))
        address = ("--address", f"{LOOPBACK}:{port}")
        return stack.enter_context(_run_in_background(name, (*command, *address), self._logs / f"{name}.log"))

    def _run_study(self, stack: ExitStack, parties: Sequence[Child], progress: Progress) -> None:
        command = ["rhe-server", "run", str(self.office), "--out", str(self.run.out), "--resume"]
        command += ["--wait", str(_WAIT_H)]
        if self.run.pretrained is not None:
            command += ["--pretrained", str(self.run.pretrained)]
        if self.run.cards is not None:
            command += ["--cards", str(self.run.cards.resolve())]
        study = stack.enter_context(_run_in_background("study", command, self._logs / "study.log"))
        task = progress.add_task("federated study: see flower/logs", total=None)
        while study.running:
            for party in parties:
                if not party.running:
                    raise _error_of(party)
            lines = study.tail().splitlines()
            progress.update(task, description=lines[-1] if lines else "federated study")
            time.sleep(_POLL_S)
        raise_ending(study.process.returncode, _find_last_message(study))

    def _membership_of(self, name: str) -> Membership:
        return Membership(self.request.sites[name].resolve(), self.run.out / "sites" / name)


@contextmanager
def _run_in_background(name: str, command: Sequence[str], log: Path) -> Iterator[Child]:
    child = start_child(name, [_find_program(command[0]), *command[1:]], log=log)
    try:
        yield child
    finally:
        stop_child(child, _GRACE_S)


def _run_to_end(*command: str) -> None:
    """Run a short command to its end.

    Raises
    ------
    RheError
        If it fails, with its message and exit code.
    """
    done = subprocess.run(
        [_find_program(command[0]), *command[1:]],
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
        raise_ending(done.returncode, _strip_code(message))


def _error_of(party: Child) -> RheError:
    """The error to raise if a coordinator or a site ended before the study."""
    try:
        raise_ending(party.process.returncode, _find_last_message(party))
    except RheError as error:
        return error
    return SiteError(f"{party.name} ended before the study -> see {party.log}")


def _find_last_message(child: Child) -> str:
    """The last message of a command, without the program's name and the error's code."""
    lines = child.tail().strip().splitlines()
    message = lines[-1].partition(": ")[2] if lines else ""
    return _strip_code(message) or f"{child.name} ended with {child.process.returncode} -> see {child.log}"


def _strip_code(message: str) -> str:
    return message.rpartition("  [")[0] or message


def _find_program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
