"""All sites of a study in a process of their own, so that the coordinator's memory is that of this one."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from client.link.connection import EngineLink
    from tests.bench.growth_case import Case

_HOW_LARGE = ""
"""Asked instead of a site: how much memory the process has, MiB."""
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class SitesApart:
    """The line to the process of the sites.

    Attributes
    ----------
    line : Connection
        Takes (site, question), gives the answer's bytes.
    names : tuple of str
        The sites.
    """

    line: Connection
    names: tuple[str, ...]

    @property
    def engines(self) -> dict[str, EngineLink]:
        """What answers for each site."""
        return {name: partial(self._ask, name) for name in self.names}

    def read_rss_mib(self) -> float:
        """Memory of the process now."""
        return float(self._ask(_HOW_LARGE, b""))

    def _ask(self, site: str, question: bytes) -> bytes:
        self.line.send((site, bytes(question)))
        answer: bytes = self.line.recv()
        return answer


@contextmanager
def open_sites_apart(
    case: Case, folders: Mapping[str, Path], out: Path, start: Callable[..., Callable[[], None]]
) -> Iterator[SitesApart]:
    """A context in which the sites answer from another process.

    Parameters
    ----------
    case : Case
        It says which plan they approved.
    folders : mapping of str to Path
        Each site's folder by its name.
    out : Path
        The study's folder, with the sites' states.
    start : callable
        `start_process`, or `start_thread` to see without a second process that it works.
    """
    here, there = _SPAWN.Pipe()
    await_end = start(there, case, dict(folders), out)
    try:
        yield SitesApart(here, tuple(folders))
    finally:
        here.close()
        await_end()


def start_process(line: Connection, *asked: object) -> Callable[[], None]:
    """Serve the sites in a process of their own; returns what waits for its end."""
    process = _SPAWN.Process(target=serve_sites, args=(line, *asked))
    process.start()
    line.close()
    return process.join


def start_thread(line: Connection, *asked: object) -> Callable[[], None]:
    """Serve the sites in a thread of this process; returns what waits for its end."""
    thread = threading.Thread(target=serve_sites, args=(line, *asked))
    thread.start()
    return thread.join


def serve_sites(line: Connection, case: Case, folders: dict[str, Path], out: Path) -> None:
    """Answer for every site until the line is closed."""
    from rich.progress import Progress

    from server.run import StudyRun
    from simulations.backends.in_process import open_engines
    from simulations.backends.parties import derive_simulated_key
    from tests.bench.growth_case import read_rss_mib

    plan = case.make_plan()
    run = StudyRun(plan, out, derive_simulated_key(plan))
    engines = open_engines(run, folders, Progress(disable=True))
    while True:
        try:
            site, question = line.recv()
        except EOFError:
            return
        answer = str(read_rss_mib()).encode() if site == _HOW_LARGE else engines[site].handle(question)
        line.send(bytes(answer))
