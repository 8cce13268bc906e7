"""Metrics in a file, for the textfile collector of Prometheus' node_exporter."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import StorageError
from common.runtime.storage import write_atomically
from common.runtime.watch.exposition import MetricFamily, write_exposition

_log = logging.getLogger(__name__)

_PERIOD_S = 15.0
_SUFFIX = ".prom"


class MetricsFile:
    """A file that is written anew every 15 seconds; everybody may read it whatever the umask.

    Parameters
    ----------
    path : Path
        Ends with .prom: the collector reads no other files.
    take : callable
        The metrics now.

    Raises
    ------
    StorageError
        If it has another ending, or cannot be written.
    """

    def __init__(self, path: Path, take: Callable[[], Iterable[MetricFamily]]) -> None:
        if path.suffix != _SUFFIX:
            raise StorageError(f"--metrics {path}: node_exporter reads *{_SUFFIX} alone -> name it so")
        self._path, self._take, self._is_broken = path, take, False
        self._write()

    def refresh(self) -> None:
        """Write the file if it is old enough; a failure is told once and stops nothing."""
        if time.monotonic() - self._written >= _PERIOD_S:
            self.finish()

    def finish(self) -> None:
        """Write the file now; fails as `refresh`."""
        try:
            self._write()
        except StorageError as failure:
            if not self._is_broken:
                _log.warning("the metrics are not written: %s", failure)
            self._is_broken = True

    def _write(self) -> None:
        self._written = time.monotonic()
        write_atomically(self._path, write_exposition(self._take()).encode(), is_public=True)
        self._is_broken = False


@contextmanager
def keep_metrics_file(path: Path, take: Callable[[], Iterable[MetricFamily]]) -> Iterator[None]:
    """A context in which a thread keeps the file; at its end it holds the last metrics.

    Raises
    ------
    StorageError
        As `MetricsFile`, before the context is entered.
    """
    file, is_over = MetricsFile(path, take), threading.Event()

    def follow() -> None:
        while not is_over.wait(1.0):
            file.refresh()

    thread = threading.Thread(target=follow, name="metrics file", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        file.finish()
