"""Newton's method for many logistic models at once: what one round asks, answers and concludes.

The coordinator broadcasts a `Query`; every site answers with `local_newton`; `advance` turns the sum into the
next query. Covariates are standardised by public constants; an intercept comes first in every model.

References
----------
Firth D. Biometrika 1993;80:27-38. Heinze G, Schemper M. Stat Med 2002;21:2409-2419.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.stats.contract import Summary
from common.stats.stack import Problem, designs
from common.types import Flags, Reals

CONVERGED = 1e-18
"""Of the squared Newton decrement."""
MAXIMUM_ROUNDS = 25
MAXIMUM_ROUNDS_FIRTH = 60
_SEPARATED = 10.0
"""A standardised coefficient beyond this is taken to run to infinity."""
_SLACK = 1e-13
"""Share by which rounding alone may lower a log-likelihood."""


@dataclass(frozen=True)
class Query:
    """What the coordinator broadcasts.

    Attributes
    ----------
    coefficients : float array, shape (models, d)
        On the standardised scale.
    active : bool array, shape (models,)
        Models not finished yet.
    inverse : float array, shape (models, d, d), or None
        Of the pooled information: asks for the penalty of the score alone, a step's second round.
    """

    coefficients: Reals
    active: Flags
    inverse: Reals | None = None


@dataclass(frozen=True)
class State:
    """Where the iteration stands; stays at the coordinator.

    Attributes
    ----------
    query : Query
        The next question.
    accepted, step : float arrays, shape (models, d)
        The last coefficients that raised the likelihood, and the step tried from there.
    log_likelihood : float array, shape (models,)
        At `accepted`; penalised if Firth's.
    information : float array, shape (models, d, d)
        At `accepted`; 1 on the diagonal where a model has no coefficient.
    converged, separated : bool arrays, shape (models,)
    rounds : int
        Asked so far.
    """

    query: Query
    accepted: Reals
    step: Reals
    log_likelihood: Reals
    information: Reals
    converged: Flags
    separated: Flags
    rounds: int


def start(problem: Problem, coefficients: Reals | None = None) -> State:
    """Where to begin: all coefficients 0, or those given; what is not free stays as it begins.

    Parameters
    ----------
    coefficients : float array, shape (models, d)
        On the standardised scale.
    """
    models, width = problem.free.shape
    nothing = np.zeros((models, width))
    first = nothing if coefficients is None else coefficients
    no = np.zeros(models, dtype=np.bool_)
    return State(
        query=Query(first, ~no),
        accepted=first,
        step=nothing,
        log_likelihood=np.full(models, -np.inf),
        information=np.zeros((models, width, width)),
        converged=no,
        separated=no,
        rounds=0,
    )


def local_newton(matrix: Reals, labels: Flags, problem: Problem, query: Query) -> Summary:
    """Score, information and log-likelihood of every active model at one site.

    Parameters
    ----------
    matrix : float array, shape (n, columns)
        NaN where missing; each model uses the patients who have all of its columns.
    labels : bool array, shape (n,)

    Returns
    -------
    Summary
        Reals "score" (models, d), "information" (models, d, d), "log_likelihood" (models,), and with Firth's
        penalty in one round "third" (models, d, d, d), the sums of w (1/2 - p) x x x. To a query with an
        inverse, "penalty" (models, d) alone: the sums of h (1/2 - p) x, h being the leverage.
    """
    if query.inverse is not None:
        return _local_penalty(matrix, labels, problem, query, query.inverse)
    models, width = problem.free.shape
    asked = np.flatnonzero(query.active)
    score, information = np.zeros((models, width)), np.zeros((models, width, width))
    log_likelihood = np.zeros(models)
    third = np.zeros((models, width, width, width) if problem.third else 0)
    for x, sign in designs(matrix, labels, problem, asked):
        patients = weigh(x, sign, query.coefficients[asked])
        weighted = x * patients.weight[:, np.newaxis]
        score[asked] += np.matmul(x, patients.residual[:, :, np.newaxis])[:, :, 0]
        information[asked] += np.matmul(weighted, x.transpose(0, 2, 1))
        # The intercept's 1 is 0 where a covariate is missing.
        log_likelihood[asked] += np.sum(x[:, 0] * patients.log_likelihood, axis=1)
        if problem.third:
            weighted *= (patients.residual - sign / 2)[:, np.newaxis]
            third[asked] += np.einsum("mrn,msn,mtn->mrst", weighted, x, x, optimize=True)
    reals = {"score": score, "information": information, "log_likelihood": log_likelihood}
    return Summary(reals=reals | ({"third": third} if problem.third else {}))


def second_round(problem: Problem, query: Query, first: Summary) -> Query:
    """A step's second question, from the pooled answer to the first."""
    inverse = np.zeros((*problem.free.shape, problem.free.shape[1]))
    inverse[query.active] = np.linalg.inv((first.reals["information"] + _absent(problem))[query.active])
    return replace(query, inverse=inverse)


