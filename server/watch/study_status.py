"""`rhe-server status`: where a study stands, by its folder alone; it starts nothing and loads little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import ResumeError, StorageError
from common.runtime.storage import is_taken
from server.watch.study_board import describe_study
from server.watch.study_state import STATE_FILE, RunState, read_study_state

_DEPTH = 3
"""Folders below the given one that are searched."""
_PARTS = ("checkpoints", "flower", "models", "pictures", "sa1", "sites", "tables")
"""Folders of a study, in which no other one lies."""


@dataclass(frozen=True)
class StudyStatus:
    """What can be told of one study's folder.

    Attributes
    ----------
    folder : Path
        The study's.
    state : RunState
        As its file says.
    is_running : bool
        Whether a process works on it now.
    """

    folder: Path
    state: RunState
    is_running: bool

    def write_json(self) -> str:
        """One JSON object: the state, its folder, and whether it runs."""
        told = {"folder": str(self.folder), "is_running": self.is_running, **self.state.write_json()}
        return json.dumps(told, ensure_ascii=False, indent=2)

    def write_lines(self) -> list[str]:
        """The state in words."""
        board = describe_study(self.state, is_running=self.is_running)
        process = [f"  process: {self.state.pid}"] if self.is_running else []
        return [*board.write_text(), *process, f"  folder: {self.folder}"]


def find_status(folder: Path) -> StudyStatus:
    """The status of the study in a folder, or of the one below it that was last at work.

    Raises
    ------
    ResumeError
        If there is no study.
    StorageError
        If a study's state cannot be read.
    """
    if not folder.is_dir():
        raise ResumeError(f"{folder}: no such folder -> give a study's --out, or the folder above it")
    found, damage = [], None
    for place in _find_folders(folder, _DEPTH):
        try:
            found += [status for status in (_read_status(place),) if status is not None]
        except StorageError as failure:
            # It hides no other study
            damage = failure
    if damage is not None and not found:
        raise damage
    if not found:
        raise ResumeError(
            f"{folder}: no study has run here with this rhe -> give a study's --out, or the folder above it; "
            "rhe-server studies lists older ones"
        )
    return max(found, key=lambda status: (status.is_running, status.state.updated))


def _read_status(folder: Path) -> StudyStatus | None:
    # First: what ends between the two looks has ended
    is_running = is_taken(folder)
    state = read_study_state(folder)
    return None if state is None else StudyStatus(folder, state, is_running)


def _find_folders(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / STATE_FILE).is_file():
        yield folder
        return
    if depth:
        try:
            below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
        except OSError:
            # What this account may not read holds no study of its own
            return
        for path in below:
            if path.name not in _PARTS:
                yield from _find_folders(path, depth - 1)
