"""Answers without a number that repeat: the first has its line in the ledger at once, the others are counted.

Whoever has taken over the link can ask the engine for refusals without end, and send an old question again
and again. One line each would fill the disk and hide the lines of what did leave; there is no number in such
an answer, so that nothing is lost by the count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from client.release.ledger import Departure
from common.runtime.repeat_counts import RepeatCounts


@dataclass
class RefusalCounts:
    """How often each kind of refusal, and each other answer without a number, left since its last line."""

    _repeats: RepeatCounts = field(default_factory=RepeatCounts)

    def merge(self, departure: Departure) -> Departure | None:
        """The line to write now, which may stand for several answers; None if this one is only counted.

        Parameters
        ----------
        departure : Departure
            Whatever leaves; what has a number in it always has a line of its own.
        """
        if departure.numbers:
            return departure
        bytes_that_left = "" if departure.what == "refusal" else departure.digest
        kind = (departure.plan_hash, departure.phase, departure.subject, departure.code, bytes_that_left)
        times = self._repeats.count(kind)
        return departure.model_copy(update={"times": times}) if times else None