def _local_penalty(matrix: Reals, labels: Flags, problem: Problem, query: Query, inverse: Reals) -> Summary:
    penalty = np.zeros(problem.free.shape)
    asked = np.flatnonzero(query.active)
    for x, sign in designs(matrix, labels, problem, asked):
        patients = weigh(x, sign, query.coefficients[asked])
        leverage = patients.weight * np.sum(x * np.matmul(inverse[asked], x), axis=1)
        penalty[asked] += np.matmul(x, (leverage * (patients.residual - sign / 2))[:, :, np.newaxis])[:, :, 0]
    return Summary(reals={"penalty": penalty})


def _absent(problem: Problem) -> Reals:
    """1 on the diagonal where a model has no coefficient, shape (models, d, d)."""
    return np.asarray(np.eye(problem.free.shape[1]) * ~problem.present[:, np.newaxis])


@dataclass(frozen=True)
class Weighed:
    """Every patient under every model: outcome less probability p, p (1 - p), log-likelihood.

    Float arrays, shape (models, patients).
    """

    residual: Reals
    weight: Reals
    log_likelihood: Reals


def weigh(x: Reals, sign: Reals, coefficients: Reals) -> Weighed:
    """What each patient adds to a logistic likelihood, by one exponential, free of overflow.

    Parameters
    ----------
    x : float array, shape (models, d, patients), or (1, d, patients) for all models
    sign : float array, shape (patients,)
        1 for a positive, -1 for a negative.
    coefficients : float array, shape (models, d)
    """
    margin = np.matmul(coefficients[:, np.newaxis], x)[:, 0] * sign
    small = np.exp(-np.abs(margin))
    whole = 1 + small
    # log(1 + e) rather than log1p: three times faster, and as exact beside the sum's other terms.
    log_likelihood = np.minimum(margin, 0) - np.log(whole)
    residual = sign * np.where(margin > 0, small, 1.0) / whole
    return Weighed(residual, small / whole**2, log_likelihood)


def advance(state: State, problem: Problem, answer: Summary) -> State:
    """The next question: a step, half a step if the likelihood fell, or none if a model is done."""
    asked = state.query.active
    trial = state.query.coefficients
    value, score, information = _evaluate(problem, answer, asked)
    fell = asked & (value < state.log_likelihood - _SLACK * np.maximum(1.0, np.abs(value)))
    rose = asked & ~fell
    newton, decrement = _newton_step(problem.free, score, information, rose)
    accepted = np.where(rose[:, np.newaxis], trial, state.accepted)
    step = np.where(rose[:, np.newaxis], newton, np.where(fell[:, np.newaxis], state.step / 2, state.step))
    converged = state.converged | (rose & (decrement < CONVERGED))
    beyond = np.abs(accepted * problem.free)[:, 1:].max(axis=1, initial=0.0) > _SEPARATED
    separated = state.separated | (rose & beyond & (not problem.firth))
    limit = MAXIMUM_ROUNDS_FIRTH if problem.firth else MAXIMUM_ROUNDS
    rounds = state.rounds + 1
    moving = asked & ~converged
    return State(
        query=Query(
            np.where(moving[:, np.newaxis], accepted + step, trial),
            moving & ~separated & (rounds < limit),
        ),
        accepted=accepted,
        step=step,
        log_likelihood=np.where(rose, value, state.log_likelihood),
        information=np.where(rose[:, np.newaxis, np.newaxis], information, state.information),
        converged=converged,
        separated=separated,
        rounds=rounds,
    )


def _newton_step(free: Flags, score: Reals, information: Reals, models: Flags) -> tuple[Reals, Reals]:
    """Steps, 0 where a coefficient is not free, and squared decrements; 0 and infinite for other models."""
    step, decrement = np.zeros(score.shape), np.full(len(score), np.inf)
    own = free[models]
    both = own[:, :, np.newaxis] & own[:, np.newaxis]
    matrix = np.where(both, information[models], np.eye(own.shape[1]))
    right = np.where(own, score[models], 0.0)
    step[models] = np.linalg.solve(matrix, right[:, :, np.newaxis])[:, :, 0]
    decrement[models] = np.sum(right * step[models], axis=1)
    return step, decrement


def _evaluate(problem: Problem, answer: Summary, asked: Flags) -> tuple[Reals, Reals, Reals]:
    """Log-likelihood, score and information of the models asked, penalised if the problem says so."""
    information = answer.reals["information"] + _absent(problem)
    score, value = answer.reals["score"], answer.reals["log_likelihood"]
    if problem.firth:
        score, value = score.copy(), value.copy()
        if problem.two_rounds:
            score += answer.reals["penalty"]
        else:
            inverse = np.linalg.inv(information[asked])
            score[asked] += np.einsum("mrst,mst->mr", answer.reals["third"][asked], inverse)
        value[asked] += np.linalg.slogdet(information[asked]).logabsdet / 2
    return value, score, information
