"""A process of its own that holds one object and carries out its methods, beside this process and others.

It is a fresh one: a forked one would share this process' threads, locks and torch. What it logs and shows is
logged and shown by this process.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NoReturn, TypeAlias

from rich.progress import Progress

from common.errors import RheError
from common.runtime.processes import end_with_starter
from common.runtime.terminal import TERMINATED
from simulations.backends.relayed_progress import ProgressMirror, RelayedProgress

MakeHeld: TypeAlias = Callable[[Progress], object]
"""Makes the object that a process holds; gets what shows its work. It is carried there by pickle."""
_GRACE_S = 10.0


def count_places(threads: int) -> int:
    """How many processes this machine's cores hold side by side, each with so many threads."""
    return max(1, (os.cpu_count() or 1) // threads)


class SideProcess:
    """A process that carries out one method after another of the object that it holds.

    Parameters
    ----------
    name : str
        For messages.
    make : callable
        Makes the object there; what it raises, every call raises.
    progress : Progress
        Shows the work.
    """

    def __init__(self, name: str, make: MakeHeld, progress: Progress) -> None:
        self.name = name
        self._mirror = ProgressMirror(progress)
        context = multiprocessing.get_context("spawn")
        self._line, far = context.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        self._process = context.Process(target=_serve, args=(far, make, level), name=name)
        self._process.start()
        far.close()
        self._asking = ThreadPoolExecutor(1, f"asks {name}")

    @property
    def number(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    def begin(self, method: str, *arguments: object) -> Future[Any]:
        """Carry out a method after all that was begun before; returns where its outcome will be.

        The future raises what the method raises, and `RheError` if the process was ended.
        """
        return self._asking.submit(self._call, method, arguments)

    def end(self) -> None:
        """End the process, whatever it does; what it writes is complete or not there."""
        self._process.terminate()
        self._process.join(_GRACE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._asking.shutdown(cancel_futures=True)
        self._line.close()

    def _call(self, method: str, arguments: tuple[object, ...]) -> object:
        """The outcome of a method.

        Raises
        ------
        RheError
            If the process was ended.
        """
        try:
            self._line.send((method, arguments))
            while True:
                kind, content = self._line.recv()
                if kind == "outcome":
                    return content
                if kind == "failure":
                    raise content
                self._show(kind, content)
        except (EOFError, OSError):
            raise RheError(
                f"the process of {self.name} was ended from outside, perhaps for want of memory -> run the "
                "same command again with --resume; what is finished is kept"
            ) from None

    def _show(self, kind: str, content: Any) -> None:
        if kind == "record":
            logger = logging.getLogger(content.name)
            if logger.isEnabledFor(content.levelno):
                logger.handle(content)
        else:
            self._mirror.show(*content)


@contextmanager
def start_beside(named: dict[str, MakeHeld], progress: Progress) -> Iterator[list[SideProcess]]:
    """Processes by their names, which are ended with the context."""
    started: list[SideProcess] = []
    try:
        for name, make in named.items():
            started.append(SideProcess(name, make, progress))
        yield started
    finally:
        for process in started:
            process.end()


class _LogLine(QueueHandler):
    """Sends records to the process that started this one."""

    def __init__(self, send: Callable[[str, object], None]) -> None:
        super().__init__(SimpleQueue())
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._send("record", record)


def _serve(line: Connection, make: MakeHeld, level: int) -> None:
    """Carry out what comes over the line, until it ends; this process ends with the one that started it."""
    end_with_starter()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    lock = threading.Lock()

    def send(kind: str, content: object) -> None:
        with lock:
            line.send((kind, content))

    logging.getLogger().addHandler(_LogLine(send))
    logging.getLogger().setLevel(level)
    held: object = None
    while True:
        try:
            method, arguments = line.recv()
        except EOFError:
            return
        try:
            held = held or make(RelayedProgress(lambda *call: send("shown", call)))
            outcome = getattr(held, method)(*arguments)
        except Exception as failure:  # noqa: BLE001 - it is raised in the process that asked
            send("failure", failure)
        else:
            send("outcome", outcome)


def _end(_signal: int, _frame: object) -> NoReturn:
    """End in good order: what is half written is removed."""
    sys.exit(TERMINATED)
