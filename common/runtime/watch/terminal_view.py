"""A board on a terminal: a few lines at the bottom that change, above them the lines that stay."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.runtime.watch.board import Board, Tone

if TYPE_CHECKING:
    from rich.console import Console, ConsoleRenderable

_STYLES: dict[Tone, str] = {
    "good": "green",
    "busy": "cyan",
    "waiting": "yellow",
    "bad": "bold red",
    "quiet": "dim",
}
_MOST_PARTIES = 12
_PER_SECOND = 2.0


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
    below: ConsoleRenderable | None = None,
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
    below : ConsoleRenderable, optional
        Shown under the board.
    is_followed : bool
        Whether a thread draws it twice a second; otherwise whoever shows it does.
    """
    from rich.console import Group
    from rich.live import Live

    def draw() -> Group:
        return Group(*draw_board(board(), console.width), *([] if below is None else [below]))

    with Live(
        console=console,
        get_renderable=draw,
        auto_refresh=is_followed,
        refresh_per_second=_PER_SECOND,
        transient=True,
        redirect_stderr=False,
    ) as live:
        yield LiveBoard(
            lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True), live.refresh
        )


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
