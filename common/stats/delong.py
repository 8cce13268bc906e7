"""DeLong's test in two rounds: comparing the AUCs of models on the same patients.

Round 1 is `common.stats.roc.local_roc` of each model's scores. The coordinator broadcasts `Placements`;
round 2 sums products of the patients' placement values, for all models at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import OK, Estimate, Interval, Status, Z, absent, coarse, suppressed, undefined
from common.stats.minima import STANDARD, Minima
from common.stats.roc import NEGATIVE, POSITIVE, auc_of, measure_error_bound, placement_values
from common.stats.score_grid import ScoreGrid
from common.types import Counts, Flags, Reals

_NO_VARIANCE = 1e-14
"""A variance of AUCs below this is rounding alone."""
_ROUNDING = 1e-9
"""Share of a sum of squares that rounding may add."""
_METHOD = "DeLong, paired"
_OMNIBUS = "Wald chi-squared on DeLong's covariance"
_PATIENTS_PER_CONTRAST = 5
"""Patients of the smaller class that each contrast of an omnibus test needs."""


@dataclass(frozen=True)
class Placements:
    """What the coordinator broadcasts of one model after round 1; it tells the pooled class histograms.

    Attributes
    ----------
    v10, v01 : float arrays, shape (K,)
        Placement values of a positive, and of a negative patient, by bin; K bins.
    auc : float
        AUC of the binned scores, by which the placement values are centred.
    """

    v10: Reals
    v01: Reals
    auc: float


@dataclass(frozen=True)
class AucCovariance:
    """All models' AUCs with their covariance; not released as it is.

    Attributes
    ----------
    auc : float array, shape (models,)
        AUC of each model.
    auc_bound : float array, shape (models,)
        The AUC of the raw scores lies within this of `auc`.
    covariance : float array, shape (models, models)
        DeLong's covariance of the AUCs.
    error_bound : float array, shape (models,)
        The standard error of the raw scores' AUC lies within this of that of `covariance`; that of a
        difference within the sum of two.
    n_positive, n_negative : int
        Patients of each class with a score of every model.
    n_missing : int
        Patients without a score of every model.
    same_order : bool array, shape (models, models)
        Whether two models' raw scores order the patients of each site alike.
    """

    auc: Reals
    auc_bound: Reals
    covariance: Reals
    error_bound: Reals
    n_positive: int
    n_negative: int
    n_missing: int
    same_order: Flags


@dataclass(frozen=True)
class AucDifference:
    """The AUCs of two models compared: on the same patients, or on two cohorts.

    Attributes
    ----------
    difference : Estimate
        AUC of the first minus that of the second, with the patients compared and those left out for want of a
        score.
    z, p : float or None
        Test statistic, and its two-sided p, unadjusted; None where there is no difference.
    p_adjusted : float or None
        P adjusted by Holm over the comparisons asked for together.
    error_bound : float or None
        The difference of the raw scores' AUCs lies within this of the value.
    p_range : (float, float) or None
        The p of the raw scores lies between these; both are p where no scores share a bin that matters.
    """

    difference: Estimate
    z: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    error_bound: float | None = None
    p_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class OmnibusResult:
    """The test that all models have the same AUC.

    Attributes
    ----------
    chi_squared, p : float or None
        Wald statistic and its p.
    degrees_of_freedom : int or None
        Rank of the covariance of the contrasts.
    n_used, n_missing : int or None
        Patients with a score of every model, and those without; None where hidden.
    method : str
        Name of the test.
    status : Status
        Whether the test may be shown and exists.
    """

    chi_squared: float | None
    p: float | None
    degrees_of_freedom: int | None
    n_used: int | None
    n_missing: int | None
    method: str
    status: Status


def complete_cases(scores: Reals) -> Flags:
    """Which patients have a score of every model, shape (n,); only they are compared.

    Parameters
    ----------
    scores : float array, shape (models, n)
    """
    return np.asarray(~np.isnan(scores).any(axis=0))


def placements_of(first_round: Summary) -> Placements:
    """The broadcast of round 2 for one model, from its pooled histogram of round 1.

    Raises
    ------
    ValueError
        If one class has no patients.
    """
    (histogram,) = first_round.counts["histogram"]
    negatives, positives = histogram[NEGATIVE], histogram[POSITIVE]
    if not (negatives.sum() and positives.sum()):
        raise ValueError("AUCs of one class cannot be compared; check the classes before round 2")
    v10, v01 = placement_values(negatives, positives)
    return Placements(v10, v01, float(positives @ v10 / positives.sum()))


def local_delong(
    scores: Reals, labels: Flags, grids: Sequence[ScoreGrid], broadcast: Sequence[Placements]
) -> Summary:
    """One site's sums and products of the patients' centred placement values.

    Parameters
    ----------
    scores : float array, shape (models, n)
        In [0, 1] or NaN; patients without all scores are left out, as they were in round 1.
    labels : bool array, shape (n,)
    grids : sequence of ScoreGrid
        On which each model's scores were counted in round 1.
    broadcast : sequence of Placements
        Of each model.

    Returns
    -------
    Summary
        Counts "n" (2,), "missing" (1,), and "reordered" (models, models): 1 where two models' placements
        differ, or their scores order this site's patients differently; reals "sums" (2, models) and
        "products" (2, models, models), negatives first.
    """
    complete = complete_cases(scores)
    known, positive = scores[:, complete], labels[complete]
    centred = [
        np.stack(
            [
                (placements.v10 if label else placements.v01)[grid.find_bins(row[positive == label])]
                - placements.auc
                for row, grid, placements in zip(known, grids, broadcast, strict=True)
            ]
        )
        for label in (False, True)
    ]
    products = np.stack([part @ part.T for part in centred])
    return Summary(
        counts={
            "n": np.array([part.shape[1] for part in centred]),
            "missing": np.array([np.count_nonzero(~complete)]),
            "reordered": _find_reordered(known, products.sum(axis=0)),
        },
        reals={
            "sums": np.stack([part.sum(axis=1) for part in centred]),
            "products": products,
        },
    )


def _find_reordered(scores: Reals, products: Reals) -> Counts:
    """1 for each two models that do not order the patients alike, shape (models, models).

    Ranks are compared only where the placement values agree: elsewhere the order, here or at another site, is
    another.

    Parameters
    ----------
    scores : float array, shape (models, n)
        Of patients with all scores.
    products : float array, shape (models, models)
        Of the models' centred placement values.
    """
    from scipy import stats

    lengths = np.diag(products)
    distances = lengths[:, np.newaxis] + lengths - 2 * products
    reordered = np.asarray(distances > _ROUNDING * (1 + lengths), dtype=np.int64)
    reordered = np.maximum(reordered, reordered.T)
    for first, second in zip(*np.nonzero(np.triu(1 - reordered, k=1)), strict=True):
        ranks = stats.rankdata(scores[[first, second]], method="dense", axis=1) if scores.size else scores[:2]
        reordered[first, second] = reordered[second, first] = int((ranks[0] != ranks[1]).any())
    return reordered


def finish_delong(
    first_rounds: Sequence[Summary], grids: Sequence[ScoreGrid], second_round: Summary
) -> AucCovariance:
    """The models' AUCs and their covariance.

    Parameters
    ----------
    first_rounds : sequence of Summary
        The sum of `roc.local_roc` of each model, over the patients who have all scores.
    grids : sequence of ScoreGrid
        Of each model.
    second_round : Summary
        The sum of `local_delong`.

    Raises
    ------
    ValueError
        If the two rounds do not have the same numbers of patients.

    References
    ----------
    DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 1988;44:837-845.
    """
    histograms = [first.counts["histogram"][0] for first in first_rounds]
    n0, n1 = (int(n) for n in second_round.counts["n"])
    classes = [histogram.sum(axis=1).tolist() for histogram in histograms]
    if any(counted != [n0, n1] for counted in classes):
        raise ValueError(
            f"round 1 had classes of {classes}, round 2 of {[n0, n1]} patients -> "
            "use the same complete cases in both"
        )
    covariance = np.zeros((len(histograms), len(histograms)))
    for n, sums, products in zip(
        (n0, n1), second_round.reals["sums"], second_round.reals["products"], strict=True
    ):
        covariance += (products - np.outer(sums, sums) / n) / max(n - 1, 1) / n
    aucs = [auc_of(first, grid, 0) for first, grid in zip(first_rounds, grids, strict=True)]
    errors = [
        measure_error_bound(histogram[NEGATIVE], histogram[POSITIVE], grid)
        for histogram, grid in zip(histograms, grids, strict=True)
    ]
    return AucCovariance(
        auc=np.array([auc for auc, _ in aucs]),
        auc_bound=np.array([bound for _, bound in aucs]),
        covariance=covariance,
        error_bound=np.array(errors),
        n_positive=n1,
        n_negative=n0,
        n_missing=int(second_round.counts["missing"][0]),
        same_order=second_round.counts["reordered"] == 0,
    )


def compare_aucs(
    aucs: AucCovariance, pairs: tuple[tuple[int, int], ...], minima: Minima = STANDARD
) -> tuple[AucDifference, ...]:
    """The comparison of each pair of models, p adjusted by Holm over all pairs.

    Parameters
    ----------
    pairs : tuple of (first, second)
        Row numbers of the models.
    """
    status = _class_status(aucs, minima)
    numbers = _show_numbers(aucs, minima)
    return adjust_differences([_compare_pair(aucs, pair, numbers, status) for pair in pairs])


def adjust_differences(differences: Sequence[AucDifference]) -> tuple[AucDifference, ...]:
    """The differences with p adjusted by Holm for their number; those without p are not counted."""
    adjusted = iter(holm([result.p for result in differences if result.p is not None]))
    return tuple(
        result if result.p is None else replace(result, p_adjusted=next(adjusted)) for result in differences
    )


def omnibus(aucs: AucCovariance, minima: Minima = STANDARD) -> OmnibusResult:
    """The Wald test that all models have the same AUC, by a generalised inverse of the covariance.

    It needs five patients of the smaller class for each contrast: with fewer, the estimated covariance is so
    nearly singular that the statistic is arbitrarily large.
    """
    from scipy import stats

    n_used, n_missing = _show_numbers(aucs, minima)
    status = _omnibus_status(aucs, minima)
    contrasts = np.eye(len(aucs.auc))[1:] - np.eye(len(aucs.auc))[0]
    spread = contrasts @ aucs.covariance @ contrasts.T
    rank = int(np.linalg.matrix_rank(spread, tol=_NO_VARIANCE, hermitian=True)) if len(spread) else 0
    difference = contrasts @ aucs.auc
    if status.ok and rank == 0:
        status = undefined("the AUCs' differences have no variance")
    if not status.ok:
        return OmnibusResult(None, None, None, n_used, n_missing, _OMNIBUS, status)
    values, vectors = np.linalg.eigh(spread)
    kept = values > _NO_VARIANCE
    chi_squared = float(np.sum((vectors[:, kept].T @ difference) ** 2 / values[kept]))
    p = float(stats.chi2.sf(chi_squared, rank))
    return OmnibusResult(chi_squared, p, rank, n_used, n_missing, _OMNIBUS, status)


def withhold_difference(status: Status) -> AucDifference:
    """The comparison of a pair whose sums were not asked for: no number, and why."""
    return AucDifference(absent(status, _METHOD))


def withhold_omnibus(status: Status) -> OmnibusResult:
    """The test of models whose sums were not asked for: no number, and why."""
    return OmnibusResult(None, None, None, None, None, _OMNIBUS, status)


def holm(p_values: list[float]) -> tuple[float, ...]:
    """The p-values adjusted for their number by Holm's step-down method, in the given order.

    References
    ----------
    Holm S. Scand J Stat 1979;6:65-70.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(adjusted.tolist())


