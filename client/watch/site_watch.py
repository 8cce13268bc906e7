"""What a hospital's engine is at, kept as it happens: for its state file, and one line a phase or round."""

from __future__ import annotations

import copy
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeAlias

from client.watch.site_state import (
    STATE_NAME,
    WATCH_FOLDER,
    Computation,
    DeviceMemory,
    EngineState,
    LeftToday,
    read_site_state,
)
from client.watch.study_end import closes_study
from common.errors import RheError, StorageError
from common.messages.catalogue import Operation
from common.runtime.storage import lock_folder, make_private_folder
from common.runtime.watch.plain_times import tell_length, write_moment
from common.runtime.watch.state_file import StateFile

if TYPE_CHECKING:
    from rich.progress import Progress

    from common.messages.headers import RequestHeader
    from common.messages.protocol import Request
    from common.stats.contract import Summary

_log = logging.getLogger(__name__)

_MOST_LINES = 200
_TRAINS = frozenset((Operation.TRAIN, Operation.TRAIN_LOCAL))
"""Questions of which each has a line when it is answered; each procedure has one when it begins."""

MakeSum: TypeAlias = "Callable[[Request, bool], Summary]"
"""What a site adds to a sum, as `SiteEngine.summarise`."""


@dataclass(frozen=True)
class SiteSources:
    """Where a watch looks when the state is asked for.

    Attributes
    ----------
    state : Path
        The site's state.
    progress : Progress
        What takes long in the engine; it may be shown nowhere.
    count_left : callable
        How many answers of each kind have left on a day of UTC, written as ISO 8601.
    rounds : int
        Of each federated training; 0 where it is not known.
    """

    state: Path
    progress: Progress
    count_left: Callable[[str], Mapping[str, int]]
    rounds: int = 0


