"""Profile penalised-likelihood limits of many coefficients at once: the same rounds as Newton's method.

A limit is where the largest penalised log-likelihood, given the coefficient, lies half a chi-squared quantile
below the maximum. Each search starts at the maximum with the curvature that the fit learned, so its first
trial is Wald's limit. `glm` asks the sites for all coefficients and both limits in one loop. Every such limit
is finite: the penalised likelihood falls without bound where a coefficient runs away (Kosmidis & Firth 2021).

References
----------
Venzon DJ, Moolgavkar SH. Appl Stat 1988;37:87-94. Heinze G, Schemper M. Stat Med 2002;21:2409-2419.
Kosmidis I, Firth D. Biometrika 2021;108:71-82.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.stats.branches import CLOSE, find_below
from common.stats.contract import Summary
from common.stats.dialogue import Dialogue
from common.stats.estimate import Z
from common.stats.newton import (
    CONVERGED,
    NewtonQuestion,
    NewtonState,
    Query,
    evaluate_likelihood,
    shorten_steps,
)
from common.stats.secant import Secant, bend_information, find_rounding, learn_ratios
from common.stats.stack import Problem
from common.types import Counts, Flags, Reals

PROFILE = "profile penalised likelihood"
"""Name of the interval's method."""
MAXIMUM_ROUNDS_LIMITS = 60
"""Rounds after which a limit is given up."""
_DAMPING = 0.5
"""Share of a step that is taken if it is no shorter than the last: steps might run in a circle."""
_NUDGES = (-0.5, 0.5)
"""Standard errors by which the other coefficients begin beside Wald's limit, in two searches of each limit.

Where few patients tell of them, the likelihood has several peaks, and saddles between. Wherever a search
ends, the likelihood is that of a limit, so the outermost end is never beyond the limit.
"""
DROP = Z**2 / 2
"""How far below its maximum the log-likelihood lies at a limit: half a chi-squared quantile, 1.92."""


@dataclass(frozen=True)
class Limits:
    """What is searched: one limit of one coefficient by row.

    Attributes
    ----------
    models : int array, shape (limits,)
        Row of the fitted model in the state that `start_limits` gets.
    places : int array, shape (limits,)
        Which of the model's d coefficients.
    sides : float array, shape (limits,)
        -1 for a lower limit, 1 for an upper.
    nudges : float array, shape (limits,)
        Standard errors by which the search starts beside Wald's limit in the other coefficients.
    """

    models: Counts
    places: Counts
    sides: Reals
    nudges: Reals


@dataclass(frozen=True)
class LimitSearch:
    """The state of the search; it stays at the coordinator.

    Attributes
    ----------
    query : Query
        The next question.
    accepted, step : float arrays, shape (limits, d)
        The last coefficients from which a limit is within reach, and the step tried from them.
    target : float array, shape (limits,)
        The log-likelihood at the limit.
    score : float array, shape (limits, d)
        At `accepted`.
    information : float array, shape (limits, d, d)
        At `accepted`.
    ratios : float array, shape (limits, d, d)
        Curvature over information, as the steps so far tell.
    length : float array, shape (limits,)
        Squared length of the step, in standard errors, before it was shortened.
    found : bool array, shape (limits,)
        Limits that were reached.
    rounds : int
        Rounds asked so far.
    """

    query: Query
    accepted: Reals
    step: Reals
    target: Reals
    score: Reals
    information: Reals
    ratios: Reals
    length: Reals
    found: Flags
    rounds: int


def find_limits(
    problem: Problem, fitted: NewtonState, rows: Sequence[int]
) -> Dialogue[NewtonQuestion, tuple[dict[int, Reals], int]]:
    """Both limits of every coefficient of some fitted models, and the steps that the longest search took.

    Parameters
    ----------
    problem : Problem
        The fitted models; the penalised likelihood is theirs.
    fitted : NewtonState
        At their maxima.
    rows : sequence of int
        Models, in the problem, of which all coefficients are free.

    Yields
    ------
    Problem, Query
        One step's question.

    Returns
    -------
    dict of int to float array, shape (columns, 2)
        Lower and upper limit of each column's log odds, by row; NaN for a limit that was not found.
    int
        Steps.
    """
    searches = [
        (row, place, side, nudge)
        for row in rows
        for place in np.flatnonzero(problem.present[row])[1:].tolist()
        for side in (-1.0, 1.0)
        for nudge in _NUDGES
    ]
    models, places, sides, nudges = (np.array(column) for column in zip(*searches, strict=True))
    limits = Limits(models, places, sides, nudges)
    stacked = replace(problem, columns=problem.columns[models], free=problem.present[models])
    search = start_limits(limits, stacked, fitted)
    while search.query.active.any():
        search = advance_limits(search, stacked, limits, (yield stacked, search.query))
    reached = (
        search.accepted[np.arange(len(models)), places] / problem.scale[problem.columns[models, places - 1]]
    )
    beyond = np.where(search.found, sides * reached, -np.inf).reshape(-1, len(_NUDGES)).max(axis=1)
    outermost = np.where(np.isfinite(beyond), sides[:: len(_NUDGES)] * beyond, np.nan)
    of_limits = models[:: len(_NUDGES)]
    return {row: outermost[of_limits == row].reshape(-1, 2) for row in rows}, search.rounds


