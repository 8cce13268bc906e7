"""Whether predicted risks agree with what happens: Brier score, reliability, intercept and slope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from common.stats.contract import Summary
from common.stats.dialogue import Dialogue, answer_all
from common.stats.estimate import OK, Estimate, Interval, Status, Z, absent, coarse, suppressed, undefined
from common.stats.glm import Ask
from common.stats.minima import STANDARD, Minima
from common.stats.newton import NewtonQuestion, NewtonState, advance_newton, start_newton
from common.stats.proportion import wilson
from common.stats.scores import check_scores, select_scored
from common.stats.stack import Problem
from common.types import Counts, Flags, Reals

BINS = 10
"""Equal bins of the score, from 0 to 1."""
CLIP = 1e-6
"""For logits only, scores are kept this far from 0 and 1."""


@dataclass(frozen=True)
class ReliabilityPoint:
    """Patients of similar predicted risk.

    Attributes
    ----------
    predicted, observed : float
        Mean score, and share with the outcome.
    low, high : float
        95 % confidence bounds of the share (Wilson).
    patients : int
        In the bins that were merged into this one.
    """

    predicted: float
    observed: float
    low: float
    high: float
    patients: int

    def __post_init__(self) -> None:
        if self.patients < 0:
            raise ValueError(f"patients cannot be {self.patients}")


@dataclass(frozen=True)
class CalibrationResult:
    """One model's calibration in one cohort, without intercept and slope.

    Attributes
    ----------
    brier : Estimate
        Mean squared difference of score and outcome.
    expected_calibration_error : Estimate
        Over ten equal bins, before any bins are merged.
    points : tuple of ReliabilityPoint
        By rising score; bins are merged with their neighbours until each may be shown. Empty where the bins'
        sizes would give the number missing away.
    n_clipped : int or None
        Scores below 1e-6 or above 1 - 1e-6, whose logits are taken at these limits; None where hidden.
    n_used, n_missing : int or None
        Patients with a score, and those without; None where hidden.
    method : str
        How the bins of `expected_calibration_error` are cut.
    status : Status
        Suppressed where a class has too few patients.
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
        Questions to the sites that the Newton loop took; 0 where nothing was fitted.
    offset : float or None
        The intercept that was fitted together with the slope: a recalibrated risk is
        expit(offset + slope logit(risk)). None where there is no slope.
    """

    intercept: Estimate
    slope: Estimate
    rounds: int
    offset: float | None = None


def local_calibration(scores: Reals, labels: Flags) -> Summary:
    """One site's sums of one model's scores in ten equal bins.

    Parameters
    ----------
    scores : float array, shape (n,)
        In [0, 1]; NaN for a patient without a score, who is left out and counted.
    labels : bool array, shape (n,)
        True for the outcome.

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
    known_scores, known_labels = select_scored(scores, labels)
    bin_of = np.minimum((known_scores * BINS).astype(np.int64), BINS - 1)
    return Summary(
        counts={
            "patients": np.bincount(bin_of, minlength=BINS),
            "events": np.bincount(bin_of[known_labels], minlength=BINS),
            "clipped": np.array([np.count_nonzero((known_scores < CLIP) | (known_scores > 1 - CLIP))]),
            "missing": np.array([scores.size - known_scores.size]),
        },
        reals={
            "scores": np.asarray(np.bincount(bin_of, weights=known_scores, minlength=BINS), dtype=np.float64),
            "brier": np.array([np.sum((known_scores - known_labels) ** 2)]),
            "logits": np.array([np.sum(logits(known_scores)), np.sum(logits(known_scores) ** 2)]),
        },
    )


