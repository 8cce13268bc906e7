"""A coordinator and two hospitals as real processes whose engines know no patient; none outlives a test."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from sites.commands import run_command

from client.link.supervise import find_free_port
from common.runtime.processes import Child, start_child, stop_child

ROUNDS = 4
"""Of sums in a study: one before each of three interruptions, and a last one."""

FAKE = Path(__file__).with_name("fake")

PLAN = """
name = "echo"
seed = 1
profile = "simulation"
two_site_ack = true
[[sites]]
name = "A"
role = "train"
[[sites]]
name = "B"
role = "external"
[[models]]
name = "m"
family = "resnet10-narrow"
[privacy]
secure = false
[federation]
rounds = {rounds}
timeout_s = 90
"""


def make_site(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "site.toml").write_text(f'name = "{name}"\ntable = "t.csv"\nsynthetic = true\n')
    (folder / "SYNTHETIC.json").write_text('{"seed": 1}')
    return folder


def environment() -> dict[str, str]:
    """The fakes come before the real engine and the real study."""
    return {"PYTHONPATH": str(FAKE)}


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def wait_until(true: Callable[[], object], timeout_s: float = 240.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.1)


def family(child: Child) -> list[psutil.Process]:
    process = psutil.Process(child.process.pid)
    return [process, *process.children(recursive=True)]


def named(child: Child, word: str) -> psutil.Process:
    """The descendant that runs this program or command."""
    return next(process for process in family(child) if word in command_of(process))


def command_of(process: psutil.Process) -> list[str]:
    """Names in its command; none when it has ended, reaped or not."""
    try:
        return [Path(part).name for part in process.cmdline()]
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


@dataclass
class Stage:
    """Folders of everybody, and the processes that were started.

    Attributes
    ----------
    folder : Path
        Holds the plan, the coordinator's folder, the sites' folders and the logs.
    out : Path
        Where the next study is kept.
    rounds : int
        Rounds of sums in a study.
    children : list of Child
        Every process that was started, also those that have ended.
    """

    folder: Path
    out: Path
    rounds: int = ROUNDS
    children: list[Child] = field(default_factory=list)

    @property
    def office(self) -> Path:
        return self.folder / "coordinator"

    def state(self, name: str) -> Path:
        return self.folder / name / ".rhe"

    def provision(self) -> None:
        plan = self.folder / "study.toml"
        plan.write_text(PLAN.format(rounds=self.rounds))
        port = str(find_free_port())
        self.do("rhe-server", "init", self.office, "--plan", plan, "--host", "127.0.0.1", "--port", port)
        for name in ("A", "B"):
            site = make_site(self.folder / name, name)
            self.do(
                *("rhe-client", "init", site, "--same-user"),
                *("--invitation", self.office / "study.invitation"),
            )
            self.do("rhe-client", "approve", site, "--yes")
            self.do("rhe-server", "enrol", self.office, self.state(name) / f"{name}.card")

    def do(self, program: str, *arguments: str | Path) -> None:
        done = run_command(program, *arguments)
        assert done.returncode == 0, done.stderr

    def open(self, name: str, *arguments: str | Path) -> Child:
        log = self.folder / f"{name}.log"
        child = start_child(name, [program(str(arguments[0])), *map(str, arguments[1:])], environment(), log)
        self.children.append(child)
        return child

    def coordinator(self) -> Child:
        child = self.open("coordinator", "rhe-server", "start", self.office, "--gateway", "loopback")
        wait_until(lambda: "reach the SuperLink" in child.tail())
        return child

    def site(self, name: str) -> Child:
        child = self.open(name, "rhe-client", "start", self.folder / name, "--same-user")
        wait_until(lambda: "connected" in child.tail())
        return child

    def gather(self) -> tuple[Child, Child, Child]:
        """The coordinator and both sites at work; whoever is not is started."""
        coordinator = self._at_work("coordinator") or self.coordinator()
        first, second = (self._at_work(name) or self.site(name) for name in ("A", "B"))
        return coordinator, first, second

    def _at_work(self, name: str) -> Child | None:
        return next((child for child in self.children if child.name == name and child.running), None)

    def study(self, *options: str) -> Child:
        return self.open("study", "rhe-server", "run", self.office, "--out", self.out, *options)

    def close(self) -> None:
        for child in reversed(self.children):
            stop_child(child, 30.0)


def end(child: Child, timeout_s: float = 240.0) -> int:
    return child.process.wait(timeout_s)


def expected(rounds: int) -> list[list[float]]:
    """Sum over two sites of 0 + … + 999 + 1000 times the round."""
    return [[2 * number, 2.0 * (499500 + 1000 * number)] for number in range(1, rounds + 1)]


def results(stage: Stage) -> list[list[float]]:
    found: list[list[float]] = json.loads((stage.out / "rounds.json").read_text())
    return found


@contextmanager
def staged(folder: Path, rounds: int = ROUNDS) -> Iterator[Stage]:
    stage = Stage(folder, folder / "out", rounds)
    try:
        stage.provision()
        yield stage
    finally:
        stage.close()
