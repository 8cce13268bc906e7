"""Whether predicted risks are true: Brier score, reliability, calibration intercept and slope."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from scipy import stats

from common.stats.contract import Summary
from common.stats.estimate import LEVEL, OK, Estimate, Interval, Status, absent, suppressed, undefined
from common.stats.glm import Ask
from common.stats.minima import STANDARD, Minima
from common.stats.newton import advance, start
from common.stats.proportion import wilson
from common.stats.scores import check_scores, with_score
from common.stats.stack import Problem
from common.types import Counts, Flags, Reals

BINS = 10
CLIP = 1e-6
"""Scores are kept this far from 0 and 1, for logits only."""


@dataclass(frozen=True)
class ReliabilityPoint:
    """Patients of similar predicted risk.

    Attributes
    ----------
    predicted, observed : float
        Mean score, and share with the outcome.
    interval : Interval
        Of the share (Wilson).
    patients : int
    """

    predicted: float
    observed: float
    interval: Interval
    patients: int


@dataclass(frozen=True)
class CalibrationResult:
    """One model's calibration in one cohort, but for intercept and slope.

    Attributes
    ----------
    brier, expected_calibration_error : Estimate
        The latter over ten equal bins, before any are merged.
    points : tuple of ReliabilityPoint
        Bins merged with their neighbours until each may be shown; empty where their sizes would give the
        number missing away.
    n_clipped : int or None
        Scores so near to 0 or 1 that logits are taken of 1e-6 from there.
    n_used, n_missing : int or None
        Patients with a score, and those without.
    method : str
    status : Status
    """

    brier: Estimate
    expected_calibration_error: Estimate
    points: tuple[ReliabilityPoint, ...]
    n_clipped: int | None
    n_used: int | None
    n_missing: int | None
    method: str
    status: Status


@dataclass(frozen=True)
class Recalibration:
    """Intercept and slope of the outcome's logit on the score's.

    Attributes
    ----------
    intercept : Estimate
        Calibration in the large: with the slope fixed at 1; 0 is ideal.
    slope : Estimate
        1 is ideal, less is overconfident.
    rounds : int
    """

    intercept: Estimate
    slope: Estimate
    rounds: int


def local_calibration(scores: Reals, labels: Flags) -> Summary:
    """Sums by bin of ten of one model's scores.

    Parameters
    ----------
    scores : float array, shape (n,)
        In [0, 1]; NaN for a patient without a score, who is left out and counted.
    labels : bool array, shape (n,)

    Returns
    -------
    Summary
        Counts "patients" and "events" (10,), "clipped" and "missing" (1,); reals "scores" (10,) and
        "brier" (1,).

    Raises
    ------
    NonFiniteError
        If a score is infinite.
    ValueError
        If a score is outside [0, 1], or shapes differ.
    """
    check_scores(scores[np.newaxis], labels)
    known, own = with_score(scores, labels)
    bin_of = np.minimum((known * BINS).astype(np.int64), BINS - 1)
    return Summary(
        counts={
            "patients": np.bincount(bin_of, minlength=BINS),
            "events": np.bincount(bin_of[own], minlength=BINS),
            "clipped": np.array([np.count_nonzero((known < CLIP) | (known > 1 - CLIP))]),
            "missing": np.array([scores.size - known.size]),
        },
        reals={
            "scores": np.asarray(np.bincount(bin_of, weights=known, minlength=BINS), dtype=np.float64),
            "brier": np.array([np.sum((known - own) ** 2)]),
        },
    )


def finish_calibration(summary: Summary, minima: Minima = STANDARD) -> CalibrationResult:
    """Brier score, expected calibration error and the points of the reliability diagram.

    References
    ----------
    Brier GW. Mon Weather Rev 1950;78:1-3. Naeini MP et al. AAAI 2015:2901-2907.
    """
    patients, events = summary.counts["patients"], summary.counts["events"]
    n, positive = int(patients.sum()), int(events.sum())
    clipped, (used, missing) = minima.shown(int(summary.counts["clipped"][0])), _numbers(summary, minima)
    names = ("mean squared difference", f"{BINS} equal bins")
    status = _status(n - positive, positive, minima)
    if not status.ok:
        brier, error = (absent(status, name, used, missing) for name in names)
        return CalibrationResult(brier, error, (), clipped, used, missing, names[1], status)
    gaps = float(np.abs(events - summary.reals["scores"]).sum())
    brier = Estimate(float(summary.reals["brier"][0]) / n, None, used, missing, names[0])
    error = Estimate(gaps / n, None, used, missing, names[1])
    points = () if missing is None else _points(summary, minima)
    return CalibrationResult(brier, error, points, clipped, used, missing, names[1], OK)


def logits(scores: Reals) -> Reals:
    """The design matrix of `recalibrate`: clipped scores' logits, shape (n, 1); NaN where missing."""
    clipped = np.clip(scores, CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped / (1 - clipped))[:, np.newaxis])


