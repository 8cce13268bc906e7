"""Whether acting on a model does more good than harm: net benefit by threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import OK, Interval, Status, Z, suppressed
from common.stats.minima import STANDARD, Minima
from common.stats.scores import check_scores, with_score
from common.types import Flags, Reals

MAXIMUM_THRESHOLDS = 50
SPACING = 0.01


@dataclass(frozen=True)
class NetBenefit:
    """At one threshold.

    Attributes
    ----------
    threshold : float
    model, treat_all : float
        Net true positives a patient; treating nobody is 0.
    interval : Interval
        Of the model's.
    """

    threshold: float
    model: float
    treat_all: float
    interval: Interval


@dataclass(frozen=True)
class DecisionCurve:
    """One model in one cohort.

    Attributes
    ----------
    points : tuple of NetBenefit
        Thresholds between which too few patients lie are left out.
    n_used, n_missing : int or None
        Patients with a score, and those without.
    method : str
    status : Status
    """

    points: tuple[NetBenefit, ...]
    n_used: int | None
    n_missing: int | None
    method: str
    status: Status


def check_thresholds(thresholds: Sequence[float]) -> None:
    """Whether the plan's thresholds are few and far enough apart.

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
    """Patients called positive at each threshold, by class.

    Parameters
    ----------
    scores : float array, shape (n,)
        In [0, 1]; NaN for a patient without a score, who is left out and counted.
    labels : bool array, shape (n,)

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
    known, own = with_score(scores, labels)
    called = [
        [np.count_nonzero(known[own == label] >= threshold) for threshold in thresholds]
        for label in (False, True)
    ]
    return Summary(
        counts={
            "called": np.array(called, dtype=np.int64),
            "classes": np.array([np.count_nonzero(~own), np.count_nonzero(own)]),
            "missing": np.array([scores.size - known.size]),
        }
    )


def finish_decision(
    summary: Summary, thresholds: Sequence[float], minima: Minima = STANDARD
) -> DecisionCurve:
    """Net benefit with normal intervals.

    References
    ----------
    Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574.
    """
    negatives, positives = (int(n) for n in summary.counts["classes"])
    missing = minima.shown(int(summary.counts["missing"][0]))
    used = None if missing is None else minima.shown(negatives + positives)
    status = _status(negatives, positives, missing, minima)
    method = "net benefit"
    if not status.ok:
        return DecisionCurve((), used, missing, method, status)
    shown = _shown(summary, minima)
    points = tuple(
        _benefit(
            float(thresholds[index]), summary.counts["called"][:, index].tolist(), (negatives, positives)
        )
        for index in shown
    )
    return DecisionCurve(points, used, missing, method, OK)


def _status(negatives: int, positives: int, missing: int | None, minima: Minima) -> Status:
    if min(negatives, positives) < minima.per_class:
        return suppressed(f"fewer than {minima.per_class} patients in a class")
    # Treating all is the prevalence among those with a score, and the intervals tell how many they are.
    return OK if missing is not None else suppressed("few patients without a score could be counted")


def _benefit(threshold: float, called: list[int], classes: tuple[int, int]) -> NetBenefit:
    (false_positive, true_positive), (negatives, positives) = called, classes
    n = negatives + positives
    weight = threshold / (1 - threshold)
    benefit = (true_positive - weight * false_positive) / n
    variance = ((true_positive + weight**2 * false_positive) / n - benefit**2) / n
    half = Z * sqrt(max(0.0, variance))
    interval = Interval(benefit - half, benefit + half, "normal")
    return NetBenefit(threshold, benefit, (positives - weight * negatives) / n, interval)


def _shown(summary: Summary, minima: Minima) -> list[int]:
    """Thresholds between which, and beyond which, nobody lies or at least the cell minimum does."""
    called = summary.counts["called"].sum(axis=0).tolist()
    last = int(summary.counts["classes"].sum())
    shown = []
    for index, count in enumerate(called):
        if minima.shown(last - count) is not None and minima.shown(count) is not None:
            shown.append(index)
            last = count
    return shown
