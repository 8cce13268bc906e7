"""Events that repeat: the first of a kind is told at once, its repeats are counted and told together later.

Whoever can bring about the same event without end would otherwise fill the disk, and hide all other lines.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

_PERIOD_S = 600.0
_MOST_KINDS = 256


@dataclass
class RepeatCounts:
    """How often each kind of event came since it was told last."""

    _kinds: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)

    def count(self, kind: tuple[str, ...]) -> int:
        """For how many events a line is to stand now; 0 if this one is only counted.

        Parameters
        ----------
        kind : tuple of str
            What events have in common that are told together.
        """
        now = time.monotonic()
        due, counted = self._kinds.get(kind, (now, 0))
        if now < due:
            self._kinds[kind] = due, counted + 1
            return 0
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        self._kinds[kind] = now + _PERIOD_S, 0
        return counted + 1
