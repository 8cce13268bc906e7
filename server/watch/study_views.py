"""How a study is shown while it runs: on the terminal, and where asked as a page and as metrics."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.runtime.watch.metrics_file import keep_metrics_file
from common.runtime.watch.page_server import Showcase, serve_page
from common.runtime.watch.terminal_view import is_terminal, show_live
from server.watch.study_board import describe_study
from server.watch.study_metrics import list_study_metrics
from server.watch.study_watch import StudyWatch


@dataclass(frozen=True)
class Views:
    """What is asked for beside the terminal.

    Attributes
    ----------
    port : int or None
        Of the page, on 127.0.0.1 alone; None: no page.
    metrics : Path or None
        File for node_exporter's textfile collector.
    """

    port: int | None = None
    metrics: Path | None = None


class LinesAbove(logging.Handler):
    """Shows log lines with the time before them.

    Parameters
    ----------
    show : callable
        Shows one line.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._show = show
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        self._show(self.format(record))


@contextmanager
def show_study(watch: StudyWatch, views: Views) -> Iterator[logging.Handler]:
    """Show a study while the context is open; yields what shows its log lines.

    Parameters
    ----------
    watch : StudyWatch
        Knows where the study stands.
    views : Views
        What is asked for beside the terminal.

    Raises
    ------
    StorageError
        If the port is taken, or the metrics' file cannot be written.
    """
    with ExitStack() as stack:
        handler: logging.Handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        if is_terminal():
            from rich.console import Console

            board = lambda: describe_study(watch.read())  # noqa: E731 - one expression
            handler = LinesAbove(stack.enter_context(show_live(board, Console())).say)
        if views.metrics is not None:
            take = lambda: list_study_metrics(watch.read())  # noqa: E731 - one expression
            stack.enter_context(keep_metrics_file(views.metrics, take))
        if views.port is not None:
            address = stack.enter_context(serve_page(make_showcase(watch), views.port))
            handler.handle(_make_record(f"to watch on this computer: {address}"))
        yield handler


def make_showcase(watch: StudyWatch) -> Showcase:
    """What the page shows of a study."""
    return Showcase(
        board=lambda: describe_study(watch.read()),
        metrics=lambda: list_study_metrics(watch.read()),
        state=lambda: watch.read().write_json(),
    )


def _make_record(line: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.INFO, __file__, 0, line, None, None)
