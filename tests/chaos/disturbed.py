"""A study in which faults happen one after the other, each at its phase; at the end every bit is compared."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from server.watch.study_state import read_study_state
from tests.chaos.fault_table import Row
from tests.chaos.small_plans import TABLES, SmallPlan
from tests.chaos.small_study import SmallStudy, open_study, read_outcome, wait_until

LIMIT_S = 600.0
WORDS_S = 15.0
"""A supervisor looks every half second, and a log is written by a process of its own."""
"""For any wait: a study that hangs is told, and a slow machine is not."""
_WORDS = re.compile(
    r"->|paused|is back|was killed|started again|not connected|cannot|another process|left out"
)


@dataclass
class Happening:
    """What a fault tells of itself, as it goes.

    Attributes
    ----------
    study : SmallStudy
    ended : str
        How the study took it.
    options : tuple of str
        With which the study is run.
    """

    study: SmallStudy
    ended: str = "went on"
    options: tuple[str, ...] = ("--wait", "0.1")

    def await_end(self, limit_s: float = LIMIT_S) -> int:
        """The exit code of the study that runs."""
        child = self.study.find("study")
        wait_until(lambda: not child.running, "the end of the run", limit_s)
        return int(child.process.returncode)

    def resume(self) -> None:
        """Run the study again, as its last message says."""
        code = self.study.find("study").process.returncode
        self.ended = f"ended ({code}), resumed"
        self.study.start_study("--resume", *self.options)


@dataclass(frozen=True)
class Fault:
    """Something that happens to a study.

    Attributes
    ----------
    title : str
        Who suffers what.
    phase : str
        At whose beginning it happens; empty: before the study is run.
    happen : callable
        Does it, and what people do about it.
    here, there : str
        Pattern of what the coordinator's commands, and the hospitals', must say; empty: nothing need be said.
    bound_s : float
        Longest time until the study goes on, with all that the fault itself takes.
    asked : str
        Pattern of a question that a hospital must be at work on when it happens, in that phase; empty: any.
    never : str
        Pattern of what nobody may say; empty: anything may be said.
    """

    title: str
    phase: str
    happen: Callable[[Happening], None]
    here: str = ""
    there: str = ""
    bound_s: float = 90.0
    asked: str = ""
    never: str = ""


@dataclass(frozen=True)
class Disturbed:
    """A study and its faults.

    Attributes
    ----------
    name : str
        Chooses it on the command line.
    faults : tuple of Fault
        In their order.
    names : tuple of str
        The hospitals.
    environments : dict of str to dict of str to str
        What a hospital's processes have in their environment at first.
    disks : tuple of str
        Folders that are file systems of their own, and small.
    plan : SmallPlan
        What is asked.
    burden : dict of str to str
        What every hospital's processes have in their environment, and the undisturbed study's.
    options : tuple of str
        With which the study is run.
    gateway : str
        What hospitals reach: "loopback", the SuperLink itself, or "nginx".
    wire : bool
        Whether hospitals are at the end of a wire that can lose packets.
    is_long : bool
        Whether it is played only if that is asked for.
    """

    name: str
    faults: tuple[Fault, ...]
    names: tuple[str, ...] = ("a", "b")
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    disks: tuple[str, ...] = ()
    plan: SmallPlan = TABLES
    burden: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ("--wait", "0.1")
    gateway: str = "loopback"
    wire: bool = False
    is_long: bool = False

    @property
    def undisturbed(self) -> tuple[str, tuple[str, ...], str]:
        """Names the study without its faults: equal ones have equal results."""
        return self.plan.name, self.names, self.burden.get("RHE_CHAOS_MEMORY", "")

    @property
    def burden_of_all(self) -> dict[str, str]:
        """The burden without what only takes time."""
        return {name: value for name, value in self.burden.items() if name != "RHE_CHAOS_STEP"}

    def slacken(self, times: float) -> Disturbed:
        """The same study, whose faults may make it wait so many times as long."""
        faults = tuple(replace(fault, bound_s=fault.bound_s * times) for fault in self.faults)
        return replace(self, faults=faults)

    def play(self, folder: Path) -> tuple[list[Row], dict[str, object] | None]:
        """A row of each fault, and what the study found then.

        What hinders the study is in a row of its own; the faults after it do not happen, nothing is found.
        """
        rows: list[Row] = []
        try:
            return rows, self._carry_through(folder, rows)
        except (TimeoutError, LookupError, RuntimeError) as failure:
            title = "the study after these faults"
            rows.append(Row(title, "", len(self.names), "stuck", None, None, "", str(failure)))
            return rows, None

    def _carry_through(self, folder: Path, rows: list[Row]) -> dict[str, object] | None:
        """What the study found; None if it ended with an error."""
        with self._open(folder) as study:
            study.start_everybody()
            study.start_study(*self.options)
            rows.extend(_watch(fault, study, self.options) for fault in self.faults)
            code = Happening(study).await_end()
            if code:
                rows[-1] = replace(rows[-1], trouble=f"the run ended with {code}")
                return None
            return read_outcome(study.out)

    def _open(self, folder: Path) -> AbstractContextManager[SmallStudy]:
        environments = {name: {**self.burden, **self.environments.get(name, {})} for name in self.names}
        return open_study(
            *(folder, self.names),
            environments=environments,
            plan=self.plan,
            gateway=self.gateway,
            wire=self.wire,
        )


def _watch(fault: Fault, study: SmallStudy, options: tuple[str, ...]) -> Row:
    if fault.phase:
        wait_until(lambda: _has_begun(study, fault), f"phase {fault.phase} {fault.asked}", LIMIT_S)
    marks = {path: path.stat().st_size for path in study.folder.glob("*.log")}
    rounds, begun, happening = count_rounds(study), time.monotonic(), Happening(study, options=options)
    fault.happen(happening)
    wait_until(
        lambda: count_rounds(study) != rounds and _moves(study, rounds),
        f"{fault.title}: going on",
        LIMIT_S,
    )
    waited = time.monotonic() - begun
    here, there = _await_words(fault, study, marks)
    trouble = list(_find_trouble(fault, here, there))
    if waited > fault.bound_s:
        trouble.append(f"waited {waited:.0f} s, more than {fault.bound_s:.0f}")
    said = [_choose(fault.here, here), _choose(fault.there, there)]
    return Row(
        fault.title,
        fault.phase,
        len(study.names),
        happening.ended,
        waited,
        None,
        " / ".join(line for line in said if line),
        "; ".join(trouble),
    )


def _await_words(fault: Fault, study: SmallStudy, marks: dict[Path, int]) -> tuple[list[str], list[str]]:
    """What was said since, at coordinator and hospitals: a study may go on before a supervisor looks."""
    deadline = time.monotonic() + WORDS_S
    while True:
        here, there = (list(_read_since(study, marks, party)) for party in ("study", "hospitals"))
        is_said = all(
            not pattern or any(re.search(pattern, line) for line in lines)
            for pattern, lines in ((fault.here, here), (fault.there, there))
        )
        if is_said or time.monotonic() > deadline:
            return here, there
        time.sleep(0.1)


def _find_trouble(fault: Fault, here: list[str], there: list[str]) -> Iterator[str]:
    """What was not said although it must be, and what was although it must not."""
    for pattern, lines, where in ((fault.here, here, "coordinator"), (fault.there, there, "hospital")):
        if pattern and not any(re.search(pattern, line) for line in lines):
            yield f"nobody said {pattern!r} at the {where}"
    if fault.never:
        yield from (f"said: {line}" for line in (*here, *there) if re.search(fault.never, line))


def count_rounds(study: SmallStudy) -> tuple[str, int]:
    """Rounds of messages that the run had, with the run's own name: a resumed one counts anew."""
    state = read_study_state(study.out)
    return ("", 0) if state is None else (state.started, state.traffic.rounds)


