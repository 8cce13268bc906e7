"""How a site is shown while it takes part: on the terminal, and where asked as a page and as metrics.

All files are read and written by the loop that keeps the site, between which it changes its user; the page's
threads see what was read last.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from client.watch.engine_view import EngineView
from common.errors import SiteError
from common.runtime.processes import ShowLine
from common.runtime.watch.metrics_file import MetricsFile
from common.runtime.watch.page_server import Showcase, serve_page
from common.runtime.watch.terminal_view import is_terminal, show_live

_PERIOD_S = 1.0
"""Between two drawings of what stands at the bottom of a terminal."""


@dataclass(frozen=True)
class SiteViews:
    """What is asked for beside the terminal.

    Attributes
    ----------
    port : int or None
        Of the page, on 127.0.0.1 alone; None: no page.
    metrics : Path or None
        File for node_exporter's textfile collector.
    same_user : bool
        Whether engine and link are one user.
    """

    port: int | None = None
    metrics: Path | None = None
    same_user: bool = False


@dataclass
class ShownSite:
    """What is shown of a site.

    Attributes
    ----------
    say : callable
        Shows one line.
    view : EngineView
        What the engine says of itself.
    """

    say: ShowLine
    view: EngineView = field(default_factory=EngineView)
    _refresh: list[Callable[[], None]] = field(default_factory=list)

    def refresh(self) -> None:
        """Show what was read last; called by the loop that keeps the site, with its own rights."""
        for refresh in self._refresh:
            refresh()


def write_line(line: str) -> None:
    """Show a line where no terminal is."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def show_site(views: SiteViews) -> Iterator[ShownSite]:
    """Show a site while the context is open.

    Parameters
    ----------
    views : SiteViews
        What is asked for beside the terminal.

    Raises
    ------
    SiteError
        If a page is asked for where engine and link are two users.
    StorageError
        If the port is taken, or the metrics' file cannot be written.
    """
    if views.port is not None and not views.same_user:
        raise SiteError(
            "--watch would let the link's user, who talks to the network, reach a server of whoever started "
            "the site -> rhe-client status says the same; --metrics FILE is for monitoring"
        )
    shown = ShownSite(write_line)
    with ExitStack() as stack:
        if is_terminal():
            _show_on_terminal(stack, shown)
        if views.metrics is not None:
            file = MetricsFile(views.metrics, shown.view.list_metrics)
            shown._refresh.append(file.refresh)  # noqa: SLF001 - it is made here
            stack.callback(file.finish)
        if views.port is not None:
            view = shown.view
            showcase = Showcase(view.describe, view.list_metrics, view.write_json)
            address = stack.enter_context(serve_page(showcase, views.port))
            shown.say(f"to watch on this computer: {address}")
        yield shown


def _show_on_terminal(stack: ExitStack, shown: ShownSite) -> None:
    from rich.console import Console

    live = stack.enter_context(show_live(shown.view.describe, Console(), is_followed=False))
    shown.say = live.say
    drawn = 0.0

    def draw_sometimes() -> None:
        nonlocal drawn
        if time.monotonic() - drawn >= _PERIOD_S:
            drawn = time.monotonic()
            live.refresh()

    shown._refresh.append(draw_sometimes)  # noqa: SLF001 - it is made by `show_site`