def finish_calibration(summary: Summary, minima: Minima = STANDARD) -> CalibrationResult:
    """The Brier score, the expected calibration error and the points of the reliability diagram.

    References
    ----------
    Brier GW. Mon Weather Rev 1950;78:1-3. Naeini MP et al. AAAI 2015:2901-2907.
    """
    patients, events = summary.counts["patients"], summary.counts["events"]
    n, positive = int(patients.sum()), int(events.sum())
    clipped, (used, missing) = (
        minima.show(int(summary.counts["clipped"][0])),
        _show_numbers(summary, minima),
    )
    names = ("mean squared difference", f"{BINS} equal bins")
    status = _status(n - positive, positive, minima)
    if not status.ok:
        brier, error = (absent(status, name, used, missing) for name in names)
        return CalibrationResult(brier, error, (), clipped, used, missing, names[1], status)
    gaps = float(np.abs(events - summary.reals["scores"]).sum())
    values = (float(summary.reals["brier"][0]) / n, gaps / n)
    if missing is None:
        # Scores have few decimals, so the means in full would tell how many scores they are taken from.
        values = (coarse(values[0])[0], coarse(values[1])[0])
    brier, error = (
        Estimate.of(value, None, name, used, missing) for value, name in zip(values, names, strict=True)
    )
    points = () if missing is None else _merge_bins(summary, minima)
    return CalibrationResult(brier, error, points, clipped, used, missing, names[1], OK)


def logits(scores: Reals) -> Reals:
    """The clipped scores' logits, shape (n,), NaN where missing: a column of `recalibrate`'s matrix."""
    clipped = np.clip(scores, CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped / (1 - clipped)))


def recalibrate(
    ask: Ask, calibrations: Sequence[Summary], minima: Minima = STANDARD
) -> tuple[Recalibration, ...]:
    """Intercept and slope of each model in each cohort, all fitted in one Newton loop over the sites.

    Parameters
    ----------
    ask : callable
        Asks all sites one round of `local_newton` and returns the sum of their answers. The matrix has one
        column of `logits` per calibration, NaN for patients who are not in its cohort.
    calibrations : sequence of Summary
        The summed `local_calibration` of each, in the order of the columns.

    References
    ----------
    Cox DR. Biometrika 1958;45:562-565. Van Calster B et al. J Clin Epidemiol 2016;74:167-176.
    """
    return answer_all(iterate_recalibration(calibrations, minima), lambda question: ask(*question))


def iterate_recalibration(
    calibrations: Sequence[Summary], minima: Minima = STANDARD
) -> Dialogue[NewtonQuestion, tuple[Recalibration, ...]]:
    """Intercept and slope of each calibration, as `recalibrate` gives them.

    Yields
    ------
    Problem, Query
        One round's query about the matrix of logits; the sum of the sites' `local_newton` comes back.
    """
    statuses = [_class_status(summary, minima) for summary in calibrations]
    fitted = [column for column, status in enumerate(statuses) if status.ok]
    centre, scale = _logit_moments(calibrations)
    rows = [(column, free) for column in fitted for free in _FREE if not free[1] or scale[column] > 0]
    columns = np.array([[column] for column, _ in rows], dtype=np.int64).reshape(-1, 1)
    free = np.array([free for _, free in rows], dtype=np.bool_).reshape(-1, 2)
    problem = Problem(columns, free, centre, np.where(scale > 0, scale, 1.0), firth=False)
    # A fixed slope is 1 on the scale of the logits; a free one starts at 0, where no step can overshoot.
    unit_slope = np.concatenate([centre[columns], problem.scale[columns]], axis=1)
    state = start_newton(problem, np.where(free[:, 1:], 0.0, unit_slope))
    while state.query.active.any():
        state = advance_newton(state, problem, (yield problem, state.query))
    recalibrations = []
    for column, (summary, status) in enumerate(zip(calibrations, statuses, strict=True)):
        numbers = _show_numbers(summary, minima)
        intercept, slope = (
            _read_coefficient(state, problem, rows.index((column, free)), numbers)
            if (column, free) in rows
            else absent(_CONSTANT if status.ok else status, method, *numbers)
            for free, method in zip(_FREE, _METHODS, strict=True)
        )
        offset = None
        if slope.value is not None:
            offset = _find_offset(state, problem, rows.index((column, _FREE[1])))
        recalibrations.append(Recalibration(intercept, slope, state.rounds if status.ok else 0, offset))
    return tuple(recalibrations)


