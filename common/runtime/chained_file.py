"""Append-only files in which each line names the SHA-256 of the line before, so that no line can be altered.

A line is a JSON object; its `number` counts from 1, its `previous` is the SHA-256 of the bytes of the line
before, without the line break (zeros in the first): `sha256sum` can check it. What was altered or cut off at
the end, no chain can tell; whoever kept the number and SHA-256 of a later line, can.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from common.errors import StorageError

START = "0" * 64
"""The previous SHA-256 in the first line."""

ChainedLine: TypeAlias = dict[str, Any]
"""The fields of a line, as JSON has them."""


class DamagedChainError(StorageError):
    """A line of a chained file was altered, or lines are gone."""


class ChainedFile:
    """A chained file; several processes may append to it.

    The whole file is read and checked when it is first used, and again when anybody else has touched it
    since: its size, its times and which file it is are compared before every line.

    Parameters
    ----------
    path : Path
    notice : callable, optional
        Called once with the fields of every line, including those of other processes; raises ValueError if it
        is no line of such a file.

    Attributes
    ----------
    path : Path
        Where the lines are.
    """

    def __init__(self, path: Path, notice: Callable[[ChainedLine], None] | None = None) -> None:
        self.path = path
        self._notice = notice
        self._digests: list[str] = []
        self._size = 0
        self._stamp: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """Number of lines read so far."""
        return len(self._digests)

    @property
    def head(self) -> str:
        """SHA-256 of the last of them, 64 hexadecimal digits; zeros if there is none."""
        return self.digest_of(self.count)

    def digest_of(self, number: int) -> str:
        """SHA-256 of the line of this number, which was read already; zeros for number 0."""
        return self._digests[number - 1] if number else START

    def append(self, fields: Mapping[str, object]) -> None:
        """Append a line; it is on the disk when this returns.

        Raises
        ------
        DamagedChainError
            If an earlier line was altered, or lines are gone: then nothing is written.
        StorageError
            If the file cannot be written.
        """
        with self._open_locked(os.O_RDWR | os.O_CREAT | os.O_APPEND) as handle:
            self._follow(handle)
            # Drops what a crash left of a line that was never reported as written
            os.ftruncate(handle, self._size)
            line = {**fields, "number": self.count + 1, "previous": self.head}
            text = json.dumps(line, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
            if os.write(handle, text) < len(text):
                raise StorageError(f"{self.path}: cannot be written (the disk is full)")
            os.fsync(handle)
            self._take(text)
            self._stamp = _stamp_of(handle)

    def refresh(self) -> None:
        """Read the lines that were appended since the last call.

        Raises
        ------
        DamagedChainError
            If a line was altered, or lines are gone.
        StorageError
            If the file cannot be read.
        """
        if not self.path.exists():
            if self.count:
                raise self._make_shortage(0)
            return
        with self._open_locked(os.O_RDONLY) as handle:
            self._follow(handle)

    def _follow(self, handle: int) -> None:
        stamp = _stamp_of(handle)
        if stamp == self._stamp:
            return
        number, previous, self._size = 0, START, 0
        with os.fdopen(os.dup(handle), "rb") as file:
            file.seek(0)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                number += 1
                previous = self._check(number, previous, text)
        if number < self.count:
            raise self._make_shortage(number)
        self._stamp = stamp

    def _check(self, number: int, previous: str, text: bytes) -> str:
        """SHA-256 of a line that follows from the one before; a line that is new is noticed.

        Raises
        ------
        DamagedChainError
            If it does not follow, or is another line than was read before.
        """
        if number > self.count:
            line = self._parse(number, text)
            if (line.get("number"), line.get("previous")) != (number, previous):
                raise self._make_error(number, "does not follow from the line before it")
            self._take(text)
        else:
            if hashlib.sha256(text[:-1]).hexdigest() != self._digests[number - 1]:
                raise self._make_error(number, "was altered after it was written")
            self._size += len(text)
        return self._digests[number - 1]

    def _take(self, text: bytes) -> None:
        """Count a line that follows from the one before.

        Raises
        ------
        DamagedChainError
            If who is to notice it does not know such lines.
        """
        if self._notice is not None:
            try:
                self._notice(self._parse(self.count + 1, text))
            except ValueError:
                raise self._make_error(self.count + 1, "is no line of this file") from None
        self._digests.append(hashlib.sha256(text[:-1]).hexdigest())
        self._size += len(text)

    def _parse(self, number: int, text: bytes) -> ChainedLine:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            raise self._make_error(number, "is no line of this file")
        return line

    def _make_error(self, number: int, what: str) -> DamagedChainError:
        return DamagedChainError(f"{self.path}, line {number}: {what} -> compare it with a backup")

    def _make_shortage(self, count: int) -> DamagedChainError:
        return DamagedChainError(
            f"{self.path}: has {count} lines, {self.count} were written -> restore it from a backup"
        )

    @contextmanager
    def _open_locked(self, flags: int) -> Iterator[int]:
        try:
            handle = os.open(self.path, flags, 0o600)
        except OSError as failure:
            raise StorageError(f"{self.path}: cannot be opened ({failure.strerror})") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        except OSError as failure:
            raise StorageError(f"{self.path}: cannot be written ({failure.strerror})") from None
        finally:
            os.close(handle)


def list_chain(path: Path) -> list[ChainedLine]:
    """The lines of a file, once the chain of them is checked; none if there is no file.

    Raises
    ------
    DamagedChainError
        With the number of the first line that does not follow from the one before.
    StorageError
        If the file cannot be read.
    """
    lines: list[ChainedLine] = []
    ChainedFile(path, lines.append).refresh()
    return lines


def _stamp_of(handle: int) -> tuple[int, ...]:
    """Which file it is, how large, and when it was changed: whoever touches it cannot keep all of this."""
    status = os.fstat(handle)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
