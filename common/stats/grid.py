"""Values on the grid on which they were recorded, so that a histogram loses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Literal, TypeAlias

import numpy as np

from common.types import Counts, Reals

QuantileType: TypeAlias = Literal[6, 7]
"""7: R's and NumPy's default; 6: that of SPSS and Minitab."""


@dataclass(frozen=True)
class Grid:
    """A variable's recording resolution and plausible range, public and fixed in the plan.

    Attributes
    ----------
    low : float
        The smallest value of the grid, in the variable's unit.
    resolution : float
        Step between neighbouring values: 1 year, 1 mm Hg, 0.01 INR, 0.01 ml, ...
    bins : int
        How many values. What lies beyond is counted as beyond.
    decimals : int
        To which released quantiles are rounded.

    Examples
    --------
    >>> Grid(low=18, resolution=1, bins=100).value(42)
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
        """What values are shifted by before they are raised to a power."""
        return self.low + self.resolution * (self.bins - 1) / 2

    @property
    def half_range(self) -> float:
        """What shifted values are divided by."""
        return self.resolution * self.bins / 2

    @property
    def high(self) -> float:
        """The largest value of the grid."""
        return self.value(self.bins - 1)

    def value(self, index: int) -> float:
        """The value of one bin."""
        return float(self.low + self.resolution * index)

    def histogram(self, values: Reals) -> Counts:
        """How often each value of the grid occurs.

        Parameters
        ----------
        values : float array, shape (n,)
            Finite; what is between two values of the grid is counted at the nearer.

        Returns
        -------
        int64 array, shape (bins + 2,)
            The first counts what lies below the grid, the last what lies above.
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
        Rounded as the grid says; the grid's end where the quantile lies beyond it.
    beyond : {"", "<", ">"}
        "<": smaller than `value`, below the grid; ">": larger.
    error_bound : float
        How far the quantile of the raw values can be from it; 0 if they were recorded on the grid.
    """

    value: float
    beyond: Literal["", "<", ">"]
    error_bound: float


def quantile(histogram: Counts, p: float, grid: Grid, kind: QuantileType = 7) -> Quantile:
    """The p-quantile of the values in a histogram made by `Grid.histogram`.

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
    value = grid.value(left) + share * (grid.value(right) - grid.value(left))
    return Quantile(round(value, grid.decimals), "", grid.resolution / 2)
