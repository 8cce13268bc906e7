"""What an engine says of itself, read by whoever started it from its file, which its user could replace."""

from __future__ import annotations

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

_PERIOD_S = 1.0
_LINE = 300
"""Letters of a line that are shown."""


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
        self._seen: tuple[int, int] = (0, 0)

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
        try:
            written = read_site_state(state)
        except StorageError:
            # It says nothing that somebody here could do something about: the engine writes it anew
            return []
        if written is None or written.ended:
            return []
        self.state = written
        return self._list_new()

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
