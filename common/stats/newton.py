"""Newton's method for many logistic models at once: what one round asks, answers and concludes.

The coordinator broadcasts a `Query`; every site answers with `local_newton`; `advance_newton` turns the sum
into the next query. Covariates are standardised by public constants; an intercept comes first in every model.

Without a penalty the information is the curvature of the likelihood. With Firth's it lacks the penalty's
part, which no site sends (it would take fourth moments): the steps learn it from how the score changes, and
a step that lowers the likelihood is halved. By the information alone, a patient who alone tells of a
coefficient (leverage 1) makes each step twice too long: the iteration runs between two points for ever.

References
----------
Firth D. Biometrika 1993;80:27-38. Heinze G, Schemper M. Stat Med 2002;21:2409-2419. Albert A, Anderson JA.
Biometrika 1984;71:1-10 (separation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import TypeAlias

import numpy as np

from common.stats.branches import find_below
from common.stats.contract import Summary
from common.stats.secant import (
    Secant,
    bend_information,
    find_rounding,
    find_singular,
    keep_free,
    learn_ratios,
    start_ratios,
)
from common.stats.stack import Problem, iterate_designs
from common.types import Flags, Reals

CONVERGED = 1e-18
"""A model has converged once its squared Newton decrement is below this."""
MAXIMUM_ROUNDS_UNPENALISED = 25
"""Rounds after which maximum likelihood is given up."""
MAXIMUM_ROUNDS_FIRTH = 60
"""Rounds after which Firth's penalised likelihood is given up."""
SEPARATED = -log(2)
"""A log-likelihood above this proves complete separation: every patient's own outcome has a probability above
1/2, so coefficients twice as large fit better still (Albert & Anderson 1984)."""
LONGEST_STEP = 5.0
"""How far a step of Firth's method may change a standardised coefficient (logistf's `maxstep`), unless a
coefficient is larger: then no step is longer than the largest."""
_SLACK = 1e-13
"""Share by which rounding alone may lower a log-likelihood."""


@dataclass(frozen=True)
class Query:
    """The question that the coordinator broadcasts in one round.

    Attributes
    ----------
    coefficients : float array, shape (models, d)
        On the standardised scale, the intercept first.
    active : bool array, shape (models,)
        Models that have not ended yet.
    inverse : float array, shape (models, d, d), or None
        Inverse of the summed information. If given, the query is a step's second round, which asks for the
        penalty of the score alone.
    fourth : bool
        Whether the sums of the fourth powers of the standardised columns are asked for too: they tell whether
        one patient makes up most of a column's variance.
    """

    coefficients: Reals
    active: Flags
    inverse: Reals | None = None
    fourth: bool = False


NewtonQuestion: TypeAlias = tuple[Problem, Query]
"""What one round asks: the models, and where each of them is."""


@dataclass(frozen=True)
class NewtonState:
    """The state of the iteration; it stays at the coordinator.

    Attributes
    ----------
    query : Query
        The next question.
    accepted, step : float arrays, shape (models, d)
        The last coefficients that raised the likelihood, and the step tried from them.
    log_likelihood : float array, shape (models,)
        At `accepted`; penalised with Firth's method.
    score : float array, shape (models, d)
        At `accepted`; 0 before the first answer.
    information : float array, shape (models, d, d)
        At `accepted`; 1 on the diagonal where a model has no coefficient.
    ratios : float array, shape (models, d, d)
        Curvature of the penalised likelihood over the information, as the steps so far tell.
    converged, separated : bool arrays, shape (models,)
        Models that reached their maximum, and models that are proved to have none.
    rounds : int
        Rounds asked so far.
    """

    query: Query
    accepted: Reals
    step: Reals
    log_likelihood: Reals
    score: Reals
    information: Reals
    ratios: Reals
    converged: Flags
    separated: Flags
    rounds: int


