"""Values that have exactly a printed mean and SD, or a printed median and width of the IQR."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
from scipy.stats import norm

from common.types import Counts, Reals
from simulations.paper.facts import MeanSd, MedianIqr

_BELOW = 0.4
"""Share of an IQR that lies below its median; the paper prints widths only, most variables are skewed."""
_TAILS = (0.8, 1.5)
"""How far values reach beyond the quartiles, in IQRs."""
_QUARTILES = (Decimal("0.25"), Decimal("0.5"), Decimal("0.75"))


@dataclass(frozen=True)
class Recording:
    """How a variable is recorded.

    Attributes
    ----------
    resolution : Decimal
        Step between neighbouring values.
    smallest : Decimal
        Value that no patient is below.
    reach : Decimal
        By what the largest values exceed the third quartile at least.
    """

    resolution: Decimal
    smallest: Decimal = Decimal(0)
    reach: Decimal = Decimal(0)


def values_of(printed: MeanSd | MedianIqr, n: int, recording: Recording, zeros: int = 0) -> Reals:
    """Ascending values of n patients that print as told.

    Parameters
    ----------
    printed : MeanSd or MedianIqr
    n : int
    recording : Recording
    zeros : int
        Patients with the value 0, who come first; only with a median.

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
        return _recorded(_with_median_iqr(printed, n, recording, zeros), recording)
    units = _with_mean_sd(printed.mean / recording.resolution, printed.sd / recording.resolution, n)
    values = _recorded(units, recording)
    for found, wanted in ((values.mean(), printed.mean), (values.std(ddof=1), printed.sd)):
        if abs(Decimal(float(found)) - wanted) > Decimal(5).scaleb(int(wanted.as_tuple().exponent) - 1):
            raise ValueError(f"{n} values with a resolution of {recording.resolution} cannot have {printed}")
    return values


def _recorded(units: Counts, recording: Recording) -> Reals:
    values: Reals = np.round(units * float(recording.resolution), 6)
    return values


def _with_mean_sd(mean: Decimal, sd: Decimal, n: int) -> Counts:
    """Whole numbers near the quantiles of a normal, then moved until sum and sum of squares are the nearest.

    Two values that move towards or away from each other by one keep the sum and change the sum of squares by
    twice their distance and two.
    """
    deviates = norm.ppf(np.arange(1, n + 1) / (n + 1))
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
    """Changes the sum of squares by about `2 * half` and keeps the sum."""
    distances = units[None, :] - units[:, None] + 1
    np.fill_diagonal(distances, np.iinfo(np.int64).max // 2)
    low, high = np.unravel_index(np.argmin(np.abs(distances - half)), distances.shape)
    units[low] -= 1
    units[high] += 1


def _with_median_iqr(printed: MedianIqr, n: int, recording: Recording, zeros: int) -> Counts:
    """Quantiles of type 6 lie at ranks (n + 1) p: values at these ranks are set, the others lie between."""
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
        known |= _at_rank(Decimal(n + 1) * p, value)
    if any((rank <= zeros) != (value == 0) for rank, value in known.items()):
        raise ValueError(f"{zeros} zeros of {n} values contradict {printed}")
    ranks = sorted(rank for rank in known if rank > zeros)
    values = np.interp(np.arange(zeros + 1, n + 1), ranks, [float(known[rank]) for rank in ranks])
    return np.concatenate([np.zeros(zeros, dtype=np.int64), np.rint(values).astype(np.int64)])


def _at_rank(rank: Decimal, value: Decimal) -> dict[int, Decimal]:
    """The one or two order statistics that make the quantile at this rank the value."""
    below, above = int(rank), int(rank) + (rank % 1 != 0)
    low, high = value.to_integral_value("ROUND_FLOOR"), value.to_integral_value("ROUND_CEILING")
    if low != high and rank % 1 != Decimal("0.5"):
        raise ValueError(f"no quantile at rank {rank} lies half-way between two recorded values")
    return {below: low, above: high}
