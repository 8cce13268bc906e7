"""What a benchmark reports, and how time is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Literal


@dataclass(frozen=True)
class Measurement:
    """One ratio of two times that were taken in the same run.

    Attributes
    ----------
    name : str
        What was compared with what.
    ratio : float
    bound : float
        From the specification.
    direction : {"at least", "at most"}
        On which side of the bound the ratio must lie.
    detail : str
        The two times.
    """

    name: str
    ratio: float
    bound: float
    direction: Literal["at least", "at most"] = "at least"
    detail: str = ""

    @property
    def met(self) -> bool:
        """Whether the specification is kept."""
        return self.ratio >= self.bound if self.direction == "at least" else self.ratio <= self.bound


def faster(name: str, bound: float, slow: Callable[[], object], fast: Callable[[], object]) -> Measurement:
    """How many times faster one way is than another: the best of five, taken in turn.

    The best, because whatever else the machine does can only add.
    """
    slow(), fast()
    pairs = [(seconds(slow), seconds(fast)) for _ in range(5)]
    slow_s, fast_s = (min(times) for times in zip(*pairs, strict=True))
    detail = f"{1000 * slow_s:.1f} ms against {1000 * fast_s:.1f} ms"
    return Measurement(name, slow_s / fast_s, bound, "at least", detail)


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start