_METHODS = ("logistic, slope 1", "logistic")
_FREE = ((True, False), (True, True))
"""Which of (intercept, slope) are estimated, in the two fits of each calibration."""
_CONSTANT = undefined("all scores are equal")


def _logit_moments(calibrations: Sequence[Summary]) -> tuple[Reals, Reals]:
    """The mean and SD of each cohort's logits; an SD that rounding alone explains is 0."""
    numbers = np.array([max(1, int(summary.counts["patients"].sum())) for summary in calibrations])
    mean, square = np.array([summary.reals["logits"] for summary in calibrations]).T / numbers
    variance = square - mean**2
    return mean, np.sqrt(np.where(variance <= 2.0**-40 * square, 0.0, variance))


def _read_coefficient(
    state: NewtonState, problem: Problem, row: int, numbers: tuple[int | None, int | None]
) -> Estimate:
    """The last free coefficient of one fit, transformed back to the scale of the logits."""
    slope = bool(problem.free[row, 1])
    method = _METHODS[int(slope)]
    if not state.converged[row]:
        return absent(undefined("separated: no finite value"), method, *numbers)
    free, column = np.flatnonzero(problem.free[row]), problem.columns[row, 0]
    covariance = np.linalg.inv(state.information[row][np.ix_(free, free)])
    value, half = float(state.accepted[row, free[-1]]), Z * sqrt(covariance[-1, -1])
    if slope:
        value, half = value / float(problem.scale[column]), half / float(problem.scale[column])
    else:
        value -= float(problem.centre[column])
    return Estimate.of(value, Interval(value - half, value + half, "Wald"), method, *numbers)


def _find_offset(state: NewtonState, problem: Problem, row: int) -> float:
    """The intercept of the fit with a free slope, transformed back to the scale of the logits."""
    column = problem.columns[row, 0]
    intercept, slope = state.accepted[row].tolist()
    return float(intercept - slope * problem.centre[column] / problem.scale[column])


def _class_status(summary: Summary, minima: Minima) -> Status:
    patients, positive = int(summary.counts["patients"].sum()), int(summary.counts["events"].sum())
    return _status(patients - positive, positive, minima)


def _show_numbers(summary: Summary, minima: Minima) -> tuple[int | None, int | None]:
    """Patients with and without a score; a hidden second hides the first, which would disclose it."""
    missing = minima.show(int(summary.counts["missing"][0]))
    return (None if missing is None else minima.show(int(summary.counts["patients"].sum()))), missing


def _status(negative: int, positive: int, minima: Minima) -> Status:
    if min(negative, positive) == 0:
        return suppressed("patients of one class only")
    if min(negative, positive) < minima.per_class:
        return suppressed(f"fewer than {minima.per_class} patients in a class")
    return OK


def _merge_bins(summary: Summary, minima: Minima) -> tuple[ReliabilityPoint, ...]:
    patients, events = summary.counts["patients"], summary.counts["events"]
    groups: list[list[int]] = []
    pending: list[int] = []
    for index in np.flatnonzero(patients).tolist():
        pending.append(index)
        if _may_release(patients[pending], events[pending], minima):
            groups.append(pending)
            pending = []
    while pending and groups and not _may_release(patients[pending], events[pending], minima):
        pending = groups.pop() + pending
    if pending:
        groups.append(pending)
    return tuple(_build_point(summary, group) for group in groups)


def _may_release(patients: Counts, events: Counts, minima: Minima) -> bool:
    n, positive = int(patients.sum()), int(events.sum())
    cells = np.array([positive, n - positive])
    return n >= minima.group and bool(minima.may_release(cells).all())


def _build_point(summary: Summary, group: list[int]) -> ReliabilityPoint:
    n, events = (int(summary.counts[name][group].sum()) for name in ("patients", "events"))
    predicted = float(summary.reals["scores"][group].sum()) / n
    interval = wilson(events, n)
    return ReliabilityPoint(predicted, events / n, interval.low, interval.high, n)