def recalibrate(ask: Ask, calibration: Summary, minima: Minima = STANDARD) -> Recalibration:
    """Intercept and slope, asked of the sites together.

    Parameters
    ----------
    ask : callable
        One round of `local_newton` on `logits`.
    calibration : Summary
        The sum of `local_calibration`.

    References
    ----------
    Cox DR. Biometrika 1958;45:562-565. Van Calster B et al. J Clin Epidemiol 2016;74:167-176.
    """
    n, positive = int(calibration.counts["patients"].sum()), int(calibration.counts["events"].sum())
    numbers = _numbers(calibration, minima)
    status = _status(n - positive, positive, minima)
    methods = ("logistic, slope 1", "logistic")
    if not status.ok:
        intercept, slope = (absent(status, method, *numbers) for method in methods)
        return Recalibration(intercept, slope, 0)
    free = np.array([[True, False], [True, True]])
    problem = Problem(np.zeros((2, 1), dtype=np.int64), free, np.zeros(1), np.ones(1), firth=False)
    state = start(problem, np.array([[0.0, 1.0], [0.0, 1.0]]))
    answer = ask(problem, state.query)
    constant = _constant(answer.reals["information"][1])
    if constant:
        problem = replace(problem, free=free[[0, 0]])
    state = advance(state, problem, answer)
    while state.query.active.any():
        state = advance(state, problem, ask(problem, state.query))
    found = []
    for model, method in enumerate(methods):
        if constant and method == methods[1]:
            found.append(absent(undefined("all scores are equal"), method, *numbers))
            continue
        if not state.converged[model]:
            found.append(absent(undefined("separated: no finite value"), method, *numbers))
            continue
        own = np.flatnonzero(free[model])
        covariance = np.linalg.inv(state.information[model][np.ix_(own, own)])
        value, half = float(state.accepted[model, own[-1]]), sqrt(covariance[-1, -1])
        half *= float(stats.norm.isf((1 - LEVEL) / 2))
        found.append(Estimate(value, Interval(value - half, value + half, "Wald"), *numbers, method))
    return Recalibration(found[0], found[1], state.rounds)


def _constant(information: Reals) -> bool:
    """Whether intercept and slope cannot be told apart, shape (2, 2)."""
    product = information[0, 0] * information[1, 1]
    return bool(product - information[0, 1] ** 2 <= 1e-12 * product)


def _numbers(summary: Summary, minima: Minima) -> tuple[int | None, int | None]:
    """Patients with and without a score; the former would give the latter away."""
    missing = minima.shown(int(summary.counts["missing"][0]))
    return (None if missing is None else minima.shown(int(summary.counts["patients"].sum()))), missing


def _status(negative: int, positive: int, minima: Minima) -> Status:
    if min(negative, positive) == 0:
        return suppressed("patients of one class only")
    if min(negative, positive) < minima.per_class:
        return suppressed(f"fewer than {minima.per_class} patients in a class")
    return OK


def _points(summary: Summary, minima: Minima) -> tuple[ReliabilityPoint, ...]:
    patients, events = summary.counts["patients"], summary.counts["events"]
    groups: list[list[int]] = []
    pending: list[int] = []
    for index in np.flatnonzero(patients).tolist():
        pending.append(index)
        if _releasable(patients[pending], events[pending], minima):
            groups.append(pending)
            pending = []
    while pending and groups and not _releasable(patients[pending], events[pending], minima):
        pending = groups.pop() + pending
    if pending:
        groups.append(pending)
    return tuple(_point(summary, group) for group in groups)


def _releasable(patients: Counts, events: Counts, minima: Minima) -> bool:
    n, positive = int(patients.sum()), int(events.sum())
    cells = np.array([positive, n - positive])
    return n >= minima.group and bool(minima.releasable(cells).all())


def _point(summary: Summary, group: list[int]) -> ReliabilityPoint:
    n, events = (int(summary.counts[name][group].sum()) for name in ("patients", "events"))
    predicted = float(summary.reals["scores"][group].sum()) / n
    return ReliabilityPoint(predicted, events / n, wilson(events, n), n)
