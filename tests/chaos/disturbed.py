"""A study in which faults happen one after the other, each at its phase; at the end every bit is compared."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from server.watch.study_state import read_study_state
from tests.chaos.fault_table import Row
from tests.chaos.small_study import SmallStudy, open_study, read_numbers, wait_until

LIMIT_S = 240.0
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
    """

    title: str
    phase: str
    happen: Callable[[Happening], None]
    here: str = ""
    there: str = ""
    bound_s: float = 90.0


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
    """

    name: str
    faults: tuple[Fault, ...]
    names: tuple[str, ...] = ("a", "b")
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    disks: tuple[str, ...] = ()

    def play(self, folder: Path, undisturbed: dict[str, object]) -> list[Row]:
        """Run the study with its faults; what hinders one is in its row, and those after it are not run."""
        rows: list[Row] = []
        environments = {name: dict(values) for name, values in self.environments.items()}
        with open_study(folder, self.names, environments=environments) as study:
            try:
                study.start_everybody()
                study.start_study(*Happening(study).options)
                rows.extend(_watch(fault, study) for fault in self.faults)
                code = Happening(study).await_end()
            except (TimeoutError, LookupError, RuntimeError) as failure:
                rows.append(
                    Row(
                        "the study after these faults",
                        "",
                        len(self.names),
                        "stuck",
                        None,
                        None,
                        "",
                        str(failure),
                    )
                )
                return rows
            same = code == 0 and read_numbers(study.out / "results.json") == undisturbed
            if code:
                rows[-1] = replace(rows[-1], trouble=f"the run ended with {code}")
        return [replace(row, same_bits=same) for row in rows]


def _watch(fault: Fault, study: SmallStudy) -> Row:
    if fault.phase:
        wait_until(lambda: _has_begun(study, fault.phase), f"phase {fault.phase}", LIMIT_S)
    marks = {path: path.stat().st_size for path in study.folder.glob("*.log")}
    rounds, begun, happening = count_rounds(study), time.monotonic(), Happening(study)
    fault.happen(happening)
    wait_until(
        lambda: count_rounds(study) != rounds and _moves(study, rounds),
        f"{fault.title}: going on",
        LIMIT_S,
    )
    waited = time.monotonic() - begun
    here, there = (list(_read_since(study, marks, party)) for party in ("study", "hospitals"))
    trouble = [
        f"nobody said {pattern!r} at the {where}"
        for pattern, lines, where in ((fault.here, here, "coordinator"), (fault.there, there, "hospital"))
        if pattern and not any(re.search(pattern, line) for line in lines)
    ]
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


def count_rounds(study: SmallStudy) -> tuple[str, int]:
    """Rounds of messages that the run had, with the run's own name: a resumed one counts anew."""
    state = read_study_state(study.out)
    return ("", 0) if state is None else (state.started, state.traffic.rounds)


def _moves(study: SmallStudy, before: tuple[str, int]) -> bool:
    """Whether the study has asked everybody twice since, once of which it may have been doing already."""
    started, rounds = count_rounds(study)
    over = not study.find("study").running
    return over or rounds >= 2 + (before[1] if started == before[0] else 0)


def _has_begun(study: SmallStudy, phase: str) -> bool:
    log = (study.folder / "study.log").read_text(errors="replace")
    return f"begins: {phase}" in log or not study.find("study").running


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
                return re.sub(r"^\S*\d\d:\d\d:\d\d\S*\s+", "", line.strip())
    return ""
