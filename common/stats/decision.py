"""Decision curve analysis: whether acting on a model does more good than harm, by net benefit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import OK, Status, Z, suppressed
from common.stats.minima import STANDARD, Minima
from common.stats.scores import check_scores, select_scored
from common.types import Flags, Reals

MAXIMUM_THRESHOLDS = 50
"""Thresholds that a plan may have."""
SPACING = 0.01
"""Least distance of neighbouring thresholds."""


@dataclass(frozen=True)
class NetBenefit:
    """Net benefit of one model at one threshold.

    Attributes
    ----------
    threshold : float
        Probability from which a patient is treated.
    model : float
        Net true positives a patient; treating nobody is 0.
    low, high : float
        95 % confidence bounds of the model's net benefit.
    treat_all : float
        Net benefit of treating everybody.
    """

    threshold: float
    model: float
    low: float
    high: float
    treat_all: float


@dataclass(frozen=True)
class DecisionCurve:
    """The decision curve of one model in one cohort.

    Attributes
    ----------
    points : tuple of NetBenefit
        By rising threshold. A threshold is left out if too few patients lie between it and the last one
        shown, or if its table of class by call has a small count.
    n_used, n_missing : int or None
        Patients with a score, and those without; None where hidden.
    method : str
        What the points are.
    status : Status
        Suppressed where a class has too few patients, or the number without a score is hidden.
    """

    points: tuple[NetBenefit, ...]
    n_used: int | None
    n_missing: int | None
    method: str
    status: Status


def check_thresholds(thresholds: Sequence[float]) -> None:
    """Refuse a plan's thresholds if they are too many or too close.

    Raises
    ------
    ValueError
        If they are more than 50, not ascending by at least 0.01, or not between 0 and 1.
    """
    steps = np.diff(thresholds)
    if len(thresholds) > MAXIMUM_THRESHOLDS or (steps < SPACING - 1e-12).any():
        raise ValueError(f"at most {MAXIMUM_THRESHOLDS} thresholds, ascending by at least {SPACING} each")
    if not all(0 < threshold < 1 for threshold in thresholds):
        raise ValueError(f"thresholds {list(thresholds)} are not all between 0 and 1")


def local_decision(scores: Reals, labels: Flags, thresholds: Sequence[float]) -> Summary:
    """One site's patients called positive at each threshold, by class.

    Parameters
    ----------
    scores : float array, shape (n,)
        In [0, 1]; NaN for a patient without a score, who is left out and counted.
    labels : bool array, shape (n,)
        True for the outcome.

    Returns
    -------
    Summary
        Counts "called" (2, thresholds), negatives first, "classes" (2,) and "missing" (1,).

    Raises
    ------
    NonFiniteError
        If a score is infinite.
    ValueError
        If a score is outside [0, 1], shapes differ, or the thresholds are not as `check_thresholds` says.
    """
    check_scores(scores[np.newaxis], labels)
    check_thresholds(thresholds)
    known_scores, known_labels = select_scored(scores, labels)
    called = [
        [np.count_nonzero(known_scores[known_labels == label] >= threshold) for threshold in thresholds]
        for label in (False, True)
    ]
    return Summary(
        counts={
            "called": np.array(called, dtype=np.int64),
            "classes": np.array([np.count_nonzero(~known_labels), np.count_nonzero(known_labels)]),
            "missing": np.array([scores.size - known_scores.size]),
        }
    )


def finish_decision(
    summary: Summary, thresholds: Sequence[float], minima: Minima = STANDARD
) -> DecisionCurve:
    """The net benefit at each threshold that may be shown, with normal intervals.

    References
    ----------
    Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574.
    """
    negatives, positives = (int(n) for n in summary.counts["classes"])
    missing = minima.show(int(summary.counts["missing"][0]))
    used = None if missing is None else minima.show(negatives + positives)
    status = _curve_status(negatives, positives, missing, minima)
    method = "net benefit"
    if not status.ok:
        return DecisionCurve((), used, missing, method, status)
    shown_indices = _choose_shown(summary, minima)
    points = tuple(
        compute_net_benefit(
            float(thresholds[index]), summary.counts["called"][:, index].tolist(), (negatives, positives)
        )
        for index in shown_indices
    )
    return DecisionCurve(points, used, missing, method, OK)


def _curve_status(negatives: int, positives: int, missing: int | None, minima: Minima) -> Status:
    if min(negatives, positives) < minima.per_class:
        return suppressed(f"fewer than {minima.per_class} patients in a class")
    # "Treat all" tells the prevalence among patients with a score, and the intervals tell their number.
    return OK if missing is not None else suppressed("few patients without a score could be counted")


def compute_net_benefit(threshold: float, called: Sequence[int], classes: tuple[int, int]) -> NetBenefit:
    """Net benefit at one threshold, with its normal interval.

    Parameters
    ----------
    threshold : float
        Probability from which a patient is treated, in (0, 1).
    called, classes : sequence of int
        Patients called positive, and all patients; each without the outcome, then with it.
    """
    (false_positive, true_positive), (negatives, positives) = called, classes
    n = negatives + positives
    weight = threshold / (1 - threshold)
    benefit = (true_positive - weight * false_positive) / n
    variance = ((true_positive + weight**2 * false_positive) / n - benefit**2) / n
    half = Z * sqrt(max(0.0, variance))
    treat_all = (positives - weight * negatives) / n
    return NetBenefit(threshold, benefit, benefit - half, benefit + half, treat_all)


def _choose_shown(summary: Summary, minima: Minima) -> list[int]:
    """Indices of the thresholds between which, and beyond which, nobody or at least the cell minimum lies.

    Net benefit and its interval are two equations from which true and false positives can be solved, so a
    shown point discloses both counts.
    """
    called, classes = summary.counts["called"], summary.counts["classes"]
    cells = np.stack([called, classes[:, np.newaxis] - called])
    releasable: Flags = np.all(minima.may_release(cells), axis=(0, 1), keepdims=True)[0, 0]
    called_before = int(classes.sum())
    shown = []
    for index, count in enumerate(called.sum(axis=0).tolist()):
        if releasable[index] and minima.show(called_before - count) is not None:
            shown.append(index)
            called_before = count
    return shown
