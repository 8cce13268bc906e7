"""What this process computes, and when it last got on: whoever waits for it need not guess."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Pulse:
    """Where long work stands.

    Attributes
    ----------
    doing : str
        In words, such as "training, epoch 3 of 10"; it names no patient.
    at : float
        When it last got on, in seconds of `time.monotonic`.
    """

    doing: str
    at: float

    @property
    def age_s(self) -> float:
        """Seconds since it last got on."""
        return max(0.0, time.monotonic() - self.at)


_latest = Pulse("nothing", time.monotonic())


def mark_progress(doing: str) -> None:
    """Note that this process has just got on with some work; costs less than a microsecond."""
    global _latest  # noqa: PLW0603 - one process computes one thing at a time, whatever thread asks
    _latest = Pulse(doing, time.monotonic())


def read_pulse() -> Pulse:
    """What was noted last."""
    return _latest
