"""Refusals that repeat: the first of a kind has its line in the ledger at once, its repeats are counted.

Whoever has taken over the link can ask the engine for refusals without end. One line each would fill the disk
and hide the lines of what did leave; a refusal has no number in it, so that nothing is lost by the count.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from client.release.ledger import Departure

_PERIOD_S = 600.0
_MOST_KINDS = 256


@dataclass
class RefusalCounts:
    """How often each kind of refusal left since its last line."""

    _kinds: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)

    def merge(self, departure: Departure) -> Departure | None:
        """The line to write now, which may stand for several refusals; None if this one is only counted.

        Parameters
        ----------
        departure : Departure
            Whatever leaves; what is no refusal always has a line of its own.
        """
        if departure.what != "refusal" or departure.numbers:
            return departure
        kind = (departure.plan_hash, departure.phase, departure.subject, departure.code)
        now = time.monotonic()
        due, counted = self._kinds.get(kind, (now, 0))
        if now < due:
            self._kinds[kind] = due, counted + 1
            return None
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        self._kinds[kind] = now + _PERIOD_S, 0
        return departure.model_copy(update={"times": counted + 1})
