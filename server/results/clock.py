"""How long each phase of a run took, and how many rounds of messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class PhaseCost:
    """What one phase cost.

    Attributes
    ----------
    seconds : float
        Wall time.
    rounds : int
        Rounds of messages.
    """

    seconds: float
    rounds: int


@dataclass
class PhaseClock:
    """Wall time and message rounds by phase, in the order in which they ran.

    Attributes
    ----------
    rounds : callable
        Returns how many rounds of messages there were so far.
    started : datetime
        When the clock was made, UTC.
    costs : dict of str to PhaseCost
        By the name of each phase that has ended.
    """

    rounds: Callable[[], int]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    costs: dict[str, PhaseCost] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """A context whose time and rounds are recorded as the cost of this phase."""
        begin, before = time.perf_counter(), self.rounds()
        try:
            yield
        finally:
            self.costs[name] = PhaseCost(time.perf_counter() - begin, self.rounds() - before)
