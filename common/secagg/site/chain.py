"""Append-only files in which each line hashes the one before: a site's masked releases, and its audit.

A line is ``{"entry": ..., "hash": H, "previous": P}`` with H = SHA-256(P, entry). An edited, removed or
inserted line breaks the chain; lines cut off at the end are noticed by whoever kept a later hash.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from common.errors import ProtocolError, StorageError
from common.secagg.codes import SecAggError
from common.secagg.wire.canonical import Json, encode_canonical, parse_canonical
from common.secagg.wire.frames import sha256

START = "0" * 64
"""The previous hash in the first line."""

ChainEntry: TypeAlias = Mapping[str, object]
"""The content of one line; everything in it has a canonical form."""

_LONGEST = 1 << 22


class Chain:
    """A chained file; several processes may append to it.

    Parameters
    ----------
    path : Path
    notice : callable, optional
        Called once with every entry, including those of other processes.

    Attributes
    ----------
    count : int
        Number of entries read so far.
    head : str
        SHA-256 of the last of them, 64 hexadecimal digits.
    """

    def __init__(self, path: Path, notice: Callable[[dict[str, Json]], None] | None = None) -> None:
        self._path = path
        self._notice = notice
        self._offset = 0
        self.count = 0
        self.head = START

    def append(self, entry: ChainEntry) -> None:
        """Append a line; it is on the disk when this returns.

        Raises
        ------
        StorageError
            If the file cannot be written.
        SecAggError
            E_STATE_CORRUPT if an earlier line was altered.
        """
        with self._open_locked(os.O_RDWR | os.O_CREAT | os.O_APPEND) as handle:
            self._follow(handle)
            # Drops what a crash left of a line that was never reported as written
            os.ftruncate(handle, self._offset)
            os.write(handle, _make_line(self.head, entry))
            os.fsync(handle)
            self._follow(handle)

    def refresh(self) -> None:
        """Read the lines that were appended since the last call.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if a line was altered, or lines are gone.
        StorageError
            If the file cannot be read.
        """
        if self._path.exists() or self.count:
            with self._open_locked(os.O_RDONLY) as handle:
                self._follow(handle)

    def _follow(self, handle: int) -> None:
        size = os.fstat(handle).st_size
        if size < self._offset:
            raise _chain_error(self.count)
        data = os.pread(handle, size - self._offset, self._offset)
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            entry, self.head = _check_line(self.head, line, self.count)
            self.count += 1
            self._offset += len(line)
            if self._notice is not None:
                self._notice(entry)

    @contextmanager
    def _open_locked(self, flags: int) -> Iterator[int]:
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
    """The number of lines in a file, once the chain of them is checked.

    Raises
    ------
    SecAggError
        E_STATE_CORRUPT with the number of the first line that does not follow from the one before.
    StorageError
        If the file cannot be read.
    """
    chain = Chain(path)
    chain.refresh()
    return chain.count


def read_chain(path: Path) -> list[dict[str, Json]]:
    """The entries of a file; checks and raises as `verify_chain`."""
    entries: list[dict[str, Json]] = []
    Chain(path, entries.append).refresh()
    return entries


def _make_line(previous: str, entry: ChainEntry) -> bytes:
    digest = sha256(previous.encode("ascii"), encode_canonical(entry))
    return encode_canonical({"previous": previous, "entry": entry, "hash": digest}) + b"\n"


def _check_line(previous: str, line: bytes, number: int) -> tuple[dict[str, Json], str]:
    try:
        fields = parse_canonical(line[:-1], _LONGEST)
    except ProtocolError:
        raise _chain_error(number) from None
    entry = fields.get("entry")
    if not isinstance(entry, dict) or _make_line(previous, entry) != line:
        raise _chain_error(number)
    return entry, str(fields["hash"])


def _chain_error(number: int) -> SecAggError:
    return SecAggError(
        f"line {number + 1} of a chained file was altered, or lines are gone", code="E_STATE_CORRUPT"
    )
