"""Files that only grow, in which each line hashes the one before: the site's ledger, and its audit.

A line is ``{"entry": ..., "hash": H, "previous": P}`` with H = SHA-256(P, entry). An edited, removed or
inserted line breaks the chain; a cut tail is found by whoever kept a later hash.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from common.errors import ProtocolError, StorageError
from common.secagg.canonical import Json, canonical, parse
from common.secagg.errors import SecAggError
from common.secagg.wire import sha256

START = "0" * 64
"""What the first line follows."""

Entry: TypeAlias = Mapping[str, object]

_LONGEST = 1 << 22


class Chain:
    """One such file; several processes may append to it.

    Parameters
    ----------
    path : Path
    notice : callable, optional
        Called with every entry, once each, those of other processes included.

    Attributes
    ----------
    count : int
        Entries seen so far.
    head : str
        Hash of the last one.
    """

    def __init__(self, path: Path, notice: Callable[[dict[str, Json]], None] | None = None) -> None:
        self._path = path
        self._notice = notice
        self._offset = 0
        self.count = 0
        self.head = START

    def append(self, entry: Entry) -> None:
        """Adds a line; it is on the disk when this returns.

        Raises
        ------
        StorageError
            If it cannot be written.
        SecAggError
            E_STATE_CORRUPT if the lines before do not hold together.
        """
        with self._opened(os.O_RDWR | os.O_CREAT | os.O_APPEND) as handle:
            self._follow(handle)
            # What a crash left of a line whose entry nobody was told of
            os.ftruncate(handle, self._offset)
            os.write(handle, _line(self.head, entry))
            os.fsync(handle)
            self._follow(handle)

    def refresh(self) -> None:
        """Takes notice of what was appended since.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if the lines do not hold together, or some are gone.
        StorageError
            If they cannot be read.
        """
        if self._path.exists() or self.count:
            with self._opened(os.O_RDONLY) as handle:
                self._follow(handle)

    def _follow(self, handle: int) -> None:
        size = os.fstat(handle).st_size
        if size < self._offset:
            raise _broken(self.count)
        data = os.pread(handle, size - self._offset, self._offset)
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            entry, self.head = _checked(self.head, line, self.count)
            self.count += 1
            self._offset += len(line)
            if self._notice is not None:
                self._notice(entry)

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        try:
            handle = os.open(self._path, flags, 0o600)
        except OSError as failure:
            raise StorageError(f"{self._path}: cannot be opened ({failure.strerror})") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        except OSError as failure:
            raise StorageError(f"{self._path}: cannot be written ({failure.strerror})") from None
        finally:
            os.close(handle)


def verify_chain(path: Path) -> int:
    """The number of lines of a file whose lines all hold together.

    Raises
    ------
    SecAggError
        E_STATE_CORRUPT with the number of the first line that does not.
    StorageError
        If it cannot be read.
    """
    chain = Chain(path)
    chain.refresh()
    return chain.count


def read_chain(path: Path) -> list[dict[str, Json]]:
    """The entries, checked as by `verify_chain`."""
    entries: list[dict[str, Json]] = []
    Chain(path, entries.append).refresh()
    return entries


def _line(previous: str, entry: Entry) -> bytes:
    digest = sha256(previous.encode("ascii"), canonical(entry))
    return canonical({"previous": previous, "entry": entry, "hash": digest}) + b"\n"


def _checked(previous: str, line: bytes, number: int) -> tuple[dict[str, Json], str]:
    try:
        fields = parse(line[:-1], _LONGEST)
    except ProtocolError:
        raise _broken(number) from None
    entry = fields.get("entry")
    if not isinstance(entry, dict) or _line(previous, entry) != line:
        raise _broken(number)
    return entry, str(fields["hash"])


def _broken(number: int) -> SecAggError:
    return SecAggError(
        f"line {number + 1} of a chained file was altered, or lines are gone", code="E_STATE_CORRUPT"
    )
