"""A small study with hidden sums: coordinator and hospitals as real processes over Flower."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from client.link.supervise import find_free_port
from client.membership.membership import Membership
from common.runtime.processes import LOOPBACK, Child, start_child, stop_child
from common.runtime.storage import write_atomically
from server.provision.office import open_office
from simulations.backends.parties import as_pem, derive_simulated_key
from tests.chaos import lossy_wire
from tests.chaos.cut_line import CutLine
from tests.chaos.small_plans import TABLES, SmallPlan
from tests.sites.commands import run_command

SHIFTED = Path(__file__).with_name("shifted")
PHASES = ("cohort", "regression", "training", "evaluation")


def read_outcome(out: Path) -> dict[str, object]:
    """The results without where and when they were computed, and the bits of each model.

    Raises
    ------
    FileNotFoundError
        If the study wrote none.
    """
    content: dict[str, object] = json.loads((out / "results.json").read_bytes())
    del content["provenance"]
    for path in sorted(out.glob("models/**/*.safetensors")):
        content[str(path.relative_to(out))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return content


def wait_until(true: Callable[[], object], what: str, limit_s: float) -> float:
    """Seconds until it is so.

    Raises
    ------
    TimeoutError
        If it is not within the limit.
    """
    begun = time.monotonic()
    while not true():
        if time.monotonic() - begun > limit_s:
            raise TimeoutError(f"{what}: not within {limit_s:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - begun


@dataclass
class SmallStudy:
    """Folders and processes of everybody in one study.

    Attributes
    ----------
    folder : Path
        Holds all of it.
    names : tuple of str
        The hospitals'.
    environments : dict of str to dict of str to str
        What a hospital's processes have in their environment besides, by its name.
    lines : dict of str to CutLine
        The line of each hospital to the coordinator.
    children : list of Child
        Every process that was started, also those that have ended.
    plan : SmallPlan
        What is asked.
    gateway : str
        What hospitals reach: "loopback", the SuperLink itself, or "nginx".
    wire : bool
        Whether hospitals are in a network of their own, at the end of a wire that can lose packets.
    """

    folder: Path
    names: tuple[str, ...] = ("a", "b")
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    lines: dict[str, CutLine] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    plan: SmallPlan = TABLES
    gateway: str = "loopback"
    wire: bool = False
    _port: int = 0

    @property
    def office(self) -> Path:
        """The coordinator's folder."""
        return self.folder / "coordinator"

    @property
    def out(self) -> Path:
        """The study's folder."""
        return self.folder / "out"

    def site(self, name: str) -> Membership:
        """What a hospital keeps."""
        return Membership(self.folder / "sites" / name, self.folder / "states" / name)

    @property
    def _host(self) -> str:
        return lossy_wire.NEAR if self.wire else LOOPBACK

    def provision(self) -> None:
        """Everything that people do before they start: keys, cards, roster, approval."""
        plan_file, authority = self.folder / "study.toml", self.folder / "authority"
        plan = self.plan.write(plan_file, self.names)
        self.plan.make_sites(self.folder / "sites", self.names)
        self._port = find_free_port()
        _do("rhe-authority", "init", authority)
        _do(
            *("rhe-server", "init", self.office, "--plan", plan_file, "--host", self._host),
            *("--port", str(self._port), "--authority", authority / "authority.pub"),
        )
        office = open_office(self.office)
        for name in self.names:
            member = self.site(name)
            key = derive_simulated_key(plan, f"site {name}")
            write_atomically(member.identity_key, as_pem(key), private=True)
            _do(
                *("rhe-client", "init", member.folder, "--same-user"),
                *("--invitation", office.invitation, "--state", member.state),
            )
            _do("rhe-server", "enrol", self.office, member.card)
        proposal, roster = self.folder / "study.proposal", self.folder / "study.roster"
        _do("rhe-server", "roster", self.office, "--out", proposal)
        _do("rhe-authority", "sign", authority, proposal, "--yes", "--out", roster)
        _do("rhe-server", "roster", self.office, "--signed", roster)
        for name in self.names:
            member = self.site(name)
            _do(
                *("rhe-client", "approve", member.folder, "--yes", "--state", member.state),
                *("--roster", office.roster_file),
            )
            self.lines[name] = CutLine((LOOPBACK, self._port))

    def lay_wire(self) -> Child:
        """The wire to the hospitals' network, once it is there."""
        child = self._spawn("wire", [sys.executable, "-m", "tests.chaos.lossy_wire"])
        wait_until(lambda: lossy_wire.READY in child.tail() or not child.running, "the wire", 30)
        if not child.running:
            raise RuntimeError(f"no wire: {child.tail()}")
        return child

    def start_coordinator(self) -> Child:
        """The coordinator, once it can be called."""
        command = ("rhe-server", "start", self.office, "--port", str(self._port), "--gateway", self.gateway)
        child = self.start("coordinator", *command)
        wait_until(lambda: " reach the SuperLink" in child.tail() or not child.running, "SuperLink", 120)
        return child

    def start_site(self, name: str, log: str = "") -> Child:
        """A hospital; who wants to know when it is connected waits for its log."""
        member = self.site(name)
        words: tuple[str | Path, ...] = (member.folder, "--state", member.state, "--same-user")
        words += ("--address", f"{self._host}:{self._port}" if self.wire else self.lines[name].address)
        environment, within = dict(self.environments.get(name, {})), []
        if self.wire:
            # No proxy of this machine's environment leads out of the hospitals' network
            environment["NO_PROXY"] = environment["no_proxy"] = "*"
            within = ["nsenter", f"--net=/proc/{self.find('wire').process.pid}/ns/net"]
        command = [*within, _locate("rhe-client"), "start", *map(str, words)]
        return self._spawn(log or name, command, environment)

    def connect_site(self, name: str) -> Child:
        """A hospital that has reached the coordinator, as its own command says."""
        site = self.start_site(name)
        self._await_connection(site)
        return site

    @staticmethod
    def _await_connection(site: Child) -> None:
        wait_until(lambda: ": connected to" in site.tail() or not site.running, f"{site.name} connected", 120)

    def start_everybody(self) -> None:
        """Coordinator and hospitals, connected."""
        if self.wire:
            self.lay_wire()
        self.start_coordinator()
        sites = [self.start_site(name) for name in self.names]
        for site in sites:
            self._await_connection(site)

    def start_study(self, *options: str, out: Path | None = None, log: str = "study") -> Child:
        """The study; with `--resume` in `options` it goes on."""
        return self.start(log, "rhe-server", "run", self.office, "--out", out or self.out, *options)

    def find(self, name: str) -> Child:
        """The process of this name that was started last."""
        return next(child for child in reversed(self.children) if child.name == name)

    def close(self) -> None:
        """End all of it."""
        for child in reversed(self.children):
            stop_child(child, 20.0)
        for line in self.lines.values():
            line.close()

    def start(self, name: str, program: str, *arguments: str | Path) -> Child:
        """A command, as a process with a log of its own."""
        return self._spawn(name, [_locate(program), *map(str, arguments)])

    def _spawn(self, name: str, command: list[str], environment: Mapping[str, str] | None = None) -> Child:
        child = start_child(name, command, environment or {}, self.folder / f"{name}.log")
        self.children.append(child)
        return child


