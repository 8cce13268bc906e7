"""Agreement of three or more readers on categories: Fleiss' kappa, from sums over patients."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

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
from common.stats.kappa import NO_VARIANCE
from common.stats.minima import STANDARD, Minima
from common.types import Counts, Reals

FLEISS_KAPPA = "Fleiss' kappa"
"""The statistic, as reports name it."""
_ROUNDING = 2e-15
"""A sum below this share of its terms is rounding alone."""


@dataclass(frozen=True)
class FleissKappa:
    """The agreement of several readers on categories.

    Attributes
    ----------
    estimate : Estimate
        Kappa and its interval, by the linearised variance over patients.
    null_error : float or None
        The standard error that kappa would have if readers agreed by chance alone; None without a kappa.
    p : float or None
        Two-sided, of agreement by chance alone; None without a kappa.
    """

    estimate: Estimate
    null_error: float | None = None
    p: float | None = None


def local_fleiss(ratings: Counts, categories: int) -> Summary:
    """One site's sums; a patient whom a reader gave no category is left out.

    Parameters
    ----------
    ratings : int array, shape (n, readers)
        In 0 ... categories - 1, or -1 where a reader gave no category.
    categories : int

    Returns
    -------
    Summary
        Counts "missing" (1,), of patients, and "moments" (categories + 2, categories + 2): the sum over
        patients of the outer product of (1, readers for each category, sum of their squares) with itself.

    Raises
    ------
    ValueError
        If there are fewer than two readers or a category is unknown.
    """
    if ratings.ndim != 2 or ratings.shape[1] < 2:
        raise ValueError(f"ratings of shape {ratings.shape} are not of at least two readers")
    if ratings.size and (ratings.min() < -1 or ratings.max() >= categories):
        raise ValueError(f"categories {ratings.min()} ... {ratings.max()} are not all among {categories}")
    known = (ratings >= 0).all(axis=1)
    votes = (ratings[known, :, np.newaxis] == np.arange(categories)).sum(axis=1, dtype=np.int64)
    facts = np.column_stack([np.ones(len(votes), np.int64), votes, (votes**2).sum(axis=1)])
    return Summary(counts={"moments": facts.T @ facts, "missing": np.array([np.count_nonzero(~known)])})


def finish_fleiss(summary: Summary, minima: Minima = STANDARD) -> FleissKappa:
    """Fleiss' kappa over all sites; undefined if all readings are in one category.

    The interval is that of kappa as it is; the standard error of Fleiss, Nee and Landis holds for readers who
    agree by chance alone, and therefore gives the P value and not the interval. An interval of no width would
    state certainty: then there is none.

    References
    ----------
    Fleiss JL. Psychol Bull 1971;76:378-382. Fleiss JL, Nee JCM, Landis JR. Psychol Bull 1979;86:974-977.
    Gwet KL. Br J Math Stat Psychol 2008;61:29-48 (the linearised variance).
    """
    from scipy import stats

    moments = summary.counts["moments"].astype(np.float64)
    n = int(summary.counts["moments"][0, 0])
    missing = minima.show(int(summary.counts["missing"][0]))
    used = None if missing is None else minima.show(n)
    if n == 0:
        return FleissKappa(absent(undefined("no readings"), FLEISS_KAPPA, used, missing))
    if n < minima.subjects:
        return FleissKappa(
            absent(suppressed(f"fewer than {minima.subjects} subjects"), FLEISS_KAPPA, used, missing)
        )
    readers = float(moments[0, 1:-1].sum()) / n
    shares: Reals = moments[0, 1:-1] / (n * readers)
    chance = float(shares @ shares)
    if 1 - chance < 1e-12:
        return FleissKappa(absent(undefined("all readings are in one category"), FLEISS_KAPPA, used, missing))
    observed = (float(moments[0, -1]) / n - readers) / (readers * (readers - 1))
    kappa = (observed - chance) / (1 - chance)
    null_error = _find_null_error(shares, n, readers)
    p = 2 * float(stats.norm.sf(abs(kappa) / null_error))
    error = _linearise_error(moments, shares, readers, kappa)
    if observed == 1 or error == 0:
        lack = NO_DISAGREEMENT if observed == 1 else NO_VARIANCE
        bare = Estimate.of(kappa, None, FLEISS_KAPPA, used, missing)
        return FleissKappa(explain_no_interval(bare, lack), null_error, p)
    interval = Interval(max(-1.0, kappa - Z * error), min(1.0, kappa + Z * error), "linearised variance")
    return FleissKappa(Estimate.of(kappa, interval, FLEISS_KAPPA, used, missing), null_error, p)


def _linearise_error(moments: Reals, shares: Reals, readers: float, kappa: float) -> float:
    """The standard error of kappa: every patient's part in it is linear in the facts that were summed."""
    n, chance = moments[0, 0], float(shares @ shares)
    if n < 2:
        return 0.0
    of_agreement = 1 / (readers * (readers - 1) * (1 - chance))
    of_votes = -2 * (1 - kappa) / (1 - chance) * shares / readers
    constant = -(1 / (readers - 1) + chance) / (1 - chance) + 2 * (1 - kappa) * chance / (1 - chance) - kappa
    deviation = np.array([constant, *of_votes, of_agreement])
    spread, size = float(deviation @ moments @ deviation), float(abs(deviation) @ moments @ abs(deviation))
    return sqrt(spread / (n * (n - 1))) if spread > _ROUNDING * size else 0.0


def _find_null_error(shares: Reals, n: int, readers: float) -> float:
    """The standard error under agreement by chance alone (Fleiss, Nee and Landis 1979, equation 12)."""
    spread = shares * (1 - shares)
    total = float(spread.sum())
    inner = total**2 - float(spread @ (1 - 2 * shares))
    return sqrt(2 * inner / (n * readers * (readers - 1))) / total
