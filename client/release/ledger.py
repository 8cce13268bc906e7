"""The ledger of what has left the hospital: one line for each answer, chained to the line before it.

The line is on disk before the answer leaves. It contains no patient, value or key; it contains the SHA-256 of
what left, so that the hospital can prove later what that was.
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

from client.membership.site import SiteSettings
from common.errors import PolicyError, StorageError
from common.runtime.settings_file import Section
from common.runtime.storage import lock_folder, make_private_folder, write_atomically

Sort = Literal["statistics", "model update", "model", "pictures", "description", "refusal", "protocol"]
_START = "0" * 64


class Departure(Section):
    """What an answer was, without its numbers."""

    plan_hash: str = Field(pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of the study's plan; empty if the message could not be read."""
    phase: str
    """The question, e.g. "evaluate" or "guard cohort"."""
    what: Sort
    """What kind of content the answer has."""
    subject: str = ""
    """Name of the model and its arm, where the question is about one."""
    round: int = Field(default=0, ge=0)
    """Number of the training round; 0 outside a training."""
    numbers: int = Field(ge=0)
    """How many numbers left."""
    size: int = Field(ge=0)
    """How many bytes left."""
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the bytes that left."""
    summed_with: tuple[str, ...] = ()
    """Names of the other sites in the sum; none if the answer is shown as this site's own."""
    hidden: bool = False
    """Whether it left masked, so that only the sum can be read."""
    code: str = "OK"
    """The reason of a refusal; "OK" otherwise."""
    times: int = Field(default=1, ge=1)
    """How many refusals of this kind left since its last line; the line describes the last of them."""


class LedgerLine(Section):
    """A line of the ledger."""

    number: int = Field(ge=1)
    """Number of the line, from 1."""
    time: datetime
    """When the line was written, UTC."""
    departure: Departure
    """What left."""
    previous: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the line before; zeros in the first."""


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
        Holds the lines and, in another file, their number: thus a line cut off at the end is noticed, too.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """File of the lines."""
        return self.folder / "ledger.jsonl"

    def record(self, departure: Departure) -> None:
        """Append a line, before the answer that it describes leaves.

        Raises
        ------
        StorageError
            If the ledger was altered or cannot be written: nothing may leave then.
        """
        make_private_folder(self.folder)
        with lock_folder(self.folder):
            head = self._settle()
            line = LedgerLine(
                number=head.number + 1, time=datetime.now(UTC), departure=departure, previous=head.digest
            )
            text = line.model_dump_json().encode()
            _append(self.path, text + b"\n")
            self._keep(_advance_head(head, line, text))

    def count_today(self) -> int:
        """How many answers with numbers left on this day (UTC).

        Raises
        ------
        StorageError
            If the count that was kept is damaged.
        """
        head = self._read_head()
        return head.today if head.day == f"{datetime.now(UTC):%Y-%m-%d}" else 0

    def read_lines(self) -> tuple[LedgerLine, ...]:
        """All lines, once the chain of them is checked.

        Raises
        ------
        StorageError
            Names the first line that was altered, added or removed.
        """
        head, lines, digest = self._read_head(), [], _START
        for number, text in enumerate(self._read_texts(), start=1):
            line = _parse_line(self.path, number, text)
            if line.number != number or line.previous != digest:
                raise StorageError(
                    f"{self.path}, line {number}: does not follow from the line before it: the ledger was "
                    "altered -> compare it with a backup"
                )
            digest = hashlib.sha256(text).hexdigest()
            lines.append(line)
            if number == head.number and digest != head.digest:
                raise StorageError(
                    f"{self.path}, line {number}: was altered after it was written -> compare with a backup"
                )
        if not head.number <= len(lines) <= head.number + 1:
            raise StorageError(
                f"{self.path}: has {len(lines)} lines, {head.number} were written -> compare it with a backup"
            )
        return tuple(lines)

    def _settle(self) -> _Head:
        """The head of the file, repaired if a process died while it wrote.

        An incomplete line describes nothing that left; one complete line may be missing in the head.
        """
        head = self._read_head()
        tail = self._read_after(head.size)
        complete, _, torn = tail.rpartition(b"\n")
        if torn:
            os.truncate(self.path, head.size + len(tail) - len(torn))
        if not complete:
            return head
        line = _parse_line(self.path, head.number + 1, complete)
        if (line.number, line.previous) != (head.number + 1, head.digest):
            raise self._mismatch_error()
        return _advance_head(head, line, complete)

    def _read_after(self, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < size:
                    raise self._mismatch_error()
                file.seek(size)
                return file.read()
        except FileNotFoundError:
            if size:
                raise self._mismatch_error() from None
            return b""

    def _mismatch_error(self) -> StorageError:
        return StorageError(
            f"{self.path}: does not end as it was left -> nothing leaves before it is restored from a backup"
        )

    def _read_texts(self) -> Iterator[bytes]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        yield from content.split(b"\n")[:-1]

    def _read_head(self) -> _Head:
        path = self.folder / "ledger.head"
        try:
            return _Head.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return _Head()
        except (OSError, ValidationError):
            raise StorageError(f"{path}: is damaged -> restore it from a backup") from None

    def _keep(self, head: _Head) -> None:
        write_atomically(self.folder / "ledger.head", head.model_dump_json().encode(), private=True)


def _advance_head(head: _Head, line: LedgerLine, text: bytes) -> _Head:
    day = f"{line.time:%Y-%m-%d}"
    return _Head(
        day=day,
        today=(head.today if day == head.day else 0) + (line.departure.numbers > 0),
        number=head.number + 1,
        digest=hashlib.sha256(text).hexdigest(),
        size=head.size + len(text) + 1,
    )


def _parse_line(path: Path, number: int, text: bytes) -> LedgerLine:
    try:
        return LedgerLine.model_validate_json(text)
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


def check_quota(settings: SiteSettings, ledger: Ledger) -> None:
    """Refuse if the site has already answered as often today as its policy allows.

    Raises
    ------
    PolicyError
        If it has; days are those of UTC.
    StorageError
        If the ledger is damaged: then nothing leaves.
    """
    allowed = settings.policy.answers_per_day
    if ledger.count_today() >= allowed:
        raise PolicyError(
            f"this site has answered {allowed} times today -> go on tomorrow with --resume, or raise "
            "policy.answers_per_day in site.toml"
        )
