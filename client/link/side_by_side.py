"""Calls that travel side by side, so that the line's delay is waited for once instead of for each."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

_log = logging.getLogger(__name__)
AnyItem = TypeVar("AnyItem")
AnyResult = TypeVar("AnyResult")


class SideBySide:
    """Does work in threads that do not hold up the end of the process, as those of a pool would.

    Parameters
    ----------
    at_once : int
        How many work at one time.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._places = threading.Semaphore(at_once)
        self._is_short = False

    def begin(self, work: Callable[[], AnyResult]) -> Future[AnyResult]:
        """Begin some work when a place is free, and return where its result or its failure will be.

        No thread waits for a place: whoever asks for the work may be told to by the other end of the line.
        Where the system gives no thread, the work is done when this returns.
        """
        future: Future[AnyResult] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as failure:  # noqa: BLE001 - whoever asks for the result gets it
                future.set_exception(failure)
            finally:
                self._places.release()

        self._places.acquire()
        try:
            threading.Thread(target=run, name="beside", daemon=True).start()
        except RuntimeError:
            self._tell_short()
            run()
        except BaseException:
            self._places.release()
            raise
        else:
            self._is_short = False
        return future

    def _tell_short(self) -> None:
        """Say that there are no threads: once, until there is one again."""
        if not self._is_short:
            _log.warning(
                "no further thread can be started (a limit of this user or service: ulimit -u, TasksMax), so "
                "what travels side by side goes one after the other -> end what else runs here, or raise the "
                "limit; it goes on meanwhile"
            )
        self._is_short = True

    def map_in_order(
        self, work: Callable[[AnyItem], AnyResult], items: Iterable[AnyItem]
    ) -> Iterator[AnyResult]:
        """The results in the items' order; no more than `at_once` of them wait to be taken."""
        waiting: deque[Future[AnyResult]] = deque()
        for item in items:
            waiting.append(self.begin(partial(work, item)))
            if len(waiting) == self._at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
