"""McNemar's test: sensitivity and specificity of two models compared on the same patients."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import NOT_FILED, OK, PValue, Status, suppressed
from common.stats.minima import STANDARD, Minima
from common.types import Flags, Reals

McNemarMethod: TypeAlias = Literal["exact", "chi-squared", "corrected"]


@dataclass(frozen=True)
class McNemarResult:
    """Two models' calls compared in one class of patients, as the results file holds it.

    Attributes
    ----------
    only_first, only_second : int or None
        Patients whom only the first, and only the second model classified correctly; None where hidden.
    p_value : float or None
        Two-sided.
    method : {"exact", "chi-squared", "corrected"}
        Which test.
    standing : Status
        Suppressed if a discordant count is too small to be shown.
    statistic : float or None
        Chi-squared with one degree of freedom; None for the exact test. Not in the results file.
    n_used, n_missing : int or None
        Patients of the class with a score of every model; patients of both classes without one. None where
        hidden. Not in the results file.
    """

    only_first: int | None
    only_second: int | None
    p_value: PValue | None
    method: McNemarMethod
    standing: Status = OK
    statistic: float | None = field(default=None, metadata=NOT_FILED)
    n_used: int | None = field(default=None, metadata=NOT_FILED)
    n_missing: int | None = field(default=None, metadata=NOT_FILED)

    def __post_init__(self) -> None:
        counts = (self.only_first, self.only_second)
        if any(count is not None and count < 0 for count in counts):
            raise ValueError(f"patients cannot be {counts}")


def model_pairs(models: int) -> tuple[tuple[int, int], ...]:
    """The pairs of models in the order of the summary: (0, 1), (0, 2), ..., (1, 2), ..."""
    return tuple(combinations(range(models), 2))


def local_mcnemar(scores: Reals, labels: Flags, threshold: float) -> Summary:
    """One site's discordant calls of every pair of models, by class.

    Parameters
    ----------
    scores : float array, shape (models, n)
        A patient without a score of every model (NaN) is left out and counted.
    labels : bool array, shape (n,)
    threshold : float
        A score of at least this is called positive.

    Returns
    -------
    Summary
        Counts "discordant" (pairs, 2, 2), axes (pair, class, who alone is right), negatives first; "n" (2,)
        and "missing" (1,).
    """
    complete = ~np.isnan(scores).any(axis=0)
    positive = labels[complete]
    right = (scores[:, complete] >= threshold) == positive
    discordant = np.zeros((len(model_pairs(len(scores))), 2, 2), dtype=np.int64)
    for row, (first, second) in enumerate(model_pairs(len(scores))):
        for label in (False, True):
            first_right, second_right = right[first, positive == label], right[second, positive == label]
            discordant[row, int(label)] = (
                np.count_nonzero(first_right & ~second_right),
                np.count_nonzero(second_right & ~first_right),
            )
    return Summary(
        counts={
            "discordant": discordant,
            "n": np.array([np.count_nonzero(~positive), np.count_nonzero(positive)]),
            "missing": np.array([np.count_nonzero(~complete)]),
        }
    )


def finish_mcnemar(
    summary: Summary, row: int, method: McNemarMethod = "exact", minima: Minima = STANDARD
) -> tuple[McNemarResult, McNemarResult]:
    """Two results for one pair of models: the comparison of specificities, then of sensitivities.

    Parameters
    ----------
    row : int
        Of the pair in the summary, as `model_pairs` orders them.

    References
    ----------
    McNemar Q. Psychometrika 1947;12:153-157.
    """
    missing = int(summary.counts["missing"][0])
    negatives, positives = (
        _finish_class(table, (int(n), missing), method, minima)
        for table, n in zip(summary.counts["discordant"][row].tolist(), summary.counts["n"], strict=True)
    )
    return negatives, positives


def mcnemar(b: int, c: int, method: McNemarMethod = "exact") -> tuple[float | None, float]:
    """Chi-squared (None for the exact test) and two-sided p, from b and c discordant pairs."""
    from scipy import stats

    if b + c == 0:
        return (None if method == "exact" else 0.0), 1.0
    if method == "exact":
        return None, float(stats.binomtest(b, b + c).pvalue)
    distance = abs(b - c) - (1 if method == "corrected" and b != c else 0)
    statistic = distance**2 / (b + c)
    return statistic, float(stats.chi2.sf(statistic, 1))


def _finish_class(
    discordant: list[int], numbers: tuple[int, int], method: McNemarMethod, minima: Minima
) -> McNemarResult:
    n_missing = minima.show(numbers[1])
    n_used = None if n_missing is None else minima.show(numbers[0])
    b, c = discordant
    if minima.show(b) is None or minima.show(c) is None:
        hidden = suppressed("a discordant count below the minimum")
        return McNemarResult(None, None, None, method, hidden, None, n_used, n_missing)
    statistic, p = mcnemar(b, c, method)
    return McNemarResult(b, c, p, method, OK, statistic, n_used, n_missing)
