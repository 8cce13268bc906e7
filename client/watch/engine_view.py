"""What an engine says of itself, read by whoever started it from its file, which its user could replace."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from client.watch.site_board import describe_site_state
from client.watch.site_metrics import list_site_metrics
from client.watch.site_state import EngineState, read_site_state
from common.errors import StorageError
from common.runtime.log_lines import clean_text
from common.runtime.watch.board import Board
from common.runtime.watch.exposition import MetricFamily
from common.runtime.watch.plain_times import read_moment, tell_clock, tell_size

_PERIOD_S = 1.0
_LINE = 300
"""Letters of a line that are shown."""
_SCARCE = 8_000_000
"""With less free space an engine keeps nothing more, also not its log with the reason; bytes."""


class EngineView:
    """The last state of an engine that was read; asking for it touches no file.

    Attributes
    ----------
    state : EngineState
        As it was read last.
    connection : str
        Whether the link reaches the coordinator, in words.
    is_running : bool
        Whether the engine is at work.
    """

    def __init__(self) -> None:
        self.state = EngineState()
        self.connection = "not connected yet"
        self.is_running = True
        self._looked = 0.0
        # As a file holds it: whole seconds
        self._began = int(time.time())
        self._has_told_earlier = False
        self._seen: tuple[int, int] = (0, 0)
        self._is_full = False

    def look(self, state: Path) -> list[str]:
        """Read the engine's file if it is time, with this process' rights of now; what was told since.

        Parameters
        ----------
        state : Path
            The site's state.
        """
        now = time.monotonic()
        if now - self._looked < _PERIOD_S:
            return []
        self._looked = now
        return [*self._tell_full_disk(state), *self._read_lines(state)]

    def _tell_full_disk(self, state: Path) -> list[str]:
        """Once: the engine's own words about it may find no space."""
        try:
            free = shutil.disk_usage(state).free
        except OSError:
            return []
        was_full, self._is_full = self._is_full, free < _SCARCE
        if was_full or not self._is_full:
            return []
        told = f"{state}: the disk is full ({tell_size(free)} free) -> free some space here"
        return [f"{told}; if the study has ended, its coordinator goes on with --resume"]

    def _read_lines(self, state: Path) -> list[str]:
        try:
            written = read_site_state(state)
        except StorageError:
            # It says nothing that somebody here could do something about: the engine writes it anew
            return []
        if written is None or written.ended:
            return []
        if (read_moment(written.started) or 0) < self._began:
            return self._tell_earlier(written)
        self.state = written
        return self._list_new()

    def _tell_earlier(self, dead: EngineState) -> list[str]:
        """Once: what became of the engine of an earlier start, whose file is still there; not its lines."""
        if self._has_told_earlier:
            return []
        self._has_told_earlier = True
        busy = f" during {dead.computing.what}" if dead.computing.what else ""
        told = f"earlier: killed at {tell_clock(dead.updated)} or a little later{busy}; it goes on from there"
        return [clean_text(told)[:_LINE]]

    def _list_new(self) -> list[str]:
        """Lines that were told since, of this engine or of the one that was started in its place."""
        pid, told = self._seen
        before = told if pid == self.state.pid else 0
        self._seen = self.state.pid, self.state.told
        new = self.state.told - before
        return [clean_text(line)[:_LINE] for line in self.state.lines[-new:]] if new > 0 else []

    def describe(self) -> Board:
        """The board of the site."""
        return describe_site_state(self.state, is_running=self.is_running, connection=self.connection)

    def write_json(self) -> dict[str, Any]:
        """The state as a JSON object."""
        return self.state.write_json()

    def list_metrics(self) -> tuple[MetricFamily, ...]:
        """The metrics of the site."""
        is_connected = self.connection.startswith("connected")
        return list_site_metrics(self.state, is_running=self.is_running, is_connected=is_connected)
