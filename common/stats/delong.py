"""DeLong's test in two rounds: comparing the AUCs of models on the same patients.

Round 1 is `common.stats.roc.local_roc`. The coordinator broadcasts `Placements`; round 2 sums products of the
patients' placement values, for all models at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from scipy import stats

from common.stats.contract import Summary
from common.stats.estimate import OK, Estimate, Interval, Status, Z, absent, coarse, suppressed, undefined
from common.stats.minima import STANDARD, Minima
from common.stats.roc import NEGATIVE, POSITIVE, auc_of, placement_values
from common.types import Flags, Reals

_NO_VARIANCE = 1e-14
"""A variance of AUCs below this is rounding alone."""


@dataclass(frozen=True)
class Placements:
    """What the coordinator broadcasts after round 1; it tells the sites the pooled class histograms.

    Attributes
    ----------
    v10, v01 : float arrays, shape (models, K)
        Placement values of a positive, and of a negative patient, by bin; K bins.
    auc : float array, shape (models,)
        AUC of the binned scores, by which the placement values are centred.
    """

    v10: Reals
    v01: Reals
    auc: Reals


@dataclass(frozen=True)
class AucCovariance:
    """All models' AUCs with their covariance; not released as it is.

    Attributes
    ----------
    auc : float array, shape (models,)
        AUC of each model.
    covariance : float array, shape (models, models)
        DeLong's covariance of the AUCs.
    n_positive, n_negative : int
        Patients of each class with a score of every model.
    n_missing : int
        Patients without a score of every model.
    same_curve : bool array, shape (models, models)
        Whether two models' histograms are equal.
    """

    auc: Reals
    covariance: Reals
    n_positive: int
    n_negative: int
    n_missing: int
    same_curve: Flags


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
    """

    difference: Estimate
    z: float | None = None
    p: float | None = None
    p_adjusted: float | None = None


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
    """The broadcast of round 2 from the pooled histograms of round 1.

    Raises
    ------
    ValueError
        If one class has no patients.
    """
    histogram = first_round.counts["histogram"]
    negatives, positives = histogram[:, NEGATIVE], histogram[:, POSITIVE]
    if not (negatives.sum() and positives.sum()):
        raise ValueError("AUCs of one class cannot be compared; check the classes before round 2")
    v10, v01 = placement_values(negatives, positives)
    auc = np.sum(positives * v10, axis=1) / positives.sum(axis=1)
    return Placements(v10, v01, auc)


def local_delong(scores: Reals, labels: Flags, broadcast: Placements) -> Summary:
    """One site's sums and products of the patients' centred placement values.

    Parameters
    ----------
    scores : float array, shape (models, n)
        In [0, 1] or NaN; patients without all scores are left out, as they were in round 1.
    labels : bool array, shape (n,)

    Returns
    -------
    Summary
        Counts "n" (2,) and "missing" (1,); reals "sums" (2, models) and "products" (2, models, models),
        negatives first.
    """
    complete = complete_cases(scores)
    bins = broadcast.v10.shape[1]
    bin_of = np.minimum((scores[:, complete] * bins).astype(np.int64), bins - 1)
    models = np.arange(len(scores))[:, np.newaxis]
    positive = labels[complete]
    centred = [
        values[models, bin_of[:, positive == label]] - broadcast.auc[:, np.newaxis]
        for label, values in ((False, broadcast.v01), (True, broadcast.v10))
    ]
    return Summary(
        counts={
            "n": np.array([part.shape[1] for part in centred]),
            "missing": np.array([np.count_nonzero(~complete)]),
        },
        reals={
            "sums": np.stack([part.sum(axis=1) for part in centred]),
            "products": np.stack([part @ part.T for part in centred]),
        },
    )