def _class_status(aucs: AucCovariance, minima: Minima) -> Status:
    smaller = min(aucs.n_positive, aucs.n_negative)
    if smaller < minima.per_class:
        return suppressed(f"fewer than {minima.per_class} patients in a class")
    return OK if smaller > 1 else undefined("one patient of a class has no variance")


def _omnibus_status(aucs: AucCovariance, minima: Minima) -> Status:
    status = _class_status(aucs, minima)
    needed = _PATIENTS_PER_CONTRAST * (len(aucs.auc) - 1)
    if status.ok and min(aucs.n_positive, aucs.n_negative) < needed:
        return undefined(
            f"{len(aucs.auc)} models need {needed} patients of each outcome with all of their scores"
        )
    return status


def _show_numbers(aucs: AucCovariance, minima: Minima) -> tuple[int | None, int | None]:
    missing = minima.show(aucs.n_missing)
    return (None if missing is None else minima.show(aucs.n_positive + aucs.n_negative)), missing


def _compare_pair(
    aucs: AucCovariance, pair: tuple[int, int], numbers: tuple[int | None, int | None], status: Status
) -> AucDifference:
    method = _METHOD
    if not status.ok:
        return AucDifference(absent(status, method, *numbers))
    first, second = pair
    difference = float(aucs.auc[first] - aucs.auc[second])
    c = aucs.covariance
    variance = float(c[first, first] + c[second, second] - 2 * c[first, second])
    bound = float(aucs.auc_bound[first] + aucs.auc_bound[second])
    error = float(aucs.error_bound[first] + aucs.error_bound[second])
    deviation = sqrt(max(0.0, variance))
    if error and deviation <= 2 * error:
        return AucDifference(absent(undefined(_SHARED_BINS), method, *numbers))
    if variance < _NO_VARIANCE:
        if aucs.same_order[first, second] and not bound:
            equal = Estimate.of(0.0, None, method, *numbers)
            return AucDifference(equal, 0.0, 1.0, error_bound=0.0, p_range=(1.0, 1.0))
        return AucDifference(absent(undefined("the difference has no variance"), method, *numbers))
    z = difference / deviation
    half = Z * deviation
    interval = Interval(max(-1.0, difference - half), min(1.0, difference + half), method)
    p_range = (
        _two_sided((abs(difference) + bound) / (deviation - error)),
        _two_sided(max(0.0, abs(difference) - bound) / (deviation + error)),
    )
    shown = (difference, interval) if numbers[1] is not None else coarse(difference, interval)
    return AucDifference(
        Estimate.of(*shown, method, *numbers), z, _two_sided(abs(z)), error_bound=bound, p_range=p_range
    )


_SHARED_BINS = "too many patients of different outcomes and sites share bins to tell the two models apart"


def _two_sided(z: float) -> float:
    from scipy import stats

    return float(2 * stats.norm.sf(z))