def start_newton(problem: Problem, coefficients: Reals | None = None, *, fourth: bool = False) -> NewtonState:
    """The first state: all coefficients 0, or those given; coefficients that are not free keep these values.

    Parameters
    ----------
    coefficients : float array, shape (models, d)
        On the standardised scale.
    fourth : bool
        Whether the first query asks for the sums of fourth powers.
    """
    models, width = problem.free.shape
    zeros = np.zeros((models, width))
    first = zeros if coefficients is None else coefficients
    none_done = np.zeros(models, dtype=np.bool_)
    return NewtonState(
        query=Query(first, ~none_done, fourth=fourth),
        accepted=first,
        step=zeros,
        log_likelihood=np.full(models, -np.inf),
        score=zeros,
        information=np.zeros((models, width, width)),
        ratios=start_ratios(models, width),
        converged=none_done,
        separated=none_done,
        rounds=0,
    )


def local_newton(matrix: Reals, labels: Flags, problem: Problem, query: Query) -> Summary:
    """One site's score, information and log-likelihood of every active model.

    Parameters
    ----------
    matrix : float array, shape (n, columns)
        NaN where missing; each model uses the patients who have all of its columns.
    labels : bool array, shape (n,)

    Returns
    -------
    Summary
        Reals "score" (models, d), "information" (models, d, d), "log_likelihood" (models,), and with Firth's
        penalty in one round "third" (models, d, d, d), the sums of w (1/2 - p) x x x. If the query asks for
        it, "fourth" (models, d), the sums of x^4. To a query with an
        inverse, "penalty" (models, d) alone: the sums of h (1/2 - p) x, h being the leverage.
    """
    if query.inverse is not None:
        return _local_penalty(matrix, labels, problem, query, query.inverse)
    models, width = problem.free.shape
    asked = np.flatnonzero(query.active)
    score, information = np.zeros((models, width)), np.zeros((models, width, width))
    log_likelihood, fourth = np.zeros(models), np.zeros((models, width) if query.fourth else 0)
    third = np.zeros((models, width, width, width) if problem.third else 0)
    for x, sign in iterate_designs(matrix, labels, problem, asked):
        patients = weigh(x, sign, query.coefficients[asked])
        weighted = x * patients.weight[:, np.newaxis]
        score[asked] += np.matmul(x, patients.residual[:, :, np.newaxis])[:, :, 0]
        information[asked] += np.matmul(weighted, x.transpose(0, 2, 1))
        # The intercept's 1 is 0 where a covariate is missing.
        log_likelihood[asked] += np.sum(x[:, 0] * patients.log_likelihood, axis=1)
        if query.fourth:
            fourth[asked] += np.sum(x**4, axis=2)
        if problem.third:
            weighted *= (patients.residual - sign / 2)[:, np.newaxis]
            third[asked] += np.einsum("mrn,msn,mtn->mrst", weighted, x, x, optimize=True)
    reals = {"score": score, "information": information, "log_likelihood": log_likelihood}
    reals |= {"third": third} if problem.third else {}
    return Summary(reals=reals | ({"fourth": fourth} if query.fourth else {}))


def build_second_query(problem: Problem, query: Query, first: Summary) -> Query:
    """The second query of a step, from the summed answer to the first."""
    inverse = np.zeros((*problem.free.shape, problem.free.shape[1]))
    inverse[query.active] = np.linalg.inv(
        (first.reals["information"] + _absent_diagonal(problem))[query.active]
    )
    return replace(query, inverse=inverse)


def _local_penalty(matrix: Reals, labels: Flags, problem: Problem, query: Query, inverse: Reals) -> Summary:
    penalty = np.zeros(problem.free.shape)
    asked = np.flatnonzero(query.active)
    for x, sign in iterate_designs(matrix, labels, problem, asked):
        patients = weigh(x, sign, query.coefficients[asked])
        leverage = patients.weight * np.sum(x * np.matmul(inverse[asked], x), axis=1)
        penalty[asked] += np.matmul(x, (leverage * (patients.residual - sign / 2))[:, :, np.newaxis])[:, :, 0]
    return Summary(reals={"penalty": penalty})


def _absent_diagonal(problem: Problem) -> Reals:
    """1 on the diagonal where a model has no coefficient, shape (models, d, d)."""
    return np.asarray(np.eye(problem.free.shape[1]) * ~problem.present[:, np.newaxis])


