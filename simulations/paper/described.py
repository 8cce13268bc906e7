"""Values that have exactly a printed mean and SD, or a printed median and width of the IQR."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
from scipy.special import ndtri

from common.types import Counts, Reals
from simulations.paper.facts import MeanSd, MedianIqr

_BELOW = 0.4
"""Share of an IQR that lies below its median: the paper prints only widths, and most variables are skewed."""
_TAILS = (0.8, 1.5)
"""How far values reach below the first and above the third quartile, in IQRs."""
_QUARTILES = (Decimal("0.25"), Decimal("0.5"), Decimal("0.75"))


@dataclass(frozen=True)
class Recording:
    """How a variable is recorded.

    Attributes
    ----------
    resolution : Decimal
        Step between neighbouring values, in the variable's unit.
    smallest : Decimal
        The smallest value that a patient may have.
    reach : Decimal
        The least by which the largest value exceeds the third quartile.
    """

    resolution: Decimal
    smallest: Decimal = Decimal(0)
    reach: Decimal = Decimal(0)


def values_of(printed: MeanSd | MedianIqr, n: int, recording: Recording, zeros: int = 0) -> Reals:
    """Ascending values of n patients that have the printed summary.

    Parameters
    ----------
    printed : MeanSd or MedianIqr
    n : int
    recording : Recording
    zeros : int
        Number of patients with the value 0, who come first; only with a median.

    Returns
    -------
    float array, shape (n,)
        Multiples of the resolution.

    Raises
    ------
    ValueError
        If no such values exist.
    """
    if isinstance(printed, MedianIqr):
        return _record(_build_with_median_iqr(printed, n, recording, zeros), recording)
    units = _build_with_mean_sd(printed.mean / recording.resolution, printed.sd / recording.resolution, n)
    values = _record(units, recording)
    for value, wanted in ((values.mean(), printed.mean), (values.std(ddof=1), printed.sd)):
        if abs(Decimal(float(value)) - wanted) > Decimal(5).scaleb(int(wanted.as_tuple().exponent) - 1):
            raise ValueError(f"{n} values with a resolution of {recording.resolution} cannot have {printed}")
    return values


def _record(units: Counts, recording: Recording) -> Reals:
    """Multiples of the resolution as values in the variable's unit."""
    values: Reals = np.round(units * float(recording.resolution), 6)
    return values


def _build_with_mean_sd(mean: Decimal, sd: Decimal, n: int) -> Counts:
    """Whole numbers near a normal's quantiles, moved until sum and sum of squares are as near as possible.

    If two values move towards or away from each other by one, the sum stays and the sum of squares changes by
    twice their distance and two.
    """
    deviates = ndtri(np.arange(1, n + 1) / (n + 1))
    units = np.rint(float(mean) + float(sd) * deviates / deviates.std(ddof=1)).astype(np.int64)
    total = int((mean * n).to_integral_value(ROUND_HALF_EVEN))
    lacking = total - int(units.sum())
    middle = n // 2 - abs(lacking) // 2
    units[middle : middle + abs(lacking)] += np.sign(lacking)
    squares = float(sd) ** 2 * (n - 1) + total**2 / n
    for _ in range(n):
        half = round((squares - int((units**2).sum())) / 2)
        if half == 0:
            break
        _widen(units, half)
    return np.sort(units)


def _widen(units: Counts, half: int) -> None:
    """Change the sum of squares by about `2 * half` and keep the sum, in place."""
    distances = units[None, :] - units[:, None] + 1
    np.fill_diagonal(distances, np.iinfo(np.int64).max // 2)
    low, high = np.unravel_index(np.argmin(np.abs(distances - half)), distances.shape)
    units[low] -= 1
    units[high] += 1


def _build_with_median_iqr(printed: MedianIqr, n: int, recording: Recording, zeros: int) -> Counts:
    """Whole numbers with these quartiles: values at the ranks (n + 1) p are set, the others are interpolated.

    Quantiles are of type 6 (Hyndman and Fan 1996).

    Raises
    ------
    ValueError
        If so many zeros contradict the quartiles.
    """
    median = printed.median / recording.resolution
    width = (printed.iqr / recording.resolution).to_integral_value(ROUND_HALF_UP)
    first = (median - Decimal(str(_BELOW)) * width).to_integral_value(ROUND_HALF_UP)
    if zeros > (n + 1) / 4:
        first = Decimal(0)
    quartiles = (first, median, first + width)
    smallest = recording.smallest / recording.resolution
    low = max(smallest, first - Decimal(str(_TAILS[0])) * width)
    reach = max(Decimal(str(_TAILS[1])) * width, recording.reach / recording.resolution)
    known = {zeros + 1: low, n: quartiles[2] + reach}
    for p, value in zip(_QUARTILES, quartiles, strict=True):
        known |= _set_quantile(Decimal(n + 1) * p, value)
    if any((rank <= zeros) != (value == 0) for rank, value in known.items()):
        raise ValueError(f"{zeros} zeros of {n} values contradict {printed}")
    ranks = sorted(rank for rank in known if rank > zeros)
    values = np.interp(np.arange(zeros + 1, n + 1), ranks, [float(known[rank]) for rank in ranks])
    return np.concatenate([np.zeros(zeros, dtype=np.int64), np.rint(values).astype(np.int64)])


def _set_quantile(rank: Decimal, value: Decimal) -> dict[int, Decimal]:
    """The one or two order statistics, by rank, that give the quantile at this rank the value.

    Raises
    ------
    ValueError
        If no half-way value of two recorded ones is the quantile.
    """
    below, above = int(rank), int(rank) + (rank % 1 != 0)
    low, high = value.to_integral_value("ROUND_FLOOR"), value.to_integral_value("ROUND_CEILING")
    if low != high and rank % 1 != Decimal("0.5"):
        raise ValueError(f"no quantile at rank {rank} lies half-way between two recorded values")
    return {below: low, above: high}
