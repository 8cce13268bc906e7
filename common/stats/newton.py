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
from scipy.special import expit

from common.stats.contract import Summary
from common.types import Counts, Flags, Reals

CONVERGED = 1e-18
"""Of the squared Newton decrement."""
MAXIMUM_ROUNDS = 25
MAXIMUM_ROUNDS_FIRTH = 60
_SEPARATED = 10.0
"""A standardised coefficient beyond this is taken to run to infinity."""


@dataclass(frozen=True)
class Problem:
    """Several models on the columns of one design matrix, padded to one width.

    Attributes
    ----------
    columns : int array, shape (models, d - 1)
        Columns of the design matrix; -1 beyond a model's own.
    free : bool array, shape (models, d)
        Which coefficients are estimated, the intercept first; the others stay as they begin.
    centre, scale : float arrays, shape (columns of the design matrix,)
        For standardisation.
    firth : bool
        Whether the likelihood is penalised.
    """

    columns: Counts
    free: Flags
    centre: Reals
    scale: Reals
    firth: bool

    @property
    def present(self) -> Flags:
        """Which of the d coefficients a model has at all, shape (models, d)."""
        return np.concatenate([np.ones((len(self.columns), 1), dtype=np.bool_), self.columns >= 0], axis=1)


@dataclass(frozen=True)
class Query:
    """What the coordinator broadcasts.

    Attributes
    ----------
    coefficients : float array, shape (models, d)
        On the standardised scale.
    active : bool array, shape (models,)
        Models not finished yet.
    """

    coefficients: Reals
    active: Flags


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


def design_of(matrix: Reals, problem: Problem, model: int) -> tuple[Reals, Flags]:
    """One model's standardised covariates, an intercept first, and which patients have all of them.

    Returns
    -------
    design : float array, shape (patients with all, d)
        0 where the model has no coefficient.
    complete : bool array, shape (n,)
    """
    columns = problem.columns[model]
    own = columns[columns >= 0]
    values = (matrix[:, own] - problem.centre[own]) / problem.scale[own]
    complete = np.asarray(~np.isnan(values).any(axis=1))
    design = np.zeros((np.count_nonzero(complete), columns.size + 1))
    design[:, 0] = 1
    design[:, 1 : own.size + 1] = values[complete]
    return design, complete


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
        penalty "third" (models, d, d, d), the sums of w (1/2 - p) x x x.
    """
    models, width = problem.free.shape
    score, information = np.zeros((models, width)), np.zeros((models, width, width))
    log_likelihood = np.zeros(models)
    third = np.zeros((models, width, width, width))
    for model in np.flatnonzero(query.active):
        x, complete = design_of(matrix, problem, int(model))
        y = labels[complete].astype(np.float64)
        eta = x @ query.coefficients[model]
        p = expit(eta)
        weight = p * (1 - p)
        score[model] = x.T @ (y - p)
        information[model] = (x.T * weight) @ x
        log_likelihood[model] = np.sum(y * eta - np.logaddexp(0, eta))
        if problem.firth:
            third[model] = np.einsum("n,nr,ns,nt->rst", weight * (0.5 - p), x, x, x, optimize=True)
    reals = {"score": score, "information": information, "log_likelihood": log_likelihood}
    return Summary(reals=reals | ({"third": third} if problem.firth else {}))


def advance(state: State, problem: Problem, answer: Summary) -> State:
    """The next question: a step, half a step if the likelihood fell, or none if a model is done."""
    accepted, step = state.accepted.copy(), state.step.copy()
    likelihood, information = state.log_likelihood.copy(), state.information.copy()
    converged, separated = state.converged.copy(), state.separated.copy()
    trial = state.query.coefficients.copy()
    for model in np.flatnonzero(state.query.active):
        value, score, matrix = _evaluate(problem, answer, int(model))
        if value < likelihood[model] - _SLACK * max(1.0, abs(value)):
            step[model] /= 2
            trial[model] = accepted[model] + step[model]
            continue
        accepted[model], likelihood[model], information[model] = trial[model], value, matrix
        step[model] = 0
        free = np.flatnonzero(problem.free[model])
        step[model, free] = np.linalg.solve(matrix[np.ix_(free, free)], score[free])
        converged[model] = score[free] @ step[model, free] < CONVERGED
        beyond = np.abs(accepted[model, 1:]).max(initial=0.0) > _SEPARATED
        separated[model] = beyond and not problem.firth
        if not converged[model]:
            trial[model] = accepted[model] + step[model]
    limit = MAXIMUM_ROUNDS_FIRTH if problem.firth else MAXIMUM_ROUNDS
    rounds = state.rounds + 1
    active = state.query.active & ~converged & ~separated & (rounds < limit)
    return replace(
        state,
        query=Query(trial, active),
        accepted=accepted,
        step=step,
        log_likelihood=likelihood,
        information=information,
        converged=converged,
        separated=separated,
        rounds=rounds,
    )


_SLACK = 1e-13


def _evaluate(problem: Problem, answer: Summary, model: int) -> tuple[float, Reals, Reals]:
    """Log-likelihood, score and information, penalised if the problem says so."""
    present = problem.present[model]
    information = answer.reals["information"][model] + np.diag(~present)
    score = answer.reals["score"][model]
    value = float(answer.reals["log_likelihood"][model])
    if problem.firth:
        inverse = np.linalg.inv(information)
        score = score + np.einsum("rst,st->r", answer.reals["third"][model], inverse)
        value += float(np.linalg.slogdet(information).logabsdet) / 2
    return value, score, information