@contextmanager
def open_study(folder: Path, names: tuple[str, ...] = ("a", "b"), **options: object) -> Iterator[SmallStudy]:
    """A study that is provisioned, and whose processes end with the context."""
    folder.mkdir(parents=True, exist_ok=True)
    study = SmallStudy(folder, names, **options)  # type: ignore[arg-type]
    try:
        study.provision()
        yield study
    finally:
        study.close()


def find_process(child: Child, *words: str) -> psutil.Process:
    """The first descendant whose command has all of these words.

    Raises
    ------
    LookupError
        If there is none.
    """
    for process in psutil.Process(child.process.pid).children(recursive=True):
        try:
            command = [Path(part).name for part in process.cmdline()]
        except psutil.Error:
            continue
        if {*words} <= {*command}:
            return process
    raise LookupError(f"{child.name} has no process {' '.join(words)}")


def kill_hard(process: psutil.Process) -> None:
    """As a power cut does: no handler runs."""
    os.kill(process.pid, signal.SIGKILL)


def _locate(program: str) -> str:
    return str(Path(sys.executable).with_name(program))


def _do(program: str, *arguments: str | Path) -> None:
    done = run_command(program, *arguments)
    if done.returncode:
        raise RuntimeError(f"{program} {arguments[0]}: {done.stderr.strip()}")
