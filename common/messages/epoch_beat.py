"""The epoch of a training that an engine is at, as its link tells it with each heartbeat, and nothing else.

It stands in the fraction of the interval that a link names with its heartbeat, which Flower carries and adds
to a moment: it may grow by a tenth of a second. Number and count follow from the plan and the time; nobody
signs them, so that they are shown and nothing is decided by them.
"""

from __future__ import annotations

import re
from typing import Final

_MOST: Final = 10_000
_UNIT: Final = 1e-9
"""The fraction is ``(number * 10,000 + count) * 1e-9``, in seconds."""
_DOING = re.compile(r"training, epoch ([1-9][0-9]{0,3}) of ([1-9][0-9]{0,3})", re.ASCII)


def write_epoch_beat(interval_s: float, doing: str) -> float:
    """The interval, a whole number of seconds, with the epoch that an engine says to be at, if it does.

    Parameters
    ----------
    interval_s : float
        In which the next heartbeat comes.
    doing : str
        What the engine computes, as its pulse says.
    """
    found = _DOING.fullmatch(doing)
    if found is None:
        return interval_s
    number, count = int(found[1]), int(found[2])
    return interval_s + (number * _MOST + count) * _UNIT if number <= count else interval_s


def read_epoch_beat(interval_s: float) -> tuple[int, int] | None:
    """Number of the epoch and how many there are; None if the interval says none."""
    if not 0 < interval_s < _MOST:
        return None
    number, count = divmod(round((interval_s - int(interval_s)) / _UNIT), _MOST)
    return (number, count) if 1 <= number <= count < _MOST else None
