"""Who is told what happens in a study, and keeps where it stands: for a file, a terminal, a page, a log.

What is told costs microseconds: numbers are put in their place, and other threads read them.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from common.runtime.watch.plain_times import tell_length, write_moment
from common.runtime.watch.state_file import StateFile
from server.watch.event_words import (
    LineCollector,
    describe_judgement,
    describe_pause,
    describe_question,
    describe_return,
    describe_wait,
    explain_run_end,
)
from server.watch.study_state import (
    STATE_FILE,
    Condition,
    ExchangedVolume,
    Pause,
    PhaseProgress,
    RunState,
    SiteContact,
    Steps,
    TimeLeft,
    TrainingProgress,
)
from server.watch.time_left import PhaseCost, Reckoning
from server.watch.watched_parts import CountedTraffic, CurveLine, Missed, PauseStage, StudyOutline

_log = logging.getLogger(__name__)

_MOST_LINES = 200
_QUIET_S = 30.0
"""Between two lines of a phase that only asks for statistics."""
TOGETHER: Final = frozenset(("agreement", "cohort", "regression", "training", "scoring", "fitting"))
"""Phases whose parts are carried out side by side: each has ended once all its procedures have."""
_Outcome = TypeVar("_Outcome")


class StudyWatch:
    """Keeps where a study stands; without `keep` nobody but this process knows it.

    Attributes
    ----------
    missed : mapping of str to Missed
        Who cannot be reached, by site; read whenever the state is, from other threads, too.
    epochs : mapping of str to (int, int)
        At which epoch of how many a site trains, by site; read as `missed`.
    """

    def __init__(self) -> None:
        self.missed: Mapping[str, Missed] = {}
        self.epochs: Mapping[str, tuple[int, int]] = {}
        self._state = RunState()
        self._outline = StudyOutline("", "", (), (), {}, Reckoning())
        self._traffic: CountedTraffic | None = None
        self._folder: Path | None = None
        self._file: StateFile | None = None
        # Threads that show the state read it while the study changes it
        self._lock = threading.RLock()
        self._asking: list[str] = []
        self._sites: dict[str, SiteContact] = {}
        self._phases: dict[str, PhaseProgress] = {}
        self._phases_began: dict[str, float] = {}
        self._trainings: dict[tuple[str, str], TrainingProgress] = {}
        self._begun: dict[str, None] = {}
        self._ended: set[str] = set()
        self._round_began = self._line_at = self._ticked = time.monotonic()
        self._waited_s = 0.0
        self._rounds_told = 0
        self._has_waited = False
        self._away: frozenset[str] = frozenset()
        self._open_phase: tuple[str, float, int] | None = None

    @contextmanager
    def keep(self, outline: StudyOutline, folder: Path, traffic: CountedTraffic, run: int) -> Iterator[None]:
        """A context in which the study runs, and its folder's file says where it stands.

        Parameters
        ----------
        outline : StudyOutline
            The study.
        folder : Path
            Its folder.
        traffic : CountedTraffic
            What is exchanged with the sites, as it is counted.
        run : int
            Number of the run.
        """
        with self._lock:
            self._outline, self._folder, self._traffic = outline, folder, traffic
            self._sites = {name: SiteContact(name) for name in outline.sites}
            self._phases = {name: PhaseProgress(name, at) for at, name in enumerate(outline.phases, start=1)}
            self._state = RunState(
                name=outline.name,
                plan_hash=outline.plan_hash,
                pid=os.getpid(),
                run=run,
                started=write_moment(),
            )
        self._file = StateFile(folder / STATE_FILE, lambda: self.read().write_json(), self._tick)
        with self._file.keep(), self._collect_lines():
            try:
                yield
            except BaseException as failure:
                self._end(*explain_run_end(failure))
                raise
            self._end("finished", "with results")

    def read(self) -> RunState:
        """Where the study stands now; may be called from any thread."""
        with self._lock:
            self._see_returns()
            state = replace(
                self._state,
                updated=write_moment(),
                phases=tuple(replace(phase) for phase in self._phases.values()),
                steps=Steps(len(self._ended), len(self._outline.procedures), self._list_steps()),
                trainings=tuple(replace(training) for training in self._trainings.values()),
                sites=tuple(replace(site) for site in self._sites.values()),
                time_left=self._reckon(),
            )
        traffic, folder = self._traffic, self._folder
        if traffic is not None:
            state.traffic = ExchangedVolume(
                traffic.rounds, traffic.messages, traffic.bytes_sent, traffic.bytes_received
            )
        if folder is not None:
            with suppress(OSError):
                state.disk_free_bytes = shutil.disk_usage(folder).free
        self._add_pause(state)
        epochs = dict(self.epochs)
        for site in state.sites:
            site.epoch, site.epochs = epochs.get(site.name, (0, 0)) if site.owes else (0, 0)
        return state

    @contextmanager
    def watch_phase(self, name: str) -> Iterator[None]:
        """A context that is one phase of the study, or a round of those that go on together."""
        began, before = self._read_clock(), self._count_rounds()
        self._begin_phase(name)
        self._open_phase = name, began, before
        yield
        with self._lock:
            self._open_phase = None
            cost = self._outline.reckoning.costs.setdefault(name, PhaseCost())
            cost.seconds += self._read_clock() - began
            cost.rounds += self._count_rounds() - before
        if name not in TOGETHER:
            with self._lock:
                # What it never had to ask is done, too
                parts = self._outline.procedures.items()
                self._ended.update(part for part, phase in parts if phase == name)
            self._end_phase(name)

    def watch_part(self, name: str, work: Callable[[], _Outcome]) -> Callable[[], _Outcome]:
        """The same work, which tells when the procedure of this name begins and ends."""

        def work_and_tell() -> _Outcome:
            self._begin_procedure(name)
            outcome = work()
            if name not in self._outline.procedures:
                return outcome
            with self._lock:
                self._ended.add(name)
                parts, phase = self._outline.procedures, self._outline.procedures.get(name)
                is_last = all(one in self._ended for one, of_phase in parts.items() if of_phase == phase)
            if is_last and phase is not None:
                self._end_phase(phase)
            return outcome

        return work_and_tell

    def see_question(self, operation: str, context: Mapping[str, object]) -> None:
        """A question is about to be sent, with these fields of its header."""
        self._begin_procedure(str(context.get("procedure", "")))
        with self._lock:
            self._asking.append(describe_question(operation, context))

    def see_departure(self, sites: Sequence[str]) -> None:
        """What was asked last is on its way to these sites."""
        now = write_moment()
        with self._lock:
            # What takes longest first
            asked = sorted(dict.fromkeys(self._asking), key=lambda words: not words.startswith("train"))
            others = len(asked) - 1
            more = f" and {others} more question{'' if others == 1 else 's'}" if others > 0 else ""
            # A step of the protocol that hides sums belongs to the question before it
            words = {"asked": f"{asked[0]}{more}"} if asked else {}
            self._asking.clear()
            self._change_sites(sites, asked_at=now, owes=True, **words)
        self._touch()

    def see_answer(self, site: str) -> None:
        """An answer of a site has come."""
        with self._lock:
            self._change_sites([site], heard=write_moment(), owes=False, connected=True)
        self._touch()

    def see_arrival(self, site: str) -> None:
        """A site has connected."""
        with self._lock:
            self._change_sites([site], heard=write_moment(), connected=True)
        self.say(f"{site} is connected")

    def see_training(
        self, model: str, arm: str, of: int, curve: Sequence[CurveLine] = (), words: str = ""
    ) -> None:
        """A training begins, or goes on after the rounds that an earlier run has done.

        Parameters
        ----------
        model, arm : str
            As in the plan.
        of : int
            Rounds that it takes; of a local one, as many as would take its epochs.
        curve : sequence of CurveLine
            The rounds that are done.
        words : str
            What is told of its length; by default the number of rounds.
        """
        with self._lock:
            self._round_began = time.monotonic()
            # Whoever was waited for before costs the round that begins now nothing
            self._has_waited = bool(self._list_paused("goes on"))
            self._find_training(model, arm).of = of
            self._take_curve(model, arm, curve, None)
        done = f", {len(curve)} of them done in an earlier run" if curve else ""
        self.say(f"{model}, {arm}: training of {words or f'{of} rounds'}{done}")

    def see_round(self, model: str, arm: str, curve: Sequence[CurveLine]) -> None:
        """A round of the training is done; the one before it is judged by now."""
        with self._lock:
            now = time.monotonic()
            took, self._round_began = now - self._round_began, now
            # A round in which somebody was waited for says nothing of the next ones
            training = self._take_curve(model, arm, curve, None if self._has_waited else took)
            self._has_waited = False
        loss = "" if training.loss is None else f", loss {training.loss:.4f}"
        told = f"round {training.round} of {training.of}{loss}{describe_judgement(training)}"
        self.say(f"{model}, {arm}: {told}; {tell_length(took)}")

    def see_trained(
        self, model: str, arm: str, curve: Sequence[CurveLine], chosen: int, unit: str = "round"
    ) -> None:
        """A training has ended; `chosen` is the round, or epoch, whose weights are kept."""
        with self._lock:
            training = self._take_curve(model, arm, [line for line in curve if line.number == chosen], None)
            training.round = training.judged = training.of
            training.loss = curve[-1].loss if curve else None
            training.is_done = True
            self._outline.reckoning.note_end(model, arm)
        self.say(f"{model}, {arm}: trained, {unit} {chosen} is kept{describe_judgement(training)}")

    def see_untrained(self, model: str, arm: str, reason: str) -> None:
        """There is no model, and why."""
        with self._lock:
            self._outline.reckoning.note_end(model, arm)
            self._find_training(model, arm).is_done = True
        self.say(f"{model}, {arm}: {reason}", logging.WARNING)

    def say(self, line: str, level: int = logging.INFO) -> None:
        """Tell people one line: it is logged, and kept among the last ones."""
        _log.log(level, "%s", line)
        self._keep_line(line)

    def _keep_line(self, line: str) -> None:
        with self._lock:
            self._line_at = time.monotonic()
            lines = self._state.lines[-_MOST_LINES + 1 :]
            self._state.lines = (*lines, f"{time.strftime('%H:%M:%S')} {line}")
        self._touch()

    def _touch(self) -> None:
        if self._file is not None:
            self._file.touch()

    def _change_sites(self, names: Sequence[str], **changes: object) -> None:
        for name in names:
            site = self._sites.get(name)
            if site is not None:
                for field, value in changes.items():
                    setattr(site, field, value)

    def _begin_phase(self, name: str) -> None:
        with self._lock:
            phase = self._phases.get(name)
            if phase is None or phase.since:
                return
            phase.since, self._phases_began[name] = write_moment(), time.monotonic()
            words = f"phase {phase.number} of {len(self._phases)} begins: {name}"
        self.say(words)

    def _end_phase(self, name: str) -> None:
        with self._lock:
            self._outline.reckoning.done.add(name)
            phase = self._phases.get(name)
            began = self._phases_began.get(name)
            if phase is None or began is None or phase.seconds is not None:
                return
            phase.seconds = round(time.monotonic() - began, 3)
            words = f"{name}: done in {tell_length(phase.seconds)}"
        self.say(words)

    def _begin_procedure(self, name: str) -> None:
        phase = self._outline.procedures.get(name)
        if phase is not None and name not in self._begun:
            with self._lock:
                self._begun[name] = None
            self._begin_phase(phase)

    def _list_steps(self) -> tuple[str, ...]:
        return tuple(name for name in self._begun if name not in self._ended)

    def _count_rounds(self) -> int:
        return 0 if self._traffic is None else self._traffic.rounds

    def _find_training(self, model: str, arm: str) -> TrainingProgress:
        return self._trainings.setdefault((model, arm), TrainingProgress(model, arm))

    def _take_curve(
        self, model: str, arm: str, curve: Sequence[CurveLine], took: float | None
    ) -> TrainingProgress:
        """The training after the rounds of the curve, with what may be shown of their validation."""
        training = self._find_training(model, arm)
        if curve:
            training.round, training.loss = min(curve[-1].number, training.of), curve[-1].loss
        self._outline.reckoning.note_round(model, arm, training.round, took)
        judged = [line for line in curve if line.validation_auc is not None]
        if judged:
            last = judged[-1]
            training.judged = last.number
            training.validation_auc = last.validation_auc if last.released else None
            training.withheld = "" if last.released else "withheld: too few validation patients"
        return training

    def _reckon(self) -> TimeLeft:
        """The time that is left, with what the phase and the round that go on have taken so far."""
        reckoning = self._outline.reckoning
        name, began, before = self._open_phase or ("", 0.0, self._count_rounds())
        if rounds := self._count_rounds() - before:
            cost = reckoning.costs.get(name, PhaseCost())
            so_far = PhaseCost(cost.seconds + self._read_clock() - began, cost.rounds + rounds)
            reckoning = replace(reckoning, costs={**reckoning.costs, name: so_far})
        return reckoning.reckon(time.monotonic() - self._round_began)

    def _read_clock(self) -> float:
        """Seconds on a clock that stands still while somebody is waited for."""
        return time.monotonic() - self._waited_s

    def _see_returns(self) -> None:
        """Who is back has been asked again: what it did while it was away is no work."""
        away = frozenset(self.missed)
        self._change_sites(sorted(self._away - away), asked_at=write_moment())
        self._away = away

    def _list_paused(self, *stages: PauseStage) -> dict[str, Missed]:
        return {site: missed for site, missed in dict(self.missed).items() if missed.pause in stages}

    def _add_pause(self, state: RunState) -> None:
        if state.condition != "running":
            return
        if awaited := self._list_paused("goes on"):
            state.condition, state.pause = "paused", _begin_pause(awaited)
        given_up = self._list_paused("is over")
        for site in state.sites:
            site.connected = site.connected and site.name not in self.missed
            site.owes = site.owes and site.name not in given_up

    def _tick(self) -> None:
        """Say now and then how far the study is, where nothing else was told."""
        with self._lock:
            before, self._ticked = self._ticked, time.monotonic()
            is_paused = bool(self._list_paused("goes on"))
            if is_paused:
                self._has_waited = True
                self._waited_s += self._ticked - before
            self._see_returns()
        rounds = self._count_rounds()
        is_quiet = time.monotonic() - self._line_at >= _QUIET_S and not is_paused
        if not is_quiet or rounds <= self._rounds_told:
            return
        self._rounds_told = rounds
        with self._lock:
            going = ", ".join(phase.name for phase in self._phases.values() if phase.goes_on)
            owing = ", ".join(site.name for site in self._sites.values() if site.owes)
            done, of = len(self._ended), len(self._outline.procedures)
        told = f"{going or 'study'}: {rounds} round{'' if rounds == 1 else 's'} of messages so far"
        self.say(f"{told}, {done} of {of} steps done" + (f"; {owing} at work" if owing else ""))

    @contextmanager
    def _collect_lines(self) -> Iterator[None]:
        """A context in which lines that other modules of the coordinator log are kept, too."""
        handler, logger = LineCollector(self._keep_line, __name__), logging.getLogger("server")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    def _end(self, condition: Condition, ending: str) -> None:
        pause = self._find_last_pause(condition)
        with self._lock:
            self._state = replace(
                self._state, condition=condition, ended=write_moment(), ending=ending, pause=pause
            )
            self._change_sites(self._outline.sites, owes=False)
            if condition == "finished":
                self._ended.update(self._outline.procedures)
        if not pause.sites:
            self._keep_line(f"{condition}: {ending}")
        elif condition == "interrupted":
            self.say(f"interrupted while {describe_pause(pause)}; {describe_return(pause)}")
        else:
            self.say(f"failed, {describe_wait(pause)}: {ending}")

    def _find_last_pause(self, condition: Condition) -> Pause:
        """The pause in which a run ends: one that fails may do so because it has waited long enough."""
        stages: dict[Condition, tuple[PauseStage, ...]] = {
            "interrupted": ("goes on",),
            "failed": ("goes on", "is over"),
        }
        awaited = self._list_paused(*stages.get(condition, ()))
        return _begin_pause(awaited) if awaited else Pause()


def _begin_pause(awaited: Mapping[str, Missed]) -> Pause:
    since = min(missed.since for missed in awaited.values())
    return Pause(tuple(sorted(awaited)), write_moment(since))
