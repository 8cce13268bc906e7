"""A simulated study on a terminal: where it stands, and below it what takes long at its sites."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from common.errors import StorageError
from common.runtime.terminal import make_progress_bar
from common.runtime.watch.board import Board
from common.runtime.watch.terminal_view import is_terminal, show_live
from server.watch.study_board import describe_study
from server.watch.study_state import RunState, read_study_state
from server.watch.study_views import LinesAbove

_TELLS = logging.getLogger("server.watch")


class FolderView:
    """A study as its folder's file says, also where another process conducts it.

    Parameters
    ----------
    folder : Path
        The study's; what an earlier run left there is not shown.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = RunState()
        self._earlier = self._read().started

    def describe(self) -> Board:
        """The board of the study, as far as it has begun."""
        written = self._read()
        if written.started != self._earlier:
            self._state = written
        return describe_study(self._state)

    def _read(self) -> RunState:
        try:
            return read_study_state(self._folder) or RunState()
        except StorageError:
            # Of another version: the run that begins writes it anew
            return RunState()


@contextmanager
def show_simulation(folder: Path, console: Console | None = None) -> Iterator[Progress]:
    """Show a study on the terminal while the context is open; yields what its sites show their work with.

    Parameters
    ----------
    folder : Path
        The study's.
    console : Console, optional
        A terminal; by default standard output. If that is none, bars alone are shown, on standard error.
    """
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    # Its tasks are drawn below the board: one terminal has one place that changes
    progress = Progress(*columns, disable=True)
    if console is None and not is_terminal():
        with make_progress_bar() as bar:
            yield bar
        return
    with show_live(FolderView(folder).describe, console or Console(), progress) as live:
        handler = LinesAbove(live.say)
        _TELLS.addHandler(handler)
        level, _TELLS.propagate = _TELLS.level, False
        _TELLS.setLevel(logging.INFO)
        try:
            yield progress
        finally:
            _TELLS.removeHandler(handler)
            _TELLS.setLevel(level)
            _TELLS.propagate = True