@dataclass
class SiteWatch:
    """Keeps what an engine is at; without `keep` nobody but this process knows it."""

    _state: EngineState = field(default_factory=EngineState)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _sources: SiteSources | None = None
    _file: StateFile | None = None
    _seen: frozenset[str] = frozenset()
    _failure: str = ""

    @contextmanager
    def keep(self, site: str, study: tuple[str, str], sources: SiteSources) -> Iterator[None]:
        """A context in which the engine runs, and a file of the site's state says what it is at.

        Parameters
        ----------
        site : str
            Its name.
        study : (str, str)
            Name and hash of the plan.
        sources : SiteSources
            Where to look.

        Raises
        ------
        StorageError
            If another engine keeps the file.
        """
        folder = make_private_folder(sources.state / WATCH_FOLDER)
        name, plan_hash = study
        with self._lock:
            self._sources = sources
            self._state = EngineState(site, name, plan_hash, os.getpid(), write_moment())
            self._state.closed = _find_closed(sources.state, plan_hash)
        self._file = StateFile(folder / STATE_NAME, lambda: self.read().write_json(), self._touch_if_busy)
        with lock_folder(folder), self._file.keep():
            self._say(f"{site}: the engine is ready for the study {name}")
            try:
                yield
            finally:
                with self._lock:
                    self._state.ended, self._state.computing = write_moment(), Computation()

    def end_on_signals(self) -> None:
        """Let SIGTERM and SIGINT end this process at once, whatever it computes; the file then says so."""

        def end(number: int, _: FrameType | None) -> None:
            with self._lock:
                self._state.ended, self._state.computing = write_moment(), Computation()
            if self._file is not None:
                self._file.write()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)

    def read(self) -> EngineState:
        """What the engine is at now; may be called from any thread."""
        with self._lock:
            state = copy.deepcopy(self._state)
        state.updated = write_moment()
        if self._sources is not None:
            today = f"{datetime.now(UTC):%Y-%m-%d}"
            state.left = LeftToday(today, dict(self._sources.count_left(today)))
            with suppress(OSError):
                state.disk_free_bytes = shutil.disk_usage(self._sources.state).free
            _add_progress(state.computing, self._sources.progress)
            state.memory = _measure_memory()
        return state

    def watch_answer(self, answer: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        """The same function, which tells when it has answered a message."""

        def answer_and_tell(message: bytes) -> bytes:
            began = time.monotonic()
            try:
                reply = answer(message)
                if closes_study(message, reply):
                    self._see_close()
                return reply
            finally:
                self._finish(time.monotonic() - began)

        return answer_and_tell

    def watch_sum(self, make: MakeSum) -> MakeSum:
        """The same function, which tells each question that it answers, and why it cannot."""

        def make_and_tell(request: Request, member: bool) -> Summary:  # noqa: FBT001 - as what it stands for
            self.see_question(request.header)
            try:
                return make(request, member)
            except RheError as failure:
                self.see_failure(str(failure))
                raise

        return make_and_tell

    def see_question(self, header: RequestHeader) -> None:
        """A question of the coordinator has come, and its signature is right."""
        _log.debug("request operation=%s model=%s arm=%s", header.operation, header.model, header.arm)
        now, phase = write_moment(), header.procedure or str(header.operation)
        with self._lock:
            self._state.heard, self._state.phase = now, phase
            self._state.computing = Computation(self._describe(header), now)
            self._state.closed = ""
            self._failure = ""
            # The questions of several procedures come in turns
            is_new, self._seen = phase not in self._seen, self._seen | {phase}
        if is_new:
            self._say(f"asked: {phase}")
        self._touch()

    def see_failure(self, reason: str) -> None:
        """The question that was seen last cannot be answered; the reason stays at this site."""
        self._failure = reason

    def _describe(self, header: RequestHeader) -> str:
        rounds = 0 if self._sources is None else self._sources.rounds
        return _describe(header, rounds)

    def _see_close(self) -> None:
        with self._lock:
            is_new, self._state.closed = not self._state.closed, self._state.closed or write_moment()
        if is_new:
            self._say("all questions of this study were answered")

    def _finish(self, took: float) -> None:
        with self._lock:
            what, self._state.computing = self._state.computing.what, Computation()
            failure, self._failure = self._failure, ""
            if not what:
                return
            self._state.answered += 1
            self._state.answered_at = write_moment()
        if what.startswith(_TRAINING):
            lasted = tell_length(took)
            told = f"no result after {lasted}: {failure}" if failure else f"done in {lasted}"
            self._say(f"{what}: {told}", logging.WARNING if failure else logging.INFO)
        self._touch()

    def _say(self, line: str, level: int = logging.INFO) -> None:
        # Of several sites in one process the coordinator tells
        _log.log(level if self._state.site else logging.DEBUG, "%s", line)
        with self._lock:
            state = self._state
            state.told += 1
            state.lines = (*state.lines[-_MOST_LINES + 1 :], f"{time.strftime('%H:%M:%S')} {line}")
        self._touch()

    def _touch(self) -> None:
        if self._file is not None:
            self._file.touch()

    def _touch_if_busy(self) -> None:
        """While something is computed, the file follows how far it is."""
        if self._state.computing.what:
            self._touch()


_TRAINING = "training"


def _find_closed(state: Path, plan_hash: str) -> str:
    """When the same study's last message was answered by an engine before this one; empty if it was not."""
    try:
        before = read_site_state(state)
    except StorageError:
        # It is written anew
        return ""
    return before.closed if before is not None and before.plan_hash == plan_hash else ""


def _describe(header: RequestHeader, rounds: int) -> str:
    """What is asked, in a few words: ``training of resnet18, federated, round 3 of 20``."""
    subject = ", ".join(part for part in (header.model, header.arm) if part)
    number = f", round {header.round}{f' of {rounds}' if rounds else ''}" if header.round else ""
    if header.operation in _TRAINS:
        return f"{_TRAINING} of {subject}{number}"
    words = " ".join(part for part in (str(header.operation), header.stage) if part)
    return words + (f" of {subject}{number}" if subject else "")


def _add_progress(computing: Computation, progress: Progress) -> None:
    """What of the computation takes long now, by the latest task: epochs, or a share of the patients."""
    tasks = progress.tasks
    if not computing.what or not tasks:
        return
    done, total = tasks[-1].completed, tasks[-1].total or 0
    if computing.what.startswith(_TRAINING):
        computing.part, computing.done, computing.of = "epoch", int(done), int(total)
    elif total:
        # Nothing that can be seen from outside says how many patients there are
        computing.part, computing.done, computing.of = "percent", round(100 * done / total), 100


def _measure_memory() -> DeviceMemory:
    """Of the GPU that this process uses; torch is not loaded to see that there is none."""
    if "torch" not in sys.modules:
        return DeviceMemory()
    from common.training.device import measure_memory

    return DeviceMemory(*measure_memory())
