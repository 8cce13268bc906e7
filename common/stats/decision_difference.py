"""Whether acting on one model does more good than acting on another, on the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from common.stats.contract import Summary
from common.stats.decision import check_thresholds, finish_decision
from common.stats.delong import complete_cases
from common.stats.estimate import OK, Status, Z
from common.stats.minima import STANDARD, Minima
from common.stats.scores import check_scores
from common.types import Counts, Flags, Reals


@dataclass(frozen=True)
class BenefitDifference:
    """Difference of two models' net benefit at one threshold.

    Attributes
    ----------
    threshold : float
        Probability from which a patient is treated.
    difference : float
        Net benefit of the first model minus that of the second, in net true positives a patient.
    low, high : float
        95 % confidence bounds of the difference.
    """

    threshold: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class DecisionDifference:
    """Two models compared by net benefit in one cohort.

    Attributes
    ----------
    points : tuple of BenefitDifference
        By rising threshold. A threshold is left out if either model's decision curve leaves it out, or if
        the models disagree on few patients.
    n_used, n_missing : int or None
        Patients with both scores, and the others; None where hidden.
    method : str
        What the points are.
    status : Status
        Suppressed where a class has too few patients, or the number without both scores is hidden.
    """

    points: tuple[BenefitDifference, ...]
    n_used: int | None
    n_missing: int | None
    method: str
    status: Status


def local_decision_difference(scores: Reals, labels: Flags, thresholds: Sequence[float]) -> Summary:
    """One site's patients called positive by each of two models, and by both, at each threshold.

    Parameters
    ----------
    scores : float array, shape (2, n)
        In [0, 1]; a patient with a score missing (NaN) is left out of both models and counted.
    labels : bool array, shape (n,)

    Returns
    -------
    Summary
        Counts "called" (3, 2, thresholds): by the first model, the second, both; negatives first; "classes"
        (2,) and "missing" (1,).

    Raises
    ------
    NonFiniteError
        If a score is infinite.
    ValueError
        If there are not two models; else as `decision.local_decision`.
    """
    check_scores(scores, labels)
    check_thresholds(thresholds)
    if len(scores) != 2:
        raise ValueError(f"{len(scores)} models are no pair")
    complete = complete_cases(scores)
    complete_scores, complete_labels = scores[:, complete], labels[complete]
    # Both models call a patient positive if the lower of the two scores reaches the threshold.
    rows = np.concatenate([complete_scores, complete_scores.min(axis=0, keepdims=True)])
    reached = rows[:, :, np.newaxis] >= np.asarray(thresholds)
    called = np.stack([reached[:, complete_labels == label].sum(axis=1) for label in (False, True)], axis=1)
    classes = np.array([np.count_nonzero(~complete_labels), np.count_nonzero(complete_labels)])
    missing = np.array([np.count_nonzero(~complete)])
    return Summary(counts={"called": called, "classes": classes, "missing": missing})


def finish_decision_difference(
    summary: Summary, thresholds: Sequence[float], minima: Minima = STANDARD
) -> DecisionDifference:
    """The differences, with normal intervals from the variance of the patients' differences.

    References
    ----------
    Vickers AJ, Cronin AM, Elkin EB, Gonen M. BMC Med Inform Decis Mak 2008;8:53.
    """
    called, classes = summary.counts["called"], summary.counts["classes"]
    curves = [
        finish_decision(Summary({**summary.counts, "called": rows}), thresholds, minima)
        for rows in called[:2]
    ]
    numbers = (curves[0].n_used, curves[0].n_missing)
    method = "difference of net benefit, paired"
    if not curves[0].status.ok:
        return DecisionDifference((), *numbers, method, curves[0].status)
    shown = [{point.threshold for point in curve.points} for curve in curves]
    points = tuple(
        _benefit_difference(float(threshold), called[:, :, index], int(classes.sum()))
        for index, threshold in enumerate(thresholds)
        if threshold in shown[0] & shown[1]
        and minima.may_release(called[:2, :, index] - called[2, :, index]).all()
    )
    return DecisionDifference(points, *numbers, method, OK)


def _benefit_difference(threshold: float, called: Counts, n: int) -> BenefitDifference:
    """The difference at one threshold, from the discordant patients: the others contribute 0.

    Parameters
    ----------
    called : int array, shape (3, 2)
    """
    weight = threshold / (1 - threshold)
    first, second = (called[model] - called[2] for model in (0, 1))
    worth = np.array([-weight, 1.0])
    difference = float((first - second) @ worth) / n
    variance = (float((first + second) @ worth**2) / n - difference**2) / n
    half = Z * sqrt(max(0.0, variance))
    return BenefitDifference(threshold, difference, difference - half, difference + half)
