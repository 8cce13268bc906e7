"""Values on the grid on which they were recorded, so that a histogram loses no information."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Literal, TypeAlias

import numpy as np

from common.types import Counts, Reals

QuantileType: TypeAlias = Literal[6, 7]
"""7: R's and NumPy's default; 6: that of SPSS and Minitab."""


@dataclass(frozen=True)
class RecordingGrid:
    """The resolution at which a variable is recorded and its plausible range; public, fixed in the plan.

    Attributes
    ----------
    low : float
        The smallest value of the grid, in the variable's unit.
    resolution : float
        Step between neighbouring values: 1 year, 1 mm Hg, 0.01 INR, 0.01 ml, ...
    bins : int
        How many values the grid has; values below or above it are counted as such.
    decimals : int
        Decimals to which released quantiles are rounded.

    Examples
    --------
    >>> RecordingGrid(low=18, resolution=1, bins=100).value_at(42)
    60.0
    """

    low: float
    resolution: float
    bins: int
    decimals: int = 2

    def __post_init__(self) -> None:
        if self.resolution <= 0 or self.bins < 1:
            raise ValueError(f"{self.bins} values {self.resolution:g} apart are no grid")

    @property
    def centre(self) -> float:
        """The middle of the grid, subtracted from values before they are raised to a power."""
        return self.low + self.resolution * (self.bins - 1) / 2

    @property
    def half_range(self) -> float:
        """Half the width of the grid, by which shifted values are divided."""
        return self.resolution * self.bins / 2

    @property
    def high(self) -> float:
        """The largest value of the grid."""
        return self.value_at(self.bins - 1)

    def value_at(self, index: int) -> float:
        """The value of one bin, counted from 0."""
        return float(self.low + self.resolution * index)

    def histogram(self, values: Reals) -> Counts:
        """How many of the values lie at each value of the grid.

        Parameters
        ----------
        values : float array, shape (n,)
            Finite; a value between two values of the grid counts at the nearer.

        Returns
        -------
        int64 array, shape (bins + 2,)
            The first counts the values below the grid, the last those above.
        """
        nearest = np.rint((values - self.low) / self.resolution)
        index = np.clip(nearest, -1, self.bins).astype(np.int64) + 1
        return np.bincount(index, minlength=self.bins + 2).astype(np.int64)


@dataclass(frozen=True)
class Quantile:
    """One quantile of pooled values.

    Attributes
    ----------
    value : float
        In the variable's unit, rounded to the grid's decimals; the grid's end where it lies beyond.
    beyond : {"", "<", ">"}
        "<": the quantile lies below the grid, ">": above; "": it is `value`.
    error_bound : float
        How far the quantile of the raw values can be from `value`, if they were not recorded on the grid.
    """

    value: float
    beyond: Literal["", "<", ">"]
    error_bound: float


def quantile(histogram: Counts, p: float, grid: RecordingGrid, kind: QuantileType = 7) -> Quantile:
    """The p-quantile of the values in a histogram made by `RecordingGrid.histogram`.

    Raises
    ------
    ValueError
        If the histogram is empty or p is not in [0, 1].

    References
    ----------
    Hyndman RJ, Fan Y. Am Stat 1996;50:361-365, definitions 6 and 7.
    """
    n = int(histogram.sum())
    if n == 0 or not 0 <= p <= 1:
        raise ValueError(f"no {p:g}-quantile of {n} values")
    rank = (n - 1) * p if kind == 7 else min(max((n + 1) * p - 1, 0.0), n - 1.0)
    below = floor(rank)
    share = rank - below
    cumulative = np.cumsum(histogram)
    ranks = [below, below + 1] if share > 0 else [below, below]
    left, right = (int(index) - 1 for index in np.searchsorted(cumulative, ranks, side="right"))
    if left < 0:
        return Quantile(round(grid.low, grid.decimals), "<", 0.0)
    if right >= grid.bins:
        return Quantile(round(grid.high, grid.decimals), ">", 0.0)
    value = grid.value_at(left) + share * (grid.value_at(right) - grid.value_at(left))
    return Quantile(round(value, grid.decimals), "", grid.resolution / 2)
