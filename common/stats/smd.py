"""Standardised mean differences (SMD) of two groups: the size of an imbalance, whatever the numbers.

References
----------
Yang D, Dalton JE. A unified approach to measuring the effect size between two groups. SAS Global Forum 2012.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from common.stats.moments import Moments
from common.types import Counts


def smd_continuous(first: Moments, second: Moments) -> float | None:
    """First minus second mean, divided by the root of the groups' mean variance; None without variance."""
    if min(first.n, second.n) < 2 or first.m2 + second.m2 == 0:
        return None
    return (first.mean - second.mean) / sqrt((first.variance + second.variance) / 2)


def smd_categorical(table: Counts) -> float | None:
    """The Mahalanobis distance of the groups' proportions; None where it does not exist.

    For two levels it has the sign of the difference of the second level, first minus second group; for more
    levels it is not negative.

    Parameters
    ----------
    table : int array, shape (levels, 2)
        Levels that nobody has are dropped.
    """
    kept = table[table.sum(axis=1) > 0]
    if len(kept) < 2 or (kept.sum(axis=0) == 0).any():
        return None
    shares = (kept / kept.sum(axis=0)).T[:, 1:]
    difference = shares[0] - shares[1]
    first, second = (np.diag(share) - np.outer(share, share) for share in shares)
    spread = (first + second) / 2
    if np.linalg.matrix_rank(spread, hermitian=True) < len(spread):
        return None
    if len(kept) == 2:
        return float(difference[0] / sqrt(spread[0, 0]))
    return float(sqrt(difference @ np.linalg.solve(spread, difference)))