@dataclass(frozen=True)
class LikelihoodTerms:
    """What every patient contributes to the likelihood of every model, p being the predicted probability.

    Attributes
    ----------
    residual : float array, shape (models, patients)
        Outcome (0 or 1) minus p.
    weight : float array, shape (models, patients)
        p (1 - p).
    log_likelihood : float array, shape (models, patients)
        Log of the probability of the patient's outcome.
    """

    residual: Reals
    weight: Reals
    log_likelihood: Reals


def weigh(x: Reals, sign: Reals, coefficients: Reals) -> LikelihoodTerms:
    """The contribution of each patient to a logistic likelihood, by one exponential, without overflow.

    Parameters
    ----------
    x : float array, shape (models, d, patients), or (1, d, patients) for all models
    sign : float array, shape (patients,)
        1 for a positive, -1 for a negative.
    coefficients : float array, shape (models, d)
    """
    margin = np.matmul(coefficients[:, np.newaxis], x)[:, 0] * sign
    small = np.exp(-np.abs(margin))
    one_plus_small = 1 + small
    # log(1 + e) rather than log1p: three times faster, and as exact beside the other terms of the sum.
    log_likelihood = np.minimum(margin, 0) - np.log(one_plus_small)
    residual = sign * np.where(margin > 0, small, 1.0) / one_plus_small
    return LikelihoodTerms(residual, small / one_plus_small**2, log_likelihood)


def advance_newton(state: NewtonState, problem: Problem, answer: Summary) -> NewtonState:
    """The next state: per model a step, half a step if the likelihood fell, or none if it has ended."""
    asked = state.query.active
    trial = state.query.coefficients
    value, score, information = evaluate_likelihood(problem, answer, asked)
    free_information = keep_free(information, problem.free)
    slack, tolerance = _find_tolerances(problem, value, information)
    fell = asked & ~np.isfinite(value)
    fell |= asked & find_below(value, state.log_likelihood - slack, slack / 2)
    rose = asked & ~fell
    flat = rose & find_singular(free_information)
    climbing = rose & ~flat
    ratios = _learn_ratios(state, problem, (score, free_information), climbing)
    curvature = _bend(problem, free_information, ratios, climbing)
    newton, decrement = _newton_step(problem.free, score, curvature, climbing)
    if problem.firth:
        newton = shorten_steps(newton, trial)
    accepted = np.where(rose[:, np.newaxis], trial, state.accepted)
    step = np.where(rose[:, np.newaxis], newton, np.where(fell[:, np.newaxis], state.step / 2, state.step))
    converged = state.converged | (rose & find_below(decrement, tolerance))
    separated = state.separated | (rose & find_below(SEPARATED, value) & _may_grow(problem, trial))
    limit = MAXIMUM_ROUNDS_FIRTH if problem.firth else MAXIMUM_ROUNDS_UNPENALISED
    rounds = state.rounds + 1
    moving = asked & ~converged
    return NewtonState(
        query=Query(
            np.where(moving[:, np.newaxis], accepted + step, trial),
            moving & ~separated & ~flat & (rounds < limit),
        ),
        accepted=accepted,
        step=step,
        log_likelihood=np.where(rose, value, state.log_likelihood),
        score=np.where(rose[:, np.newaxis], score, state.score),
        information=np.where(rose[:, np.newaxis, np.newaxis], information, state.information),
        ratios=ratios,
        converged=converged,
        separated=separated,
        rounds=rounds,
    )


def _find_tolerances(problem: Problem, value: Reals, information: Reals) -> tuple[Reals, Reals]:
    """By how much rounding may lower each log-likelihood, and the squared decrement that counts as 0."""
    slack = np.asarray(_SLACK * np.maximum(1.0, np.abs(value)))
    if not problem.firth:
        return slack, np.full(len(value), CONVERGED)
    of_likelihood, of_decrement = find_rounding(information)
    return slack + of_likelihood, np.maximum(of_decrement, CONVERGED)


def _may_grow(problem: Problem, coefficients: Reals) -> Flags:
    """Which models could have all their coefficients twice as large: no penalty, and none is fixed."""
    fixed = np.any(np.where(problem.free, 0.0, coefficients) != 0, axis=1)
    return np.asarray(~fixed & (not problem.firth))


