"""Whether predicted risks are true: Brier score, reliability, calibration intercept and slope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import OK, Estimate, Interval, Status, Z, absent, suppressed, undefined
from common.stats.glm import Ask
from common.stats.minima import STANDARD, Minima
from common.stats.newton import State, advance, start
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
        Counts "patients" and "events" (10,), "clipped" and "missing" (1,); reals "scores" (10,), "brier" (1,)
        and "logits" (2,): the sums of the logits and of their squares.

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
            "logits": np.array([np.sum(logits(known)), np.sum(logits(known) ** 2)]),
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
    """A column of the design of `recalibrate`: clipped scores' logits, NaN where missing, shape (n,)."""
    clipped = np.clip(scores, CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped / (1 - clipped)))


def recalibrate(
    ask: Ask, calibrations: Sequence[Summary], minima: Minima = STANDARD
) -> tuple[Recalibration, ...]:
    """Intercept and slope of many scores on many cohorts, asked of the sites together in one Newton loop.

    Parameters
    ----------
    ask : callable
        One round of `local_newton` on a matrix with one column of `logits` a calibration, NaN for patients
        who are not in its cohort.
    calibrations : sequence of Summary
        Sums of `local_calibration`, in the order of the columns.

    References
    ----------
    Cox DR. Biometrika 1958;45:562-565. Van Calster B et al. J Clin Epidemiol 2016;74:167-176.
    """
    statuses = [_enough(one, minima) for one in calibrations]
    asked = [column for column, status in enumerate(statuses) if status.ok]
    centre, scale = _moments(calibrations)
    rows = [(column, free) for column in asked for free in _FREE if not free[1] or scale[column] > 0]
    columns = np.array([[column] for column, _ in rows], dtype=np.int64).reshape(-1, 1)
    free = np.array([free for _, free in rows], dtype=np.bool_).reshape(-1, 2)
    problem = Problem(columns, free, centre, np.where(scale > 0, scale, 1.0), firth=False)
    # The slope that is fixed is 1 on the logits' own scale; the free one begins where no step can overshoot.
    own_scale = np.concatenate([centre[columns], problem.scale[columns]], axis=1)
    state = start(problem, np.where(free[:, 1:], 0.0, own_scale))
    while state.query.active.any():
        state = advance(state, problem, ask(problem, state.query))
    found = []
    for column, (summary, status) in enumerate(zip(calibrations, statuses, strict=True)):
        numbers = _numbers(summary, minima)
        intercept, slope = (
            _refitted(state, problem, rows.index((column, free)), numbers)
            if (column, free) in rows
            else absent(_CONSTANT if status.ok else status, method, *numbers)
            for free, method in zip(_FREE, _METHODS, strict=True)
        )
        found.append(Recalibration(intercept, slope, state.rounds if status.ok else 0))
    return tuple(found)


_METHODS = ("logistic, slope 1", "logistic")
_FREE = ((True, False), (True, True))
"""Whether intercept and slope are estimated, for each of the two."""
_CONSTANT = undefined("all scores are equal")


def _moments(calibrations: Sequence[Summary]) -> tuple[Reals, Reals]:
    """Mean and SD of each cohort's logits; an SD that rounding alone explains is 0."""
    numbers = np.array([max(1, int(one.counts["patients"].sum())) for one in calibrations])
    mean, square = np.array([one.reals["logits"] for one in calibrations]).T / numbers
    variance = square - mean**2
    return mean, np.sqrt(np.where(variance <= 2.0**-40 * square, 0.0, variance))


def _refitted(state: State, problem: Problem, row: int, numbers: tuple[int | None, int | None]) -> Estimate:
    """The last free coefficient of one model, back on the scale of the logits."""
    slope = bool(problem.free[row, 1])
    method = _METHODS[int(slope)]
    if not state.converged[row]:
        return absent(undefined("separated: no finite value"), method, *numbers)
    own, column = np.flatnonzero(problem.free[row]), problem.columns[row, 0]
    covariance = np.linalg.inv(state.information[row][np.ix_(own, own)])
    value, half = float(state.accepted[row, own[-1]]), Z * sqrt(covariance[-1, -1])
    if slope:
        value, half = value / float(problem.scale[column]), half / float(problem.scale[column])
    else:
        value -= float(problem.centre[column])
    return Estimate(value, Interval(value - half, value + half, "Wald"), *numbers, method)


def _enough(summary: Summary, minima: Minima) -> Status:
    n, positive = int(summary.counts["patients"].sum()), int(summary.counts["events"].sum())
    return _status(n - positive, positive, minima)


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
