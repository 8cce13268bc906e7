"""What has left the hospital: one line an answer, each bound to the one before it.

The line is on disk before the answer leaves. There is no patient, value or key in it; its digest is of what
left, so that the hospital can prove later what that was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from common.errors import StorageError
from common.settings import Section
from common.storage import exclusive, private_folder, write_atomically

Sort = Literal["statistics", "model update", "model", "pictures", "description", "refusal", "protocol"]
_START = "0" * 64


class Departure(Section):
    """What an answer was, without its numbers."""

    plan_hash: str = Field(pattern=r"^([0-9a-f]{64})?$")
    """Of the study; empty of a message that could not be read."""
    phase: str
    """The question, e.g. "evaluate" or "guard cohort"."""
    what: Sort
    """Of what the answer is made."""
    subject: str = ""
    """Model and arm, where one is concerned."""
    round: int = Field(default=0, ge=0)
    """Of a training."""
    numbers: int = Field(ge=0)
    """How many numbers left."""
    size: int = Field(ge=0)
    """In bytes."""
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the bytes that left."""
    summed_with: tuple[str, ...] = ()
    """Sites in whose sum it disappears; none if it is shown as this site's own."""
    hidden: bool = False
    """Whether it left masked, so that only that sum can be read."""
    code: str = "OK"
    """Of a refusal, its reason."""


class Line(Section):
    """A line of the ledger."""

    number: int = Field(ge=1)
    """From 1."""
    time: datetime
    """When, UTC."""
    departure: Departure
    """What left."""
    previous: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the line before."""


class _Head(Section):
    day: str = ""
    today: int = Field(default=0, ge=0)
    number: int = Field(default=0, ge=0)
    digest: str = Field(default=_START, pattern=r"^[0-9a-f]{64}$")
    size: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Ledger:
    """The file of a site's departures.

    Attributes
    ----------
    folder : Path
        Holds the lines, and apart from them how many there are: a line cut off at the end is missed, too.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """Of the lines."""
        return self.folder / "ledger.jsonl"

    def record(self, departure: Departure) -> None:
        """Appends a line, before what it tells of leaves.

        Raises
        ------
        StorageError
            If the ledger was altered or cannot be written: then nothing may leave.
        """
        private_folder(self.folder)
        with exclusive(self.folder):
            head = self._settled()
            line = Line(
                number=head.number + 1, time=datetime.now(UTC), departure=departure, previous=head.digest
            )
            text = line.model_dump_json().encode()
            _append(self.path, text + b"\n")
            self._keep(_following(head, line, text))

    def today(self) -> int:
        """How many answers with numbers left on this day (UTC).

        Raises
        ------
        StorageError
            If what was kept of it is damaged.
        """
        head = self._head()
        return head.today if head.day == f"{datetime.now(UTC):%Y-%m-%d}" else 0

    def lines(self) -> tuple[Line, ...]:
        """Every line, once the chain is found whole.

        Raises
        ------
        StorageError
            With the first line that was altered, added or removed.
        """
        head, found, digest = self._head(), [], _START
        for number, text in enumerate(self._texts(), start=1):
            line = _read(self.path, number, text)
            if line.number != number or line.previous != digest:
                raise StorageError(
                    f"{self.path}, line {number}: does not follow from the line before it: the ledger was "
                    "altered -> compare it with a backup"
                )
            digest = hashlib.sha256(text).hexdigest()
            found.append(line)
            if number == head.number and digest != head.digest:
                raise StorageError(
                    f"{self.path}, line {number}: was altered after it was written -> compare with a backup"
                )
        if not head.number <= len(found) <= head.number + 1:
            raise StorageError(
                f"{self.path}: has {len(found)} lines, {head.number} were written -> compare it with a backup"
            )
        return tuple(found)

    def _settled(self) -> _Head:
        """Where the file ends, after a process that died while it wrote.

        A line without its end tells of nothing that left; a whole one may be ahead of the head by one.
        """
        head = self._head()
        tail = self._after(head.size)
        whole, _, torn = tail.rpartition(b"\n")
        if torn:
            os.truncate(self.path, head.size + len(tail) - len(torn))
        if not whole:
            return head
        line = _read(self.path, head.number + 1, whole)
        if (line.number, line.previous) != (head.number + 1, head.digest):
            raise self._altered()
        return _following(head, line, whole)

    def _after(self, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < size:
                    raise self._altered()
                file.seek(size)
                return file.read()
        except FileNotFoundError:
            if size:
                raise self._altered() from None
            return b""

    def _altered(self) -> StorageError:
        return StorageError(
            f"{self.path}: does not end as it was left -> nothing leaves before it is restored from a backup"
        )

    def _texts(self) -> Iterator[bytes]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        yield from content.split(b"\n")[:-1]

    def _head(self) -> _Head:
        path = self.folder / "ledger.head"
        try:
            return _Head.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return _Head()
        except (OSError, ValidationError):
            raise StorageError(f"{path}: is damaged -> restore it from a backup") from None

    def _keep(self, head: _Head) -> None:
        write_atomically(self.folder / "ledger.head", head.model_dump_json().encode(), private=True)


def _following(head: _Head, line: Line, text: bytes) -> _Head:
    day = f"{line.time:%Y-%m-%d}"
    return _Head(
        day=day,
        today=(head.today if day == head.day else 0) + (line.departure.numbers > 0),
        number=head.number + 1,
        digest=hashlib.sha256(text).hexdigest(),
        size=head.size + len(text) + 1,
    )


def _read(path: Path, number: int, text: bytes) -> Line:
    try:
        return Line.model_validate_json(text)
    except ValidationError:
        raise StorageError(
            f"{path}, line {number}: is no line of a ledger -> compare it with a backup"
        ) from None


def _append(path: Path, text: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "ab") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as failure:
        raise StorageError(
            f"{path}: cannot be written ({failure.strerror}) -> nothing leaves without its line here"
        ) from None
