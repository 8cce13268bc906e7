"""Which studies ran on this machine: found by the mark that each run leaves in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from common.errors import ResumeError
from common.runtime.storage import is_taken
from server.results.journal import RunLine, read_journal

StudyState: TypeAlias = Literal["running", "stopped", "finished", "damaged"]
"""A process works on it; it can go on with --resume; it has results; its mark cannot be read."""

_MARK = "study.json"
_DEPTH = 4
"""Folders below the given one that are searched."""


@dataclass(frozen=True)
class PastStudy:
    """One study's folder.

    Attributes
    ----------
    name, plan_hash : str
        As in the plan; the whole SHA-256. Empty if damaged.
    state : StudyState
        Whether it runs, and if not, whether it was finished.
    started, last_heard : str
        When it was first begun, and its last round of messages or phase, UTC, ISO 8601; empty if not known.
    folder : str
        Where it lies.
    """

    name: str
    plan_hash: str
    state: StudyState
    started: str
    last_heard: str
    folder: str


def list_studies(folder: Path) -> tuple[PastStudy, ...]:
    """Every study in the folder or below it, the latest first.

    Raises
    ------
    ResumeError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise ResumeError(f"{folder}: no such folder -> name the one above your studies' --out")
    studies = (_read_study(mark.parent) for mark in _find_marks(folder, _DEPTH))
    return tuple(sorted(studies, key=lambda study: (study.last_heard, study.folder), reverse=True))


def _find_marks(folder: Path, depth: int) -> Iterator[Path]:
    """Marks of studies; no study lies in another one's folder."""
    mark = folder / _MARK
    if mark.is_file():
        yield mark
        return
    if depth:
        try:
            below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
        except OSError:
            # What this account may not read holds no study of its own
            return
        for path in below:
            yield from _find_marks(path, depth - 1)


def _read_study(folder: Path) -> PastStudy:
    try:
        mark = json.loads((folder / _MARK).read_text(encoding="utf-8"))
        name, plan_hash = str(mark["name"]), str(mark["plan_hash"])
        lines = read_journal(folder / "journal.jsonl")
        state = _find_state(folder)
    except (OSError, ValueError, KeyError, TypeError, ResumeError):
        return PastStudy("", "", "damaged", "", "", str(folder))
    begun = [line.started for line in lines if isinstance(line, RunLine)]
    heard = [line.started if isinstance(line, RunLine) else line.at for line in lines]
    return PastStudy(name, plan_hash, state, min(begun, default=""), max(heard, default=""), str(folder))


def _find_state(folder: Path) -> StudyState:
    if is_taken(folder):
        return "running"
    return "finished" if (folder / "results.json").exists() else "stopped"
