"""What a benchmark reports, how much it does, and how time is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import perf_counter, process_time
from typing import Literal, TypeVar

Value = TypeVar("Value")


class Effort(Enum):
    """How much a benchmark does."""

    FULL = "full"
    """The specification's sizes, and the best of several repeats."""
    SMOKE = "smoke"
    """Small sizes, once: shows that the benchmark runs. The ratios say nothing about speed."""

    def choose(self, full: Value, smoke: Value) -> Value:
        """The size for this effort."""
        return full if self is Effort.FULL else smoke

    def repeats(self, full: int) -> int:
        """How often to measure; only the best counts."""
        return self.choose(full, 1)


@dataclass(frozen=True)
class Measurement:
    """One ratio of two times that were taken in the same run.

    Attributes
    ----------
    name : str
        What was compared with what.
    ratio : float
        The first time divided by the second.
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


def compare_times(
    name: str, bound: float, slow: Callable[[], object], fast: Callable[[], object], effort: Effort
) -> Measurement:
    """How many times faster one way is than another: the best of five, taken in turn.

    The best, because whatever else the machine does can only add.
    """
    if effort is Effort.FULL:
        slow(), fast()
    pairs = [(measure_seconds(slow), measure_seconds(fast)) for _ in range(effort.repeats(5))]
    slow_s, fast_s = (min(times) for times in zip(*pairs, strict=True))
    detail = f"{1000 * slow_s:.1f} ms against {1000 * fast_s:.1f} ms"
    return Measurement(name, slow_s / fast_s, bound, "at least", detail)


def measure_seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def measure_cpu_s(call: Callable[[], object], repeats: int = 1) -> float:
    """CPU time of one call, the least of several: whatever else the machine does can only add."""
    times = []
    for _ in range(repeats):
        start = process_time()
        call()
        times.append(process_time() - start)
    return min(times)
