"""Logistic regression over sites: many univariate models, or one multivariable, in one Newton loop.

`covariates.local_setup` sums once what standardisation, tables and collinearity need; `fit` asks until every
model is done, first by maximum likelihood, then by Firth's penalised likelihood for those that are separated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import chdtrc, ndtr

from common.stats.collinearity import InflationFactor, inflation_factors
from common.stats.contract import Summary, join
from common.stats.covariates import Model, Term, correlation, fittable, moments, zero_cell
from common.stats.estimate import OK, Interval, Status, Z, undefined
from common.stats.minima import STANDARD, Minima
from common.stats.newton import Query, State, advance, second_round, start
from common.stats.stack import Problem
from common.types import Reals

Ask: TypeAlias = Callable[[Problem, Query], Summary]
"""One round: the query to all sites, the sum of their `local_newton`."""
Places: TypeAlias = tuple[int, ...]
"""Of columns among a model's."""


LARGEST = 700.0
"""Of log odds, either way: beyond it their odds leave a float's range, and stand at its end."""


def odds(log_odds: Reals) -> Reals:
    """The odds, or odds ratios, of log odds."""
    return np.asarray(np.exp(np.clip(log_odds, -LARGEST, LARGEST)))


@dataclass(frozen=True)
class Coefficient:
    """One column's effect.

    Attributes
    ----------
    term : str
    column : int
    log_odds, standard_error, z, odds_ratio : float
        Per unit of the covariate.
    p : float
        Wald's; if Firth's, of the penalised likelihood ratio without this column.
    interval : Interval
        Of the odds ratio.
    p_likelihood_ratio : float
        Of leaving the whole term out; penalised if Firth's.
    """

    term: str
    column: int
    log_odds: float
    standard_error: float
    z: float
    p: float
    odds_ratio: float
    interval: Interval
    p_likelihood_ratio: float


@dataclass(frozen=True)
class LogisticResult:
    """One fitted model.

    Attributes
    ----------
    model : Model
    coefficients : tuple of Coefficient
        Empty unless the status is ok.
    intercept, log_likelihood : float or None
    inflation : tuple of InflationFactor
        One a term.
    n_used, n_missing : int or None
    method : str
        "maximum likelihood" or "Firth".
    rounds : int
    status : Status
    """

    model: Model
    coefficients: tuple[Coefficient, ...]
    intercept: float | None
    log_likelihood: float | None
    inflation: tuple[InflationFactor, ...]
    n_used: int | None
    n_missing: int | None
    method: str
    rounds: int
    status: Status


def fit(
    ask: Ask, setup: Summary, models: Sequence[Model], minima: Minima = STANDARD
) -> tuple[LogisticResult, ...]:
    """Every model fitted, in as many rounds as the slowest needs.

    Parameters
    ----------
    ask : callable
        Puts one query to all sites and returns the sum of their answers.
    setup : Summary
        The sum of `covariates.local_setup` over the sites.
    """
    states = [fittable(setup, row, model, minima) for row, model in enumerate(models)]
    fits: dict[int, _Fit] = {}
    likely = [
        row for row, status in enumerate(states) if status.ok and not zero_cell(setup, row, models[row])
    ]
    fits |= _fit_some(ask, setup, models, likely, firth=False)
    failed = [row for row, status in enumerate(states) if status.ok and row not in fits]
    fits |= _fit_some(ask, setup, models, failed, firth=True)
    return tuple(
        _result(setup, row, model, fits.get(row), (states[row], minima)) for row, model in enumerate(models)
    )


def entering(results: Sequence[LogisticResult], level: float = 0.05) -> tuple[Term, ...]:
    """Terms that go on to the multivariable model: those with any column's p below the level."""
    return tuple(
        term
        for result in results
        for term in result.model.terms
        if any(c.p < level for c in result.coefficients if c.term == term.name)
    )


@dataclass(frozen=True)
class _Fit:
    """One converged model on the covariates' own scale, and the log-likelihoods without some columns."""

    coefficients: Reals
    covariance: Reals
    log_likelihood: float
    without: Mapping[Places, float]
    firth: bool
    rounds: int


def _fit_some(
    ask: Ask, setup: Summary, models: Sequence[Model], rows: Sequence[int], *, firth: bool
) -> dict[int, _Fit]:
    """The models of these rows that converge; each travels with itself less some of its columns."""
    if not rows:
        return {}
    jobs = [(row, left) for row in rows for left in ((), *_left_out(models[row], firth=firth))]
    problem = _problem(setup, models, jobs, firth=firth)
    state = start(problem)
    while state.query.active.any():
        answer = ask(problem, state.query)
        if problem.two_rounds:
            answer = join([answer, ask(problem, second_round(problem, state.query, answer))])
        state = advance(state, problem, answer)
    fits = {}
    for row in rows:
        own = [index for index, (of, _) in enumerate(jobs) if of == row]
        if state.converged[own].all():
            without = {jobs[index][1]: float(state.log_likelihood[index]) for index in own[1:]}
            if len(own) == 1:
                without = {_places(models[row])[0]: _null(setup, row)}
            fits[row] = _on_own_scale(state, problem, own[0], without)
    return fits


