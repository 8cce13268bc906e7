"""How long a study will still take, about: by what its rounds have taken so far.

A training counts by rounds of training, everything else by rounds of messages, of which the forecast of the
plan says how many there usually are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from server.watch.study_state import TimeLeft

_TRAINING = "training"
_NO_MEASURE = frozenset(("enrolment", "preparation", _TRAINING))
"""How long they take says nothing of other phases: people start sites, scans are read, networks learn."""
_RIDES_ALONG = frozenset(("agreement", "cohort", "regression"))
"""Phases whose questions travel with those of the trainings, as long as there are any."""
_LATEST = 12
"""Rounds of a network, in all its arms, by which the next ones are reckoned."""


@dataclass(frozen=True)
class Work:
    """One network to train in one arm.

    Attributes
    ----------
    model, arm : str
        As in the plan.
    rounds : int
        Of its training; of a local model, as many as would take its epochs.
    """

    model: str
    arm: str
    rounds: int


@dataclass
class PhaseCost:
    """What a phase has taken so far.

    Attributes
    ----------
    seconds : float
        Wall time.
    rounds : int
        Rounds of messages.
    """

    seconds: float = 0.0
    rounds: int = 0


@dataclass
class Reckoning:
    """What is known of the time that a study takes.

    Attributes
    ----------
    usual : mapping of str to int
        Rounds of messages that each phase usually takes, in the order of the phases.
    trainings : tuple of Work
        Every network in every arm that sites train.
    costs : dict of str to PhaseCost
        What each phase has taken, in earlier runs and in this one.
    done : set of str
        Phases that are over.
    trained : dict
        By model and arm, how many rounds are done.
    measured : dict of str to list of float
        By model, seconds of the rounds of this run.
    """

    usual: Mapping[str, int] = field(default_factory=dict)
    trainings: tuple[Work, ...] = ()
    costs: dict[str, PhaseCost] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    trained: dict[tuple[str, str], int] = field(default_factory=dict)
    measured: dict[str, list[float]] = field(default_factory=dict)

    def note_round(self, model: str, arm: str, rounds: int, seconds: float | None) -> None:
        """A training has come to so many rounds; None seconds: their time measures nothing."""
        self.trained[model, arm] = rounds
        if seconds is not None:
            self.measured.setdefault(model, []).append(seconds)

    def note_end(self, model: str, arm: str) -> None:
        """A training has ended, with a model or without."""
        for work in self.trainings:
            if (work.model, work.arm) == (model, arm):
                self.trained[model, arm] = work.rounds

    def reckon(self, under_way_s: float = 0.0) -> TimeLeft:
        """The time that is left.

        Parameters
        ----------
        under_way_s : float
            For how long the round of training that goes on has gone on, seconds; no more of it counts than a
            round takes.
        """
        training, others = self._reckon_trainings(under_way_s), self._reckon_others()
        if training is None:
            which = "next round" if any(self.trained.values()) else "first round"
            return TimeLeft(None, f"known after the {which} of training")
        if others is None:
            return TimeLeft(None, "known after the first statistics")
        if not training and not others:
            return TimeLeft(0.0, "nothing is left to ask")
        return TimeLeft(training + others, "by the rounds so far and the plan's forecast")

    @property
    def _trains(self) -> bool:
        return _TRAINING in self.usual and _TRAINING not in self.done

    def _reckon_trainings(self, under_way_s: float) -> float | None:
        if not self._trains:
            return 0.0
        latest = [seconds for rounds in self.measured.values() for seconds in _choose_latest(rounds)]
        total, longest = 0.0, 0.0
        for work in self.trainings:
            left = work.rounds - self.trained.get((work.model, work.arm), 0)
            if left <= 0:
                continue
            own = _choose_latest(self.measured.get(work.model, [])) or latest
            if not own:
                return None
            total += left * fmean(own)
            longest = max(longest, fmean(own))
        return total - min(under_way_s, longest)

    def _reckon_others(self) -> float | None:
        mean = _average(cost for phase, cost in self.costs.items() if phase not in _NO_MEASURE)
        total = 0.0
        for phase, usual in self.usual.items():
            if phase in self.done or phase == _TRAINING or (self._trains and phase in _RIDES_ALONG):
                continue
            cost = self.costs.get(phase, PhaseCost())
            left = max(usual - cost.rounds, 0)
            each = (_average([cost]) if phase not in _NO_MEASURE else None) or mean
            if left and each is None:
                # Rounds of statistics are short beside those of a training
                return 0.0 if self._trains else None
            total += left * (each or 0.0)
        return total


def _choose_latest(seconds: list[float]) -> list[float]:
    """Without the first round, which loads the network and shares its messages with much else."""
    return (seconds[1:] or seconds)[-_LATEST:]


def _average(costs: Iterable[PhaseCost]) -> float | None:
    """Seconds of a round; None where none was measured."""
    several = list(costs)
    rounds = sum(cost.rounds for cost in several)
    return sum(cost.seconds for cost in several) / rounds if rounds else None
