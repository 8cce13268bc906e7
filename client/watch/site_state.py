"""Where a hospital's engine stands, as it writes it down itself: a file in the site's state that stays there.

It names no patient and holds no number about patients.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from common.errors import StorageError
from common.runtime.watch.state_file import load_state_file

WATCH_FOLDER: Final = "watch"
"""Holds the file, in the site's state; locked while the engine runs."""
STATE_NAME: Final = "state.json"
"""The file's name there."""


@dataclass
class Computation:
    """What the engine computes now.

    Attributes
    ----------
    what : str
        In words; empty while it waits for a question.
    since : str
        When it began, UTC, ISO 8601.
    part : str
        Which part takes long now; empty if none is known.
    done, of : int
        Of that part; 0 of 0 where it is not known.
    """

    what: str = ""
    since: str = ""
    part: str = ""
    done: int = 0
    of: int = 0


@dataclass
class DeviceMemory:
    """Memory of the GPU that the engine uses.

    Attributes
    ----------
    used_bytes, total_bytes : int
        By everybody who uses the GPU; 0 of 0 where none is used.
    """

    used_bytes: int = 0
    total_bytes: int = 0


@dataclass
class LeftToday:
    """What has left today, by the ledger.

    Attributes
    ----------
    date : str
        Day of UTC.
    answers : dict of str to int
        How many of each kind.
    """

    date: str = ""
    answers: dict[str, int] = field(default_factory=dict)


@dataclass
class EngineState:
    """Where an engine stands.

    Attributes
    ----------
    site, study, plan_hash : str
        As in site.toml and in the plan.
    pid : int
        Number of the engine's process.
    started, updated, ended : str
        The engine's beginning; when this was written; its end, empty before. UTC, ISO 8601.
    heard : str
        When the coordinator's last question came; empty before the first.
    phase : str
        The procedure of that question.
    answered, answered_at : int, str
        How many questions were answered since the engine began; when the last of them was, empty before.
    closed : str
        When the study's last message was answered; empty as long as questions may come.
    computing : Computation
        What it computes now.
    memory : DeviceMemory
        Of its GPU.
    disk_free_bytes : int
        In the site's state.
    left : LeftToday
        What has left this hospital today.
    told : int
        How many lines there were since the engine began.
    lines : tuple of str
        The last of them.
    """

    site: str = ""
    study: str = ""
    plan_hash: str = ""
    pid: int = 0
    started: str = ""
    updated: str = ""
    ended: str = ""
    heard: str = ""
    phase: str = ""
    answered: int = 0
    answered_at: str = ""
    closed: str = ""
    computing: Computation = field(default_factory=Computation)
    memory: DeviceMemory = field(default_factory=DeviceMemory)
    disk_free_bytes: int = 0
    left: LeftToday = field(default_factory=LeftToday)
    told: int = 0
    lines: tuple[str, ...] = ()

    def write_json(self) -> dict[str, Any]:
        """The state as a JSON object."""
        return dataclasses.asdict(self)


def read_site_state(state: Path) -> EngineState | None:
    """The state of the engine whose files lie in a folder; None if it never wrote one.

    Raises
    ------
    StorageError
        If it cannot be read, is damaged, or was written by another version of rhe.
    """
    path = state / WATCH_FOLDER / STATE_NAME
    written = load_state_file(path)
    if written is None:
        return None
    try:
        return _decode(written)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise StorageError(f"{path}: is damaged -> it is written anew when the engine goes on") from None


def _decode(written: dict[str, Any]) -> EngineState:
    parts: dict[str, Any] = {
        "computing": Computation(**written["computing"]),
        "memory": DeviceMemory(**written["memory"]),
        "left": LeftToday(**written["left"]),
        "lines": tuple(map(str, written["lines"])),
    }
    plain = {name: value for name, value in written.items() if name not in {"version", *parts}}
    return EngineState(**plain, **parts)
