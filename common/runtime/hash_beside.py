"""SHA-256 of large bytes, computed in a thread of its own while this one writes or masks."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

_LARGE = 1 << 18
"""Fewer bytes are hashed in less time than a thread takes to begin."""
_MOST_WAITING = 16
"""Pieces that wait to be hashed, besides as many that the thread has taken; whoever adds another waits, too,
so that they do not fill the memory."""


@dataclass
class BesideHash:
    """A hash that grows beside other work; what it was given must not change any more."""

    _waiting: list[memoryview] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _has_ended: bool = False
    _worker: threading.Thread | None = None
    _hash: _Hash = field(init=False)

    def __post_init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, piece: bytes | bytearray | memoryview) -> None:
        """Hash more bytes, after those that were added before."""
        view = memoryview(piece)
        if self._worker is None and view.nbytes < _LARGE:
            self._hash.update(view)
            return
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="hash", daemon=True)
            self._worker.start()
        with self._news:
            while len(self._waiting) >= _MOST_WAITING:
                self._news.wait()
            self._waiting.append(view)
            if len(self._waiting) == 1:
                # Else the thread is not waiting: to wake it costs more than to hash a piece
                self._news.notify_all()

    def end(self) -> str:
        """SHA-256 of all that was added, 64 hexadecimal digits; the thread has ended."""
        with self._news:
            self._has_ended = True
            self._news.notify_all()
        if self._worker is not None:
            self._worker.join()
        return self._hash.hexdigest()

    def _work(self) -> None:
        while True:
            with self._news:
                while not self._waiting and not self._has_ended:
                    self._news.wait()
                pieces, self._waiting = self._waiting, []
                if len(pieces) == _MOST_WAITING:
                    self._news.notify_all()
            if not pieces:
                return
            for piece in pieces:
                self._hash.update(piece)


@contextmanager
def hash_beside() -> Iterator[BesideHash]:
    """A hash whose thread ends with the context, whatever happens in it."""
    beside = BesideHash()
    try:
        yield beside
    finally:
        beside.end()