def start_limits(limits: Limits, problem: Problem, fitted: NewtonState) -> LimitSearch:
    """The first state: a little beside Wald's limits, from the maxima of models that have converged."""
    peak, score, value = (
        array[limits.models] for array in (fitted.accepted, fitted.score, fitted.log_likelihood)
    )
    ratios, target = fitted.ratios[limits.models], value - DROP
    information = fitted.information[limits.models]
    curvature = bend_information(information, ratios)
    full, _ = _step_to_limit(limits, (value - target, score, curvature))
    errors = np.sqrt(np.linalg.inv(curvature).diagonal(axis1=1, axis2=2))
    others = problem.present & (np.arange(errors.shape[1]) != limits.places[:, np.newaxis])
    step = shorten_steps(full + limits.nudges[:, np.newaxis] * np.where(others, errors, 0.0), peak)
    active = np.ones(len(target), dtype=np.bool_)
    return LimitSearch(
        query=Query(peak + step, active),
        accepted=peak,
        step=step,
        target=target,
        score=score,
        information=information,
        ratios=ratios,
        length=np.full(len(target), np.inf),
        found=~active,
        rounds=0,
    )


def advance_limits(state: LimitSearch, problem: Problem, limits: Limits, answer: Summary) -> LimitSearch:
    """The next state: per limit a step, half a step if it went too far, or none if it has ended."""
    asked = state.query.active
    trial = state.query.coefficients
    value, score, information = evaluate_likelihood(problem, answer, asked)
    near = asked & find_below(state.target - DROP, value)
    information = np.where(near[:, np.newaxis, np.newaxis], information, np.eye(information.shape[1]))
    secant = Secant(trial - state.accepted, state.score - score, state.information)
    ratios = learn_ratios(information, state.ratios, secant)
    curvature = bend_information(information, ratios)
    full, reachable = _step_to_limit(limits, (value - state.target, score, curvature))
    taken = near & reachable
    length = np.einsum("mi,mij,mj->m", full, curvature, full)
    found = state.found | (taken & find_below(length, np.maximum(CONVERGED, find_rounding(information)[1])))
    of_taken = taken[:, np.newaxis]
    damping = np.where(find_below(length, state.length), 1.0, _DAMPING)
    accepted = np.where(of_taken, trial, state.accepted)
    step = np.where(of_taken, damping[:, np.newaxis] * shorten_steps(full, trial), state.step / 2)
    rounds = state.rounds + 1
    moving = asked & ~found & (rounds < MAXIMUM_ROUNDS_LIMITS)
    return LimitSearch(
        query=Query(np.where(moving[:, np.newaxis], accepted + step, trial), moving),
        accepted=accepted,
        step=step,
        target=state.target,
        score=np.where(of_taken, score, state.score),
        information=np.where(taken[:, np.newaxis, np.newaxis], information, state.information),
        ratios=np.where(taken[:, np.newaxis, np.newaxis], ratios, state.ratios),
        length=np.where(taken, length, state.length),
        found=found,
        rounds=rounds,
    )


def _step_to_limit(limits: Limits, at: tuple[Reals, Reals, Reals]) -> tuple[Reals, Flags]:
    """The steps to the limits of likelihoods that are quadratic, and whether such ones reach them.

    Parameters
    ----------
    limits : Limits
    at : tuple of float arrays, shapes (limits,), (limits, d) and (limits, d, d)
        How far the log-likelihood lies above that at the limit, the score, and the curvature.

    References
    ----------
    Venzon & Moolgavkar 1988, equation 8.
    """
    above, score, curvature = at
    covariance = np.linalg.inv(curvature)
    to_peak = np.matmul(covariance, score[:, :, np.newaxis])[:, :, 0]
    along = covariance[np.arange(len(above)), limits.places]
    variance = along[np.arange(len(above)), limits.places]
    square = 2 * above + np.sum(score * to_peak, axis=1)
    size = limits.sides * np.sqrt(np.maximum(square, 0.0) / variance)
    return to_peak + size[:, np.newaxis] * along, find_below(np.nextafter(0.0, -1.0), square, CLOSE)
