"""Where a study stands, as the coordinator writes it down while it runs: the file `state.json` of its folder.

It holds no number that the report would not show, and it is its owner's alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from common.errors import StorageError
from common.runtime.watch.state_file import load_state_file

STATE_FILE: Final = "state.json"
"""The file's name in the study's folder."""

Condition: TypeAlias = Literal["running", "paused", "finished", "failed", "interrupted"]
"""It works, or waits for sites; it has results; it ended with an error, or because somebody ended it."""


@dataclass
class PhaseProgress:
    """One phase of the study; several may go on at once.

    Attributes
    ----------
    name : str
        As in the plan and the report.
    number : int
        Position among the phases, from 1.
    since : str
        When it began, UTC, ISO 8601; empty before.
    seconds : float or None
        How long it took; None before its end.
    """

    name: str
    number: int
    since: str = ""
    seconds: float | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it has begun and not ended."""
        return bool(self.since) and self.seconds is None


@dataclass
class Steps:
    """The procedures of the study's program; several may go on at once.

    Attributes
    ----------
    done, of : int
        How many are done, and how many there are.
    now : tuple of str
        Names of those that go on.
    """

    done: int = 0
    of: int = 0
    now: tuple[str, ...] = ()


@dataclass
class TrainingProgress:
    """One training of the study.

    Attributes
    ----------
    model, arm : str
        As in the plan.
    round, of : int
        Rounds that are done, and how many there are.
    loss : float or None
        Mean training loss of the last round.
    validation_auc : float or None
        Of the latest round that was judged; None where there is none or it may not be shown.
    judged : int
        Number of that round; 0 before the first.
    withheld : str
        Why there is no AUC of a round that was judged; empty if there is.
    is_done : bool
        Whether it has ended, with a model or without.
    """

    model: str
    arm: str
    round: int = 0
    of: int = 0
    loss: float | None = None
    validation_auc: float | None = None
    judged: int = 0
    withheld: str = ""
    is_done: bool = False


@dataclass
class SiteContact:
    """What the coordinator knows of one site.

    Attributes
    ----------
    name : str
        As in the plan.
    connected : bool
        Whether it has met the coordinator in this run, and did not leave since.
    heard : str
        When its last answer came; empty before the first.
    asked : str
        The question that it works on, or answered last.
    asked_at : str
        When that was sent.
    owes : bool
        Whether the answer is still to come.
    epoch, epochs : int
        Number of the epoch that it trains now, and how many there are, as its link told last; 0 where it does
        not.
    """

    name: str
    connected: bool = False
    heard: str = ""
    asked: str = ""
    asked_at: str = ""
    owes: bool = False
    epoch: int = 0
    epochs: int = 0


@dataclass
class Pause:
    """Why the study waits, or waited when its run ended.

    Attributes
    ----------
    sites : tuple of str
        For whom; empty if it does not wait.
    since : str
        From when; empty if it does not wait.
    """

    sites: tuple[str, ...] = ()
    since: str = ""


@dataclass
class TimeLeft:
    """How long the study will still take.

    Attributes
    ----------
    seconds : float or None
        None where it is not known.
    basis : str
        By what it is reckoned, or why it is not known.
    """

    seconds: float | None = None
    basis: str = "not known yet"


@dataclass
class ExchangedVolume:
    """What was exchanged with the sites in this run.

    Attributes
    ----------
    rounds, messages : int
        Sets of messages that were sent at once; messages.
    bytes_sent, bytes_received : int
        Of their bodies.
    """

    rounds: int = 0
    messages: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass
class RunState:
    """Where a study stands.

    Attributes
    ----------
    name, plan_hash : str
        As in the plan; the whole SHA-256.
    condition : Condition
        Whether it runs.
    pid, run : int
        Number of the process; number of the run, from 1.
    started, updated, ended : str
        This run's beginning; when this was written; its end, empty before. UTC, ISO 8601.
    ending : str
        How it ended; empty before.
    phases : tuple of PhaseProgress
        All of them.
    steps : Steps
        Of the program.
    trainings : tuple of TrainingProgress
        Those that have begun.
    sites : tuple of SiteContact
        Every site of the plan.
    pause : Pause
        Whom it waits for, or waited for when it ended.
    time_left : TimeLeft
        How long it will still take, about.
    disk_free_bytes : int
        In the study's folder.
    traffic : ExchangedVolume
        With the sites.
    lines : tuple of str
        What happened, the latest last.
    """

    name: str = ""
    plan_hash: str = ""
    condition: Condition = "running"
    pid: int = 0
    run: int = 0
    started: str = ""
    updated: str = ""
    ended: str = ""
    ending: str = ""
    phases: tuple[PhaseProgress, ...] = ()
    steps: Steps = field(default_factory=Steps)
    trainings: tuple[TrainingProgress, ...] = ()
    sites: tuple[SiteContact, ...] = ()
    pause: Pause = field(default_factory=Pause)
    time_left: TimeLeft = field(default_factory=TimeLeft)
    disk_free_bytes: int = 0
    traffic: ExchangedVolume = field(default_factory=ExchangedVolume)
    lines: tuple[str, ...] = ()

    def write_json(self) -> dict[str, Any]:
        """The state as a JSON object."""
        return dataclasses.asdict(self)


def read_study_state(folder: Path) -> RunState | None:
    """The state of the study in a folder; None if none was ever written there.

    Raises
    ------
    StorageError
        If it cannot be read, is damaged, or was written by another version of rhe.
    """
    path = folder / STATE_FILE
    written = load_state_file(path)
    if written is None:
        return None
    try:
        return _decode(written)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise StorageError(f"{path}: is damaged -> it is written anew when the study goes on") from None


def _decode(written: dict[str, Any]) -> RunState:
    parts: dict[str, Any] = {
        "phases": tuple(PhaseProgress(**phase) for phase in written["phases"]),
        "steps": Steps(written["steps"]["done"], written["steps"]["of"], tuple(written["steps"]["now"])),
        "trainings": tuple(TrainingProgress(**training) for training in written["trainings"]),
        "sites": tuple(SiteContact(**site) for site in written["sites"]),
        "pause": Pause(tuple(written["pause"]["sites"]), str(written["pause"]["since"])),
        "time_left": TimeLeft(**written["time_left"]),
        "traffic": ExchangedVolume(**written["traffic"]),
        "lines": tuple(map(str, written["lines"])),
    }
    plain = {name: value for name, value in written.items() if name not in {"version", *parts}}
    return RunState(**plain, **parts)
