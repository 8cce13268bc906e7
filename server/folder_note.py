"""README.md of a study's folder: what lies in it and what for, from its first minute on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from common.plan.study import StudyPlan
from common.runtime.storage import write_atomically
from server.report.closing_words import FOLDER_PARTS, SHARING, list_found
from server.results.file import Results

NOTE = "README.md"
"""The note's name in the study's folder."""


def begin_note(plan: StudyPlan, folder: Path) -> None:
    """Write the note of a study that runs.

    Raises
    ------
    StorageError
        If the disk is full or the file cannot be written.
    """
    state = (
        f"**Not finished**: running since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC (`rhe-server status` tells "
        "whether it still is). If no run is at work for it, the same command with --resume goes on; there is "
        "no result yet, and what lies in checkpoints/ is no model."
    )
    _write(plan, folder, (state,))


def finish_note(plan: StudyPlan, folder: Path, results: Results) -> None:
    """Write the note of a study that is finished, with what it found; raises as `begin_note`."""
    state = f"**Finished** {results.provenance.finished[:16].replace('T', ' ')} UTC."
    _write(plan, folder, (state, "", "```text", *list_found(results), "```"))


def _write(plan: StudyPlan, folder: Path, state: Iterable[str]) -> None:
    places = (f"| `{name}` | {what} |" for name, what in FOLDER_PARTS)
    lines = (
        f"# {plan.name}",
        "",
        f"Plan `{plan.digest()}`.",
        "",
        *state,
        "",
        "| here | what for |",
        "|---|---|",
        *places,
        "",
        SHARING,
        "",
    )
    write_atomically(folder / NOTE, "\n".join(lines).encode())
