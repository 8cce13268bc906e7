"""Agreement of two readers on categories: Cohen's kappa from the table of their readings."""

from __future__ import annotations

from math import sqrt
from typing import Literal, TypeAlias

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import (
    NO_DISAGREEMENT,
    Estimate,
    Interval,
    Z,
    absent,
    explain_no_interval,
    suppressed,
    undefined,
)
from common.stats.minima import STANDARD, Minima
from common.types import Counts, Reals

KappaWeights: TypeAlias = Literal["unweighted", "linear", "quadratic"]

NO_VARIANCE = "kappa has no variance in these readings"
"""Why another kappa has none, e.g. that of a reader who finds the same in every patient."""
_NO_SPREAD = 1e-14
"""A sum of squares of shares below this is rounding alone."""


def local_kappa(first: Counts, second: Counts, categories: int) -> Summary:
    """One site's table of two readers' categories.

    Parameters
    ----------
    first, second : int arrays, shape (n,)
        In 0 ... categories - 1, or -1 where a reader gave no category.

    Returns
    -------
    Summary
        Counts "table" (categories, categories), first reader by rows, and "missing" (1,).

    Raises
    ------
    ValueError
        If shapes differ or a category is unknown.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"readings {first.shape} and {second.shape} do not belong together")
    categories_given = np.concatenate([first, second])
    if categories_given.size and (categories_given.min() < -1 or categories_given.max() >= categories):
        raise ValueError(
            f"categories {categories_given.min()} ... {categories_given.max()} are not all among {categories}"
        )
    known = (first >= 0) & (second >= 0)
    table = np.zeros((categories, categories), dtype=np.int64)
    np.add.at(table, (first[known], second[known]), 1)
    return Summary(counts={"table": table, "missing": np.array([np.count_nonzero(~known)])})


def finish_kappa(
    summary: Summary, weights: KappaWeights = "unweighted", minima: Minima = STANDARD
) -> Estimate:
    """Kappa with its large-sample interval; undefined if all readings are in one category.

    A large-sample interval of no width would state certainty: then there is none.

    References
    ----------
    Cohen J. Psychol Bull 1968;70:213-220. Fleiss JL, Cohen J, Everitt BS. Psychol Bull 1969;72:323-327.
    """
    table = summary.counts["table"]
    n = int(table.sum())
    method = f"Cohen's kappa, {weights}"
    missing = minima.show(int(summary.counts["missing"][0]))
    used = None if missing is None else minima.show(n)
    if n == 0:
        return absent(undefined("no readings"), method, used, missing)
    if n < minima.subjects:
        return absent(suppressed(f"fewer than {minima.subjects} subjects"), method, used, missing)
    shares = table / n
    agreement = _agreement_weights(len(table), weights)
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    expected = float(rows @ agreement @ columns)
    if 1 - expected < 1e-12:
        return absent(undefined("all readings are in one category"), method, used, missing)
    observed = float((shares * agreement).sum())
    kappa = (observed - expected) / (1 - expected)
    mean = (agreement @ columns)[:, np.newaxis] + (rows @ agreement)[np.newaxis]
    spread = float((shares * (agreement - mean * (1 - kappa)) ** 2).sum())
    spread -= (kappa - expected * (1 - kappa)) ** 2
    agreed = int(np.trace(table)) == n
    if agreed or spread < _NO_SPREAD:
        lack = NO_DISAGREEMENT if agreed else NO_VARIANCE
        return explain_no_interval(Estimate.of(kappa, None, method, used, missing), lack)
    half = Z * sqrt(spread / n) / (1 - expected)
    interval = Interval(max(-1.0, kappa - half), min(1.0, kappa + half), "Fleiss-Cohen-Everitt")
    return Estimate.of(kappa, interval, method, used, missing)


def _agreement_weights(categories: int, kind: KappaWeights) -> Reals:
    """The weight of each pair of categories, shape (categories, categories); 1 on the diagonal."""
    if kind == "unweighted" or categories == 1:
        return np.eye(categories)
    distance = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories))) / (categories - 1)
    return np.asarray(1 - (distance if kind == "linear" else distance**2), dtype=np.float64)
