"""The ROC curve, the area under it (AUC) and its variance, from histograms of the scores by class."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, sqrt
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import expit

from common.stats.contract import Summary
from common.stats.estimate import (
    OK,
    Estimate,
    Interval,
    Status,
    Z,
    absent,
    coarse,
    explain_no_interval,
    suppressed,
    undefined,
)
from common.stats.minima import STANDARD, Minima
from common.stats.proportion import clopper_pearson, wilson_limits
from common.stats.score_grid import ScoreGrid, find_mixed
from common.stats.scores import check_scores, rank_scores, select_scored
from common.types import Counts, Flags, Reals

AucInterval: TypeAlias = Literal["logit-delong", "delong", "mc_binomial"]

NEGATIVE, POSITIVE = 0, 1
"""Rows of a histogram by class."""

_ABOVE_EVERY_SCORE = 1.001
"""Threshold of a curve's first point, at which nobody is called positive."""


@dataclass(frozen=True)
class RocCurve:
    """A ROC curve as it may be released, from (0, 0) to (1, 1).

    Attributes
    ----------
    threshold, false_positive_rate, true_positive_rate : tuples of the same length
        A patient is called positive if the score is at least the threshold. The first threshold is above 1.
    low, high : tuples of the same length
        Wilson's interval of the true positive rate at each threshold; pointwise, not a band of the curve.
    """

    threshold: tuple[float, ...]
    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class RocResult:
    """Discrimination of one model in one cohort.

    Attributes
    ----------
    auc : Estimate
        Area under the ROC curve, with the patients who have a score and those who have none.
    error_bound : float or None
        The AUC of the raw scores lies within `auc` plus or minus this. The difference comes from pairs of
        patients of different sites whose scores lie in the same bin; 0 where no bin has such a pair.
    interval_bound : float or None
        Each limit of the raw scores' interval lies within the printed one plus or minus this; None where
        there is no interval.
    variance : float or None
        DeLong's variance of the AUC; None with fewer than two patients in a class.
    curve : RocCurve or None
        Steps of at least the cell minimum; None where its steps would give hidden numbers away.
    n_positive, n_negative : int or None
        Patients with a score; None where the count may not be shown, or would give the number without a score
        away.
    """

    auc: Estimate
    error_bound: float | None
    interval_bound: float | None
    variance: float | None
    curve: RocCurve | None
    n_positive: int | None
    n_negative: int | None


