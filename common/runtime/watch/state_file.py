"""The state of a long work in a file of its own, for whoever asks from another process.

It is written whole, by a thread of its own and at most once a second: what happens in the work never waits
for the disk, and a full disk costs no more than the file.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from common.errors import StorageError
from common.runtime.storage import write_atomically

_log = logging.getLogger(__name__)

STATE_VERSION: Final = 1
"""Of the file's form; a reader refuses another."""
STATE_BYTES: Final = 1 << 20
"""Most bytes that a reader looks at."""
_PERIOD_S, _LONGEST_S = 1.0, 10.0


class StateFile:
    """The file of one work.

    Parameters
    ----------
    path : Path
        Only its owner may read it.
    take : callable
        The state now, as JSON; called from the file's thread.
    tick : callable
        Called once a second from the same thread; may raise nothing.
    """

    def __init__(
        self,
        path: Path,
        take: Callable[[], Mapping[str, object]],
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._path, self._take, self._tick = path, take, tick
        self._is_new, self._is_over = threading.Event(), threading.Event()
        self._written = 0.0
        self._is_broken = False

    def touch(self) -> None:
        """Say that the state has changed; the file follows within a second."""
        self._is_new.set()

    @contextmanager
    def keep(self) -> Iterator[None]:
        """A context in which the file follows the state; at its end it holds the last one."""
        self.write()
        thread = threading.Thread(target=self._follow, name="state file", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join()
            self.write()

    def _follow(self) -> None:
        while not self._is_over.wait(_PERIOD_S):
            self._tick()
            if self._is_new.is_set() or time.monotonic() - self._written > _LONGEST_S:
                self.write()

    def write(self) -> None:
        """Write the state now; a failure is told once."""
        self._is_new.clear()
        self._written = time.monotonic()
        state = {"version": STATE_VERSION, **self._take()}
        try:
            write_atomically(self._path, json.dumps(state, ensure_ascii=False).encode(), private=True)
        except StorageError as failure:
            if not self._is_broken:
                _log.warning("the state cannot be shown to other commands: %s", failure)
            self._is_broken = True
        else:
            self._is_broken = False


def load_state_file(path: Path) -> dict[str, Any] | None:
    """The state in a file that another process may be writing; None if there is no file.

    Raises
    ------
    StorageError
        If it cannot be read, is damaged, or was written by another version of rhe.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            content = file.read(STATE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise StorageError(
            f"{path}: cannot be read ({failure.strerror}) -> ask as the user whose file it is"
        ) from None
    try:
        state = json.loads(content)
        version = state["version"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise StorageError(f"{path}: is damaged -> it is written anew when the work goes on") from None
    if version != STATE_VERSION:
        raise StorageError(
            f"{path}: was written by another version of rhe (form {version!r}, here {STATE_VERSION}) -> ask "
            "with the rhe that does the work"
        )
    return dict(state)