def finish_delong(first_round: Summary, second_round: Summary) -> AucCovariance:
    """The models' AUCs and their covariance.

    Raises
    ------
    ValueError
        If the two rounds do not have the same numbers of patients.

    References
    ----------
    DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 1988;44:837-845.
    """
    histogram = first_round.counts["histogram"]
    n0, n1 = (int(n) for n in second_round.counts["n"])
    if not (histogram.sum(axis=2) == [n0, n1]).all():
        raise ValueError(
            f"round 1 had classes of {histogram.sum(axis=2).tolist()}, round 2 of {[n0, n1]} patients -> "
            "use the same complete cases in both"
        )
    covariance = np.zeros((len(histogram), len(histogram)))
    for n, sums, products in zip(
        (n0, n1), second_round.reals["sums"], second_round.reals["products"], strict=True
    ):
        covariance += (products - np.outer(sums, sums) / n) / max(n - 1, 1) / n
    same = (histogram[:, np.newaxis] == histogram[np.newaxis]).all(axis=(2, 3))
    auc = np.array([auc_of(first_round, model)[0] for model in range(len(histogram))])
    return AucCovariance(auc, covariance, n1, n0, int(second_round.counts["missing"][0]), same)


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
    raw = [_compare_pair(aucs, pair, numbers, status) for pair in pairs]
    adjusted = iter(holm([result.p for result in raw if result.p is not None]))
    return tuple(result if result.p is None else replace(result, p_adjusted=next(adjusted)) for result in raw)


def omnibus(aucs: AucCovariance, minima: Minima = STANDARD) -> OmnibusResult:
    """The Wald test that all models have the same AUC, by a generalised inverse of the covariance."""
    method = "Wald chi-squared on DeLong's covariance"
    n_used, n_missing = _show_numbers(aucs, minima)
    status = _class_status(aucs, minima)
    contrasts = np.eye(len(aucs.auc))[1:] - np.eye(len(aucs.auc))[0]
    spread = contrasts @ aucs.covariance @ contrasts.T
    rank = int(np.linalg.matrix_rank(spread, tol=_NO_VARIANCE, hermitian=True)) if len(spread) else 0
    difference = contrasts @ aucs.auc
    if status.ok and rank == 0:
        status = undefined("the AUCs' differences have no variance")
    if not status.ok:
        return OmnibusResult(None, None, None, n_used, n_missing, method, status)
    values, vectors = np.linalg.eigh(spread)
    kept = values > _NO_VARIANCE
    chi_squared = float(np.sum((vectors[:, kept].T @ difference) ** 2 / values[kept]))
    p = float(stats.chi2.sf(chi_squared, rank))
    return OmnibusResult(chi_squared, p, rank, n_used, n_missing, method, status)


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


def _show_numbers(aucs: AucCovariance, minima: Minima) -> tuple[int | None, int | None]:
    missing = minima.show(aucs.n_missing)
    return (None if missing is None else minima.show(aucs.n_positive + aucs.n_negative)), missing


def _compare_pair(
    aucs: AucCovariance, pair: tuple[int, int], numbers: tuple[int | None, int | None], status: Status
) -> AucDifference:
    method = "DeLong, paired"
    if not status.ok:
        return AucDifference(absent(status, method, *numbers))
    first, second = pair
    difference = float(aucs.auc[first] - aucs.auc[second])
    c = aucs.covariance
    variance = float(c[first, first] + c[second, second] - 2 * c[first, second])
    if variance < _NO_VARIANCE:
        if aucs.same_curve[first, second]:
            return AucDifference(Estimate.of(0.0, None, method, *numbers), 0.0, 1.0)
        return AucDifference(absent(undefined("the difference has no variance"), method, *numbers))
    z = difference / sqrt(variance)
    half = Z * sqrt(variance)
    interval = Interval(max(-1.0, difference - half), min(1.0, difference + half), method)
    p = float(2 * stats.norm.sf(abs(z)))
    if numbers[1] is None:
        return AucDifference(Estimate.of(*coarse(difference, interval), method, *numbers), z, p)
    return AucDifference(Estimate.of(difference, interval, method, *numbers), z, p)
