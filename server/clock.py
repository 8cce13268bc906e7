"""How long each phase of a run took, and how many rounds of messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class Spent:
    """What one phase cost."""

    seconds: float
    rounds: int


@dataclass
class PhaseClock:
    """Wall time and message rounds by phase, in the order in which they ran.

    Attributes
    ----------
    rounds : callable
        How many rounds of messages there were so far.
    started : datetime
        UTC.
    spent : dict of str to Spent
        By phase.
    """

    rounds: Callable[[], int]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    spent: dict[str, Spent] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A context whose time and rounds count for this phase."""
        begin, before = time.perf_counter(), self.rounds()
        try:
            yield
        finally:
            self.spent[name] = Spent(time.perf_counter() - begin, self.rounds() - before)