def local_roc(scores: Reals, labels: Flags, grid: ScoreGrid) -> Summary:
    """One site's histograms of the scores by class, and its pairs of patients within a bin.

    Parameters
    ----------
    scores : float array, shape (n,) or (models, n)
        In [0, 1]; NaN for a patient without a score, who is left out and counted.
    labels : bool array, shape (n,)
        True for the positive class.
    grid : ScoreGrid
        Its K bins; the same at every site.

    Returns
    -------
    Summary
        Counts "histogram" (models, 2, K), negatives first; "same_bin" (models, 3): of pairs of one positive
        and one negative in the same bin, twice the number that the positive wins (a tie is half a win), the
        number of all, and the number of those whose bin may hold different scores; and "missing" (models,).

    Raises
    ------
    NonFiniteError
        If a score is infinite.
    ValueError
        If a score is outside [0, 1], or shapes differ.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    positive = np.asarray(labels, dtype=np.bool_)
    check_scores(rows, positive)
    histogram = np.empty((len(rows), 2, grid.bins), dtype=np.int64)
    same_bin = np.empty((len(rows), 3), dtype=np.int64)
    missing = np.count_nonzero(np.isnan(rows), axis=1)
    for model, row in enumerate(rows):
        known_scores, known_labels = (row, positive) if not missing[model] else select_scored(row, positive)
        histogram[model], doubled_wins = rank_scores(known_scores, known_labels, grid)
        negatives, positives = histogram[model]
        below = np.cumsum(negatives) - negatives
        across_bins = int(positives @ below)
        pairs = positives * negatives
        same_bin[model] = doubled_wins - 2 * across_bins, pairs.sum(), pairs[~grid.is_tie].sum()
    return Summary(counts={"histogram": histogram, "same_bin": same_bin, "missing": missing})


def finish_roc(
    summary: Summary,
    grid: ScoreGrid,
    interval: AucInterval = "logit-delong",
    minima: Minima = STANDARD,
    model: int = 0,
) -> RocResult:
    """The AUC, its interval and the curve of one model, from the summed histograms.

    Parameters
    ----------
    grid : ScoreGrid
        On which the sites counted.
    interval : {"logit-delong", "delong", "mc_binomial"}
        "mc_binomial" is MedCalc's exact binomial interval of AUC x n successes of n, which the paper prints
        but which is no valid interval of an AUC. It is also used if the AUC is 0 or 1, where DeLong's
        variance is 0.
    model : int
        Which row of the summary.

    References
    ----------
    DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 1988;44:837-845.
    Sun X, Xu W. IEEE Signal Process Lett 2014;21:1389-1393.
    """
    negatives, positives = summary.counts["histogram"][model]
    n0, n1 = int(negatives.sum()), int(positives.sum())
    missing = minima.show(int(summary.counts["missing"][model]))
    # The sizes of the classes are known, so the numbers used would give the number missing away.
    classes = (None, None) if missing is None else (minima.show(n1), minima.show(n0))
    numbers = (None if None in classes else n0 + n1, missing)
    status = class_status(n0, n1, minima)
    if not status.ok:
        return RocResult(absent(status, interval, *numbers), None, None, None, None, *classes)
    auc, bound = auc_of(summary, grid, model)
    variance = delong_variance(negatives, positives)
    error = measure_error_bound(negatives, positives, grid)
    chosen = auc_interval(auc, variance, n0 + n1, interval)
    limits = None
    if chosen is not None:
        kind: AucInterval = "mc_binomial" if chosen.method == "mc_binomial" else interval
        limits = _measure_limits_bound((auc, bound), (variance, error), n0 + n1, (kind, chosen))
    if missing is None:
        # The denominator of an AUC is the number of pairs of patients, which the AUC in full would tell.
        (auc, chosen), bound = coarse(auc, chosen), _coarsen(bound)
        limits = None if limits is None else _coarsen(limits)
    curve = None if missing is None else _build_curve(negatives, positives, minima.cell, grid)
    lack = "one patient of an outcome has no variance" if variance is None else "all scores are equal"
    estimate = explain_no_interval(Estimate.of(auc, chosen, interval, *numbers), lack)
    return RocResult(estimate, bound, limits, variance, curve, *classes)


def withhold_roc(interval: AucInterval, status: Status) -> RocResult:
    """The result of a discrimination whose sums were not asked for: no number, and why."""
    return RocResult(absent(status, interval), None, None, None, None, None, None)


def class_status(n0: int, n1: int, minima: Minima) -> Status:
    """OK if n0 negatives and n1 positives are enough for a discrimination, else why they are not."""
    if n0 + n1 == 0:
        return undefined("no patients")
    if min(n0, n1) == 0:
        return suppressed("patients of one class only")
    if min(n0, n1) < minima.per_class:
        return suppressed(f"fewer than {minima.per_class} patients in a class")
    return OK


def placement_values(negatives: Counts, positives: Counts) -> tuple[Reals, Reals]:
    """DeLong's placement values V10 and V01 of a patient whose score lies in each bin.

    Parameters
    ----------
    negatives, positives : int arrays, shape (..., K)

    Returns
    -------
    tuple of float arrays, shape (..., K)
        V10: share of negatives below a positive; V01: share of positives above a negative; ties count half.
    """
    n0 = negatives.sum(axis=-1, keepdims=True)
    n1 = positives.sum(axis=-1, keepdims=True)
    v10 = (np.cumsum(negatives, axis=-1) - negatives / 2) / n0
    v01 = 1 - (np.cumsum(positives, axis=-1) - positives / 2) / n1
    return v10, v01


def delong_variance(negatives: Counts, positives: Counts) -> float | None:
    """DeLong's variance of one AUC; None with fewer than two patients in a class.

    Parameters
    ----------
    negatives, positives : int arrays, shape (K,)
    """
    n0, n1 = int(negatives.sum()), int(positives.sum())
    if min(n0, n1) < 2:
        return None
    v10, v01 = placement_values(negatives, positives)
    return _sample_variance(v10, positives) / n1 + _sample_variance(v01, negatives) / n0


def auc_of(summary: Summary, grid: ScoreGrid, model: int) -> tuple[float, float]:
    """The AUC of one model and its error bound; both classes must have patients."""
    negatives, positives = summary.counts["histogram"][model]
    doubled_wins, resolved, resolved_unequal = (int(count) for count in summary.counts["same_bin"][model])
    pairs = int(negatives.sum()) * int(positives.sum())
    across_bins = int(positives @ (np.cumsum(negatives) - negatives))
    same_bin = positives * negatives
    halved = int(same_bin.sum()) - resolved
    unknown = int(same_bin[~grid.is_tie].sum()) - resolved_unequal
    return (2 * across_bins + doubled_wins + halved) / (2 * pairs), unknown / (2 * pairs)


def measure_error_bound(negatives: Counts, positives: Counts, grid: ScoreGrid) -> float:
    """How far the standard error of the raw scores' AUC can be from that of the bins; 0 with one of a class.

    In a bin of both outcomes, a placement value is off by at most half of the other class' share there. The
    standard error is a norm of the centred placement values, so it is off by at most the norm of these.

    Parameters
    ----------
    negatives, positives : int arrays, shape (K,)
    """
    n0, n1 = int(negatives.sum()), int(positives.sum())
    if min(n0, n1) < 2:
        return 0.0
    mixed = find_mixed(grid, np.stack([negatives, positives]))
    h0, h1 = negatives[mixed], positives[mixed]
    return sqrt(
        float(h1 @ (h0 / (2 * n0)) ** 2) / (n1 - 1) / n1 + float(h0 @ (h1 / (2 * n1)) ** 2) / (n0 - 1) / n0
    )


def _measure_limits_bound(
    auc: tuple[float, float],
    spread: tuple[float | None, float],
    n: int,
    printed: tuple[AucInterval, Interval],
) -> float:
    """How far a limit of the raw scores' interval can be from the printed one.

    Parameters
    ----------
    auc : (float, float)
        AUC and its error bound.
    spread : (float or None, float)
        Its variance, and the error bound of the standard error.
    printed : (str, Interval)
        The kind of interval, and the interval of the bins.
    """
    (value, bound), (variance, error), (kind, interval) = auc, spread, printed
    if bound == error == 0:
        return 0.0
    deviation = sqrt(variance or 0.0)
    farthest = 0.0
    for centre in (max(0.0, value - bound), min(1.0, value + bound)):
        for width in (max(0.0, deviation - error), deviation + error):
            corner = auc_interval(centre, width**2, n, kind)
            low, high = (centre, centre) if corner is None else (corner.low, corner.high)
            farthest = max(farthest, abs(low - interval.low), abs(high - interval.high))
    return farthest


def _coarsen(bound: float) -> float:
    """The bound rounded up to the decimals of a coarse number."""
    return ceil(1000 * bound) / 1000


def auc_interval(auc: float, variance: float | None, n: int, kind: AucInterval) -> Interval | None:
    """The confidence interval of the AUC; None if it needs a variance and there is none."""
    if kind == "mc_binomial" or auc in {0.0, 1.0}:
        exact = clopper_pearson(auc * n, n)
        return Interval(exact.low, exact.high, "mc_binomial")
    if not variance:
        return None
    z = Z
    if kind == "delong":
        half = z * sqrt(variance)
        return Interval(max(0.0, auc - half), min(1.0, auc + half), "delong")
    centre, half = log(auc / (1 - auc)), z * sqrt(variance) / (auc * (1 - auc))
    return Interval(float(expit(centre - half)), float(expit(centre + half)), "logit-delong")


def _sample_variance(values: Reals, weights: Counts) -> float:
    """The sample variance (ddof 1) of values that occur `weights` times."""
    n = weights.sum()
    mean = (weights @ values) / n
    return float(weights @ (values - mean) ** 2 / (n - 1))


def _build_curve(negatives: Counts, positives: Counts, cell: int, grid: ScoreGrid) -> RocCurve:
    """The curve from the highest score down: a step ends once it has `cell` patients, the last has more."""
    patients = negatives + positives
    edges: list[int] = []
    pending, remaining = 0, int(patients.sum())
    for bin_of in np.flatnonzero(patients)[::-1]:
        pending += int(patients[bin_of])
        if remaining == pending or (pending >= cell and remaining - pending >= cell):
            edges.append(int(bin_of))
            remaining -= pending
            pending = 0
    above = np.array(edges, dtype=np.int64)
    called = [
        np.append(0, counts.sum() - (np.cumsum(counts) - counts)[above]) for counts in (negatives, positives)
    ]
    low, high = wilson_limits(called[POSITIVE], int(positives.sum()))
    return RocCurve(
        threshold=(_ABOVE_EVERY_SCORE, *grid.starts[above].tolist()),
        false_positive_rate=tuple((called[NEGATIVE] / negatives.sum()).tolist()),
        true_positive_rate=tuple((called[POSITIVE] / positives.sum()).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )
