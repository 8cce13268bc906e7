"""How long a study will still take, about: by what its rounds have taken so far.

A training counts by rounds of training, everything else by rounds of messages, of which the forecast of the
plan says how many there usually are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from server.watch.study_state import TimeLeft

_TRAINING = "training"
_NO_MEASURE = frozenset(("enrolment", "preparation"))
"""How long they take says nothing of other phases: people start sites, scans are read."""


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
    measured : dict of str to PhaseCost
        By model, the rounds of this run and their time.
    """

    usual: Mapping[str, int] = field(default_factory=dict)
    trainings: tuple[Work, ...] = ()
    costs: dict[str, PhaseCost] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    trained: dict[tuple[str, str], int] = field(default_factory=dict)
    measured: dict[str, PhaseCost] = field(default_factory=dict)

    def note_round(self, model: str, arm: str, rounds: int, seconds: float | None) -> None:
        """A training has come to so many rounds; None seconds: they were done in an earlier run."""
        before = self.trained.get((model, arm), 0)
        self.trained[model, arm] = rounds
        if seconds is not None and rounds > before:
            cost = self.measured.setdefault(model, PhaseCost())
            cost.seconds, cost.rounds = cost.seconds + seconds, cost.rounds + rounds - before

    def give_up(self, model: str, arm: str) -> None:
        """A training will not take place, or not go on."""
        for work in self.trainings:
            if (work.model, work.arm) == (model, arm):
                self.trained[model, arm] = work.rounds

    def reckon(self) -> TimeLeft:
        """The time that is left."""
        training = self._reckon_training()
        others = self._reckon_others()
        if training is None:
            return TimeLeft(None, "known after the first round of training")
        if others is None:
            return TimeLeft(None, "known after the first statistics")
        if not training and not others:
            return TimeLeft(0.0, "nothing is left to ask")
        return TimeLeft(training + others, "by the rounds so far and the plan's forecast")

    def _reckon_training(self) -> float | None:
        if _TRAINING in self.done or _TRAINING not in self.usual:
            return 0.0
        mean = _average(self.measured.values())
        total = 0.0
        for work in self.trainings:
            left = work.rounds - self.trained.get((work.model, work.arm), 0)
            own = self.measured.get(work.model)
            each = _average([own]) if own else mean
            if left > 0 and each is None:
                return None
            total += max(left, 0) * (each or 0.0)
        return total

    def _reckon_others(self) -> float | None:
        mean = _average(
            cost for phase, cost in self.costs.items() if phase not in _NO_MEASURE and phase != _TRAINING
        )
        total = 0.0
        for phase, usual in self.usual.items():
            if phase in self.done or phase == _TRAINING:
                continue
            cost = self.costs.get(phase, PhaseCost())
            left = max(usual - cost.rounds, 0)
            each = _average([cost]) or mean
            if left and each is None:
                return None
            total += left * (each or 0.0)
        return total


def _average(costs: Iterable[PhaseCost]) -> float | None:
    """Seconds of a round; None where none was measured."""
    several = list(costs)
    rounds = sum(cost.rounds for cost in several)
    return sum(cost.seconds for cost in several) / rounds if rounds else None
