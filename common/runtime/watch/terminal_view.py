"""A board on a terminal: a few lines at the bottom that change, above them the lines that stay."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from common.runtime.watch.board import Board, Tone

if TYPE_CHECKING:
    from rich.console import Console, ConsoleRenderable, RenderableType

_STYLES: dict[Tone, str] = {
    "good": "green",
    "busy": "cyan",
    "waiting": "yellow",
    "bad": "bold red",
    "quiet": "dim",
}
_MOST_PARTIES = 12
_PERIOD_S = 1.0


@dataclass(frozen=True)
class LiveBoard:
    """A board at the bottom of a terminal.

    Attributes
    ----------
    say : callable
        Prints a line above it.
    refresh : callable
        Draws the board anew.
    """

    say: Callable[[str], None]
    refresh: Callable[[], None]


@contextmanager
def show_live(
    board: Callable[[], Board],
    console: Console,
    below: RenderableType | None = None,
    *,
    is_followed: bool = True,
) -> Iterator[LiveBoard]:
    """Show the board at the bottom of the terminal while the context is open.

    Parameters
    ----------
    board : callable
        What is shown now; asked from another thread.
    console : Console
        A terminal.
    below : RenderableType, optional
        Shown under the board.
    is_followed : bool
        Whether a thread draws it once a second; otherwise whoever shows it does.
    """
    from rich.console import Group
    from rich.live import Live

    def draw() -> Group:
        return Group(*draw_board(board(), console.width), *([] if below is None else [below]))

    # Rich draws the block anew with each line, and two that draw at once would leave a part of it behind
    turn = threading.Lock()

    def say(line: str) -> None:
        with turn:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def refresh() -> None:
        with turn:
            live.refresh()

    live = Live(
        console=console,
        get_renderable=draw,
        auto_refresh=False,
        transient=True,
        # What goes to the same terminal would tear the block; a file that it goes to stays its own
        redirect_stderr=sys.stderr.isatty(),
    )
    with live, _lead_logs_above(), _repeat(refresh if is_followed else None):
        yield LiveBoard(say, refresh)


@contextmanager
def _repeat(refresh: Callable[[], None] | None) -> Iterator[None]:
    """A context in which a thread refreshes again and again; None: no thread."""
    if refresh is None:
        yield
        return
    is_over = threading.Event()

    def follow() -> None:
        while not is_over.wait(_PERIOD_S):
            refresh()

    thread = threading.Thread(target=follow, name="live board", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def _lead_logs_above() -> Iterator[None]:
    """A context in which log lines for standard error go where it leads now."""
    handlers = [one for one in logging.getLogger().handlers if type(one) is logging.StreamHandler]
    streams = [handler.setStream(sys.stderr) if _is_error_stream(handler) else None for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            if stream is not None:
                handler.setStream(stream)


def _is_error_stream(handler: logging.StreamHandler[TextIO]) -> bool:
    return handler.stream is sys.__stderr__


def draw_board(board: Board, width: int) -> Iterator[ConsoleRenderable]:
    """The board's parts for a terminal of that many columns; each line is cut there, never wrapped."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    title = Text(f"── {board.title}: ", style="bold", overflow="ellipsis", no_wrap=True)
    title.append(board.condition, style=_STYLES[board.tone])
    yield title
    bars = Table.grid(padding=(0, 1))
    for style in ("", "", "dim"):
        bars.add_column(style=style, no_wrap=True, overflow="ellipsis")
    for bar in board.bars:
        line = ProgressBar(bar.total or None, bar.done, width=max(10, width // 5), pulse=not bar.total)
        count = f"{bar.done} of {bar.total}" if bar.total else ""
        bars.add_row(bar.label, line, "; ".join(filter(None, (count, bar.note))))
    if board.bars:
        yield bars
    parties = Table.grid(padding=(0, 2))
    parties.add_column(style="bold", no_wrap=True)
    parties.add_column(no_wrap=True, overflow="ellipsis")
    for party in board.parties[:_MOST_PARTIES]:
        parties.add_row(party.name, Text(party.words, style=_STYLES[party.tone]))
    if len(board.parties) > _MOST_PARTIES:
        parties.add_row("", f"and {len(board.parties) - _MOST_PARTIES} more")
    if board.parties:
        yield parties
    facts = " · ".join(f"{fact.label} {fact.value}" for fact in board.facts)
    if facts:
        yield Text(facts, style="dim", overflow="ellipsis", no_wrap=False)


def is_terminal() -> bool:
    """Whether a person can watch standard output."""
    return sys.stdout.isatty()