def _left_out(model: Model, *, firth: bool) -> tuple[Places, ...]:
    """Without which columns a model is fitted, too: each term's, and each column of a factor if Firth's."""
    terms = _places(model)
    if firth:
        return (*terms, *((place,) for places in terms for place in places if len(places) > 1))
    # Less its only term a model is its intercept, whose likelihood needs no asking.
    return terms if len(terms) > 1 else ()


def _places(model: Model) -> tuple[Places, ...]:
    """The places of each term's columns among the model's."""
    ends = np.cumsum([len(term.columns) for term in model.terms]).tolist()
    return tuple(
        tuple(range(end - len(term.columns), end)) for term, end in zip(model.terms, ends, strict=True)
    )


def _null(setup: Summary, row: int) -> float:
    """Log-likelihood of the intercept alone."""
    classes = setup.counts["classes"][row]
    return float(np.sum(classes * np.log(classes / classes.sum())))


def _problem(
    setup: Summary, models: Sequence[Model], jobs: Sequence[tuple[int, Places]], *, firth: bool
) -> Problem:
    width = setup.reals["events"].shape[1]
    columns = np.full((len(jobs), width - 1), -1, dtype=np.int64)
    free = np.zeros((len(jobs), width), dtype=np.bool_)
    n_columns = 1 + max(column for model in models for column in model.columns)
    centre, scale = np.zeros(n_columns), np.ones(n_columns)
    for index, (row, left_out) in enumerate(jobs):
        model = models[row]
        own = np.array(model.columns, dtype=np.int64)
        columns[index, : own.size] = own
        free[index, 0] = True
        free[index, 1 : own.size + 1] = ~np.isin(np.arange(own.size), left_out)
        centre[own], scale[own] = moments(setup, row, model)
    return Problem(columns, free, centre, scale, firth)


def _on_own_scale(state: State, problem: Problem, full: int, without: Mapping[Places, float]) -> _Fit:
    present = np.flatnonzero(problem.present[full])
    columns = problem.columns[full][present[1:] - 1]
    centre, scale = problem.centre[columns], problem.scale[columns]
    back = np.diag(np.concatenate([[1.0], 1 / scale]))
    back[0, 1:] = -centre / scale
    covariance = np.linalg.inv(state.information[full][np.ix_(present, present)])
    return _Fit(
        coefficients=back @ state.accepted[full][present],
        covariance=back @ covariance @ back.T,
        log_likelihood=float(state.log_likelihood[full]),
        without=without,
        firth=problem.firth,
        rounds=state.rounds * (2 if problem.two_rounds else 1),
    )


def _result(
    setup: Summary, row: int, model: Model, fitted: _Fit | None, terms: tuple[Status, Minima]
) -> LogisticResult:
    status, minima = terms
    missing = minima.shown(int(setup.counts["missing"][row]))
    used = None if missing is None else minima.shown(int(setup.counts["classes"][row].sum()))
    if fitted is None:
        status = status if not status.ok else undefined("no convergence, not even penalised")
        return LogisticResult(model, (), None, None, (), used, missing, "not fitted", 0, status)
    sizes = [(term.name, len(term.columns)) for term in model.terms]
    inflation = inflation_factors(correlation(setup, row, model), sizes)
    return LogisticResult(
        model=model,
        coefficients=_coefficients(model, fitted),
        intercept=float(fitted.coefficients[0]),
        log_likelihood=fitted.log_likelihood,
        inflation=inflation,
        n_used=used,
        n_missing=missing,
        method="Firth" if fitted.firth else "maximum likelihood",
        rounds=fitted.rounds,
        status=OK,
    )


def _coefficients(model: Model, fitted: _Fit) -> tuple[Coefficient, ...]:
    beta = fitted.coefficients[1:]
    errors = np.sqrt(np.diag(fitted.covariance)[1:])
    z = beta / errors
    # scipy.special rather than scipy.stats: the same numbers without a distribution's overhead a call.
    p = 2 * ndtr(-np.abs(z))
    low, high = odds(beta - Z * errors), odds(beta + Z * errors)
    numbers = np.stack([beta, errors, z, p, odds(beta), low, high], axis=1).tolist()
    found: list[Coefficient] = []
    for term, places in zip(model.terms, _places(model), strict=True):
        p_ratio = _p_without(fitted, places)
        for place, column in zip(places, term.columns, strict=True):
            log_odds, error, wald, p_wald, ratio_of_odds, lower, upper = numbers[place]
            p_own = _p_without(fitted, (place,)) if fitted.firth else p_wald
            interval = Interval(lower, upper, "Wald")
            found.append(
                Coefficient(term.name, column, log_odds, error, wald, p_own, ratio_of_odds, interval, p_ratio)
            )
    return tuple(found)


def _p_without(fitted: _Fit, places: Places) -> float:
    """Of the likelihood ratio of the model and itself without these columns."""
    ratio = max(0.0, 2 * (fitted.log_likelihood - fitted.without[places]))
    return float(chdtrc(len(places), ratio))
