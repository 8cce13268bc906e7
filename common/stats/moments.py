"""Mean, variance, skewness and kurtosis from sums of powers."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from common.stats.recording_grid import RecordingGrid
from common.types import Reals


@dataclass(frozen=True)
class Moments:
    """Number, mean and sums of powers of the deviations of one group.

    Attributes
    ----------
    n : int
        Number of values.
    mean : float
        In the variable's unit; NaN without values.
    m2, m3, m4 : float
        Sums of the 2nd, 3rd and 4th powers of the deviations from the mean.
    """

    n: int
    mean: float
    m2: float
    m3: float
    m4: float

    @property
    def variance(self) -> float:
        """The variance with n - 1 degrees of freedom; NaN for fewer than two values."""
        return self.m2 / (self.n - 1) if self.n > 1 else float("nan")

    @property
    def sd(self) -> float:
        """The standard deviation with n - 1 degrees of freedom; NaN for fewer than two values."""
        return sqrt(self.variance) if self.n > 1 else float("nan")


def power_sums(values: Reals, grid: RecordingGrid) -> Reals:
    """Sums of the first four powers of the values, which the grid's public constants shift and scale.

    Parameters
    ----------
    values : float array, shape (n,)

    Returns
    -------
    float array, shape (4,)
    """
    z = (values - grid.centre) / grid.half_range
    square = z * z
    return np.array([z.sum(), square.sum(), (square * z).sum(), (square * square).sum()])


def moments_of(n: int, sums: Reals, grid: RecordingGrid) -> Moments:
    """The moments of n values from their `power_sums`.

    Parameters
    ----------
    sums : float array, shape (4,)
    """
    if n == 0:
        return Moments(0, float("nan"), 0.0, 0.0, 0.0)
    s1, s2, s3, s4 = (float(value) for value in sums)
    mean = s1 / n
    scale = grid.half_range
    # Rounding can leave a constant variable with a variance of -1e-17.
    m2 = max(0.0, s2 - n * mean**2)
    m3 = s3 - 3 * mean * s2 + 2 * n * mean**3
    m4 = max(0.0, s4 - 4 * mean * s3 + 6 * mean**2 * s2 - 3 * n * mean**4)
    # A variance that rounding alone explains counts as 0.
    if m2 <= _ROUNDING * s2:
        m2 = m3 = m4 = 0.0
    return Moments(n, grid.centre + scale * mean, scale**2 * m2, scale**3 * m3, scale**4 * m4)


_ROUNDING = 2.0**-44
"""Share of the sum of squares below which a variance is rounding alone: 256 times the float64 epsilon."""
