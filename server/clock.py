"""How long each phase of a run took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass
class PhaseClock:
    """Wall time by phase, in the order in which they ran.

    Attributes
    ----------
    started : datetime
        UTC.
    durations_s : dict of str to float
        By phase.
    """

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    durations_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A context whose time counts for this phase."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.durations_s[name] = time.perf_counter() - begin
