"""A child's log while the child runs: the pipe that it writes to, and the process that keeps the log.

This process holds the pipe's reading end, too. So a keeper that is killed costs the child nothing: its writes
do not fail, they wait in the pipe until the next keeper reads them.
"""

from __future__ import annotations

import os
import subprocess
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

_PAUSE_S = 1.0
"""Between two keepers of one log."""
_LAST_TRIES = 3


class KeptLog:
    """A pipe's reading end, and the process that reads there until nobody writes any more.

    Parameters
    ----------
    reading : int
        The pipe's end; closed when all was read.
    command : sequence of str
        What reads its standard input and keeps the log.
    environment : mapping of str to str
        The command's.
    prepare : callable
        Called in the new process before the command.
    """

    def __init__(
        self,
        reading: int,
        command: Sequence[str],
        environment: Mapping[str, str],
        prepare: Callable[[], None],
    ) -> None:
        self._reading, self._command, self._prepare = reading, list(command), prepare
        # As it is now: later this process may act as another user, for whom other names would be handed on
        self._environment = dict(environment)
        self._close = weakref.finalize(self, os.close, reading)
        self._keeper = self._start()

    @property
    def pid(self) -> int:
        """Process number of who keeps the log now."""
        return self._keeper.pid

    @property
    def is_complete(self) -> bool:
        """Whether all that was written is in the log and nobody can write any more."""
        if self._keeper.poll() == 0:
            self._close()
        return not self._close.alive

    def mend(self) -> None:
        """Let another process keep the log if the last one was killed."""
        if not self.is_complete and self._keeper.poll() is not None and time.monotonic() >= self._due:
            self._keeper = self._start()

    def wait(self, patience_s: float) -> None:
        """Wait until all is in the log, or as long as this."""
        deadline = time.monotonic() + patience_s
        for _ in range(_LAST_TRIES):
            with suppress(subprocess.TimeoutExpired):
                self._keeper.wait(max(0.0, deadline - time.monotonic()))
            if self.is_complete or self._keeper.poll() is None:
                return
            self._keeper = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._due = time.monotonic() + _PAUSE_S
        return subprocess.Popen(
            self._command,
            stdin=self._reading,
            stdout=subprocess.DEVNULL,
            # Its user could take from it what this process has: a terminal, secrets in the environment
            stderr=subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,
            preexec_fn=self._prepare,  # noqa: PLW1509 - one thread starts all
        )