def _learn_ratios(
    state: NewtonState, problem: Problem, at_trial: tuple[Reals, Reals], climbing: Flags
) -> Reals:
    """The ratios after a step that was accepted; without a penalty the information is the curvature."""
    if not problem.firth or state.rounds == 0:
        return state.ratios
    score, information = at_trial
    step = np.where(problem.free, state.query.coefficients - state.accepted, 0.0)
    fall = np.where(problem.free, state.score - score, 0.0)
    secant = Secant(step[climbing], fall[climbing], keep_free(state.information, problem.free)[climbing])
    ratios = state.ratios.copy()
    ratios[climbing] = learn_ratios(information[climbing], ratios[climbing], secant)
    return ratios


def _bend(problem: Problem, information: Reals, ratios: Reals, climbing: Flags) -> Reals:
    if not problem.firth:
        return information
    curvature = information.copy()
    curvature[climbing] = bend_information(information[climbing], ratios[climbing])
    return curvature


def shorten_steps(steps: Reals, coefficients: Reals) -> Reals:
    """Steps from these coefficients, both of shape (models, d), of which none is longer than it may be."""
    longest = np.abs(steps).max(axis=1, keepdims=True)
    allowed = np.maximum(LONGEST_STEP, np.abs(coefficients).max(axis=1, keepdims=True))
    return np.asarray(steps * np.minimum(1.0, allowed / np.maximum(longest, allowed)))


def _newton_step(free: Flags, score: Reals, curvature: Reals, models: Flags) -> tuple[Reals, Reals]:
    """Steps, 0 where a coefficient is not free, and squared decrements; 0 and infinity for other models."""
    step, decrement = np.zeros(score.shape), np.full(len(score), np.inf)
    right = np.where(free[models], score[models], 0.0)
    step[models] = np.linalg.solve(curvature[models], right[:, :, np.newaxis])[:, :, 0]
    decrement[models] = np.sum(right * step[models], axis=1)
    return step, decrement


def evaluate_likelihood(problem: Problem, answer: Summary, asked: Flags) -> tuple[Reals, Reals, Reals]:
    """Log-likelihood, score and information of the models asked, penalised if the problem says so.

    Returns
    -------
    log_likelihood : float array, shape (models,)
        Minus infinity where the penalty has no bound, because the information is singular.
    score : float array, shape (models, d)
    information : float array, shape (models, d, d)
        1 on the diagonal where a model has no coefficient.
    """
    information = answer.reals["information"] + _absent_diagonal(problem)
    score, value = answer.reals["score"], answer.reals["log_likelihood"]
    if problem.firth:
        score, value = score.copy(), value.copy()
        value[asked] += np.where(find_singular(information[asked]), -np.inf, 0.0)
        regular = asked & np.isfinite(value)
        if problem.two_rounds:
            score += answer.reals["penalty"]
        else:
            inverse = np.linalg.inv(information[regular])
            score[regular] += np.einsum("mrst,mst->mr", answer.reals["third"][regular], inverse)
        value[regular] += np.linalg.slogdet(information[regular]).logabsdet / 2
    return value, score, information


def find_largest_shift(matrix: Reals, labels: Flags, first: NewtonQuestion, second: NewtonQuestion) -> float:
    """By how much a linear predictor of a patient differs between two questions about the same models.

    Parameters
    ----------
    matrix : float array, shape (n, columns)
        NaN where missing; each model uses the patients who have all of its columns.
    labels : bool array, shape (n,)
    first, second : (Problem, Query)
        Of the same columns; each standardises by its own constants.

    Returns
    -------
    float
        Over the patients and the active models; 0 without any.
    """
    asked = np.flatnonzero(first[1].active)
    largest = 0.0
    designs = (iterate_designs(matrix, labels, problem, asked) for problem, _ in (first, second))
    for blocks in zip(*designs, strict=True):
        predictors = [
            np.matmul(query.coefficients[asked][:, np.newaxis], x)
            for (x, _), (_, query) in zip(blocks, (first, second), strict=True)
        ]
        largest = max(largest, float(np.abs(predictors[0] - predictors[1]).max(initial=0.0)))
    return largest
