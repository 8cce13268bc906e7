"""The journal of a study: the runs that it took, and what each phase of each run cost.

A line is appended at every round of messages, and holds all that the phase has cost in its run until then. So
the last line of a run and phase counts, and a run that was killed loses no more than the line it was writing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from common.errors import ResumeError, StorageError
from common.runtime.settings_file import Section
from server.watch.watched_parts import PauseEnding


class RunLine(Section):
    """A run of the study began."""

    event: Literal["run"] = "run"
    """The journal's word for this line."""
    run: int = Field(ge=1)
    """Number of the run."""
    started: str
    """UTC, ISO 8601."""
    versions: dict[str, str]
    """Of the coordinator's Python and packages, by name."""
    earlier: bool = False
    """Whether runs before it left no line, because their rhe kept no journal."""


class PhaseLine(Section):
    """What one phase has cost in one run so far."""

    event: Literal["phase"] = "phase"
    """The journal's word for this line."""
    run: int = Field(ge=1)
    """Number of the run."""
    phase: str
    """Name of the phase."""
    at: str
    """When the line was written, UTC, ISO 8601."""
    seconds: float = Field(ge=0)
    """Wall time."""
    rounds: int = Field(ge=0)
    """Rounds of messages to the sites."""
    messages: int = Field(ge=0)
    """Messages sent to the sites."""
    bytes_sent: int = Field(ge=0)
    """Of the bodies of the messages to the sites."""
    bytes_received: int = Field(ge=0)
    """Of the bodies of the sites' replies."""


class PauseLine(Section):
    """The study has waited for a site, and does so no more."""

    event: Literal["pause"] = "pause"
    """The journal's word for this line."""
    run: int = Field(ge=1)
    """Number of the run."""
    site: str
    """Name of the site."""
    since: str
    """When it was missed first, UTC, ISO 8601."""
    at: str
    """When the line was written, UTC, ISO 8601."""
    seconds: float = Field(ge=0)
    """Until the pause was over."""
    ending: PauseEnding = "back"
    """How the pause ended."""


AnyLine: TypeAlias = RunLine | PhaseLine | PauseLine
JournalLine: TypeAlias = Annotated[AnyLine, Field(discriminator="event")]
_LINES: TypeAdapter[JournalLine] = TypeAdapter(JournalLine)


@dataclass
class Journal:
    """The journal of one study.

    Attributes
    ----------
    path : Path
        The file, one JSON object a line.
    lines : list of RunLine, PhaseLine or PauseLine
        Those that count: of each run its beginning, then the last line of each phase, and every pause.
    """

    path: Path
    lines: list[AnyLine]

    @property
    def runs(self) -> list[RunLine]:
        """The beginning of every run, in order."""
        return [line for line in self.lines if isinstance(line, RunLine)]

    @property
    def phases(self) -> list[PhaseLine]:
        """What every phase of every run cost."""
        return [line for line in self.lines if isinstance(line, PhaseLine)]

    @property
    def pauses(self) -> list[PauseLine]:
        """Each time that the study has waited for a site, in the order of their ends."""
        return [line for line in self.lines if isinstance(line, PauseLine)]

    def append(self, line: AnyLine) -> None:
        """Write a line, which replaces an earlier one of its run and phase.

        Raises
        ------
        StorageError
            If the disk is full or the file cannot be written.
        """
        try:
            with self.path.open("ab") as file:
                file.write(line.model_dump_json().encode() + b"\n")
        except OSError as failure:
            raise StorageError(f"{self.path}: cannot be written ({failure.strerror})") from None
        _take(self.lines, line)


def open_journal(path: Path) -> Journal:
    """The journal in a file, or an empty one; a last line that was not finished is cut off.

    Raises
    ------
    ResumeError
        If another line is damaged.
    StorageError
        If the file cannot be read or written.
    """
    lines: list[AnyLine] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with path.open("r+b") as file:
                file.truncate(len(whole))
    except OSError as failure:
        raise StorageError(f"{path}: cannot be read or written ({failure.strerror})") from None
    for line in _read_lines(path, whole):
        _take(lines, line)
    return Journal(path, lines)


def read_journal(path: Path) -> tuple[AnyLine, ...]:
    """The lines of a journal that another process may be writing; none where there is no file.

    Raises
    ------
    ResumeError
        If a line that was finished is damaged.
    """
    content = path.read_bytes() if path.exists() else b""
    return tuple(_read_lines(path, content[: content.rfind(b"\n") + 1]))


def _read_lines(path: Path, content: bytes) -> Iterator[AnyLine]:
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            yield _LINES.validate_json(line)
        except ValidationError:
            raise ResumeError(
                f"{path}, line {number}: is damaged -> restore it from a copy; without the file the results "
                "lack what earlier runs cost"
            ) from None


def _take(lines: list[AnyLine], line: AnyLine) -> None:
    """Add the line in place of an earlier one of the same run and phase."""
    if isinstance(line, PhaseLine):
        for place, known in enumerate(lines):
            if isinstance(known, PhaseLine) and (known.run, known.phase) == (line.run, line.phase):
                lines[place] = line
                return
    lines.append(line)


def add_up(lines: Sequence[PhaseLine]) -> dict[str, PhaseLine]:
    """What each phase cost in all runs together, in the order in which the phases first began."""
    sums: dict[str, PhaseLine] = {}
    for line in lines:
        known = sums.get(line.phase)
        sums[line.phase] = line if known is None else _add(known, line)
    return sums


def _add(first: PhaseLine, second: PhaseLine) -> PhaseLine:
    return second.model_copy(
        update={
            "seconds": first.seconds + second.seconds,
            "rounds": first.rounds + second.rounds,
            "messages": first.messages + second.messages,
            "bytes_sent": first.bytes_sent + second.bytes_sent,
            "bytes_received": first.bytes_received + second.bytes_received,
        }
    )