def _moves(study: SmallStudy, before: tuple[str, int]) -> bool:
    """Whether the study has asked everybody twice since, once of which it may have been doing already."""
    started, rounds = count_rounds(study)
    over = not study.find("study").running
    return over or rounds >= 2 + (before[1] if started == before[0] else 0)


def _has_begun(study: SmallStudy, fault: Fault) -> bool:
    """Whether it is time for the fault; the end of the study is, too, and told by whoever waits for more."""
    if not study.find("study").running:
        return True
    if f"begins: {fault.phase}" not in (study.folder / "study.log").read_text(errors="replace"):
        return False
    state = read_study_state(study.out)
    sites = () if state is None else state.sites
    return not fault.asked or any(site.owes and re.search(fault.asked, site.asked) for site in sites)


def _read_since(study: SmallStudy, marks: dict[Path, int], party: str) -> Iterator[str]:
    ours = {"study", "coordinator", "second"}
    for path in sorted(study.folder.glob("*.log"), reverse=True):
        if (path.stem in ours) == (party == "study"):
            yield from path.read_text(errors="replace")[marks.get(path, 0) :].splitlines()


def _choose(pattern: str, lines: list[str]) -> str:
    """The line that was to be said, or else the first that speaks of trouble."""
    for wanted in filter(None, (pattern, _WORDS.pattern)):
        for line in lines:
            if re.search(wanted, line):
                return re.sub(r"^(\S*\d\d:\d\d:\d\d\S*\s+)+", "", line.strip())
    return ""
