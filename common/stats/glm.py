"""Logistic regression over sites: many univariate models, or one multivariable, in one Newton loop.

`covariates.local_setup` sums once what standardisation, tables and collinearity need. `iterate_fit` then asks
the sites until every model is done: first by maximum likelihood, then by Firth's penalised likelihood for
models that are separated, then once more for the profile limits of all their coefficients.

A model is separated where a cell of covariate by outcome is empty, where its log-likelihood proves it, or
where Newton's method finds no maximum. A coefficient that is large on the standardised scale proves nothing:
one value of 1e6 among values near 60 stretches that scale. Such a value is named (`find_largest_shares`).

References
----------
Heinze G, Schemper M. Stat Med 2002;21:2409-2419. Huber PJ. Robust Statistics. 1981, section 7.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from scipy.special import chdtrc, ndtr

from common.stats.branches import find_below
from common.stats.collinearity import InflationFactor, inflation_factors
from common.stats.contract import Summary, join_summaries
from common.stats.covariates import Model, Term, correlation, fit_status, has_zero_cell, moments
from common.stats.dialogue import Dialogue, answer_all, relay
from common.stats.estimate import OK, Interval, Status, Z, undefined
from common.stats.minima import STANDARD, Minima
from common.stats.newton import (
    NewtonQuestion,
    NewtonState,
    Query,
    advance_newton,
    build_second_query,
    start_newton,
)
from common.stats.profile_limits import DROP, PROFILE, find_limits
from common.stats.stack import Problem
from common.types import Reals

Ask: TypeAlias = Callable[[Problem, Query], Summary]
"""One round: puts a query to all sites and returns the sum of their `local_newton`."""
ColumnPlaces: TypeAlias = tuple[int, ...]
"""Positions of columns among a model's columns, from 0."""

DECISIVE = 0.5
"""Share of a column's variance above which one patient's value is extreme: Huber avoids such leverages."""
_LOWER = 1e-6
"""By how much rounding may lower a log-likelihood at its maximum."""
LARGEST = 700.0
"""Absolute log odds beyond which the odds would overflow; larger ones are cut to this."""


def odds(log_odds: Reals) -> Reals:
    """The odds of log odds, or odds ratios of coefficients; same shape."""
    return np.asarray(np.exp(np.clip(log_odds, -LARGEST, LARGEST)))


@dataclass(frozen=True)
class Coefficient:
    """The effect of one column of a term.

    Attributes
    ----------
    term : str
        Name of the term.
    column : int
        The column of the design matrix.
    log_odds, standard_error, z, odds_ratio : float
        Per unit of the covariate.
    p : float
        Wald's p; with Firth's method, that of the penalised likelihood ratio without this column.
    interval : Interval
        95 % confidence interval of the odds ratio: Wald's; with Firth's method, of the profile penalised
        likelihood. A limit that was not found is NaN.
    limits : (float, float)
        The same in log odds, which no float overflows.
    p_likelihood_ratio : float
        P of the likelihood ratio without the whole term; penalised with Firth's method.
    largest_share : float or None
        Of the column's variance, the share that one patient makes up at least; None for a yes/no column, of
        which the table tells as much.
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
    limits: tuple[float, float]
    largest_share: float | None = None


@dataclass(frozen=True)
class LogisticResult:
    """One fitted model.

    Attributes
    ----------
    model : Model
        What was fitted.
    coefficients : tuple of Coefficient
        One per column, in the model's order; empty unless the status is ok.
    intercept : float or None
        Log odds with all covariates 0.
    log_likelihood : float or None
        At the maximum; penalised with Firth's method, on the scale of the covariates as they are.
    inflation : tuple of InflationFactor
        Variance inflation, one per term.
    n_used, n_missing : int or None
        Patients with all covariates, and those without; None where hidden.
    method : str
        "maximum likelihood", "Firth" or "not fitted".
    rounds : int
        Questions to the sites that the fit took.
    status : Status
        Whether the model may be fitted, can be, and converged.
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
    """The fit of every model, in as many rounds as the slowest model needs.

    Parameters
    ----------
    ask : callable
        Puts one query to all sites and returns the sum of their answers.
    setup : Summary
        The sum of `covariates.local_setup` over the sites.
    """
    return answer_all(iterate_fit(setup, models, minima), lambda question: ask(*question))


def iterate_fit(
    setup: Summary, models: Sequence[Model], minima: Minima = STANDARD
) -> Dialogue[NewtonQuestion, tuple[LogisticResult, ...]]:
    """The fit of every model, as `fit` gives it: yields each round's query, receives the sum."""
    states = [fit_status(setup, row, model, minima) for row, model in enumerate(models)]
    likely = [
        row for row, status in enumerate(states) if status.ok and not has_zero_cell(setup, row, models[row])
    ]
    by_likelihood = yield from _fit_some(setup, models, likely, firth=False)
    states = [by_likelihood.failures.get(row, status) for row, status in enumerate(states)]
    failed = [row for row, status in enumerate(states) if status.ok and row not in by_likelihood.fits]
    penalised = yield from _fit_some(setup, models, failed, firth=True)
    states = [penalised.failures.get(row, status) for row, status in enumerate(states)]
    fits, shares = by_likelihood.fits | penalised.fits, by_likelihood.shares | penalised.shares
    return tuple(
        _build_result(setup, row, model, (fits.get(row), shares.get(row)), (states[row], minima))
        for row, model in enumerate(models)
    )


def select_terms(results: Sequence[LogisticResult], level: float = 0.05) -> tuple[Term, ...]:
    """The terms for the multivariable model: those with a column whose p is below the level."""
    return tuple(
        term
        for result in results
        for term in result.model.terms
        if find_below(np.array([c.p for c in result.coefficients if c.term == term.name]), level).any()
    )


@dataclass(frozen=True)
class _Fit:
    """One converged model on the covariates' own scale, and its log-likelihoods without some columns."""

    coefficients: Reals
    covariance: Reals
    log_likelihood: float
    without: Mapping[ColumnPlaces, float]
    firth: bool
    rounds: int
    limits: Reals | None = None
    """Of Firth's method: lower and upper profile limit by column, shape (columns, 2), NaN where not found."""


@dataclass(frozen=True)
class _Attempt:
    """What one Newton loop gave, by row of the model.

    `shares` are those of `find_largest_shares`; `failures` say why a model has no fit by any method.
    """

    fits: dict[int, _Fit]
    shares: dict[int, Reals]
    failures: dict[int, Status]


def _fit_some(
    setup: Summary, models: Sequence[Model], rows: Sequence[int], *, firth: bool
) -> Dialogue[NewtonQuestion, _Attempt]:
    """The fits of these rows' models that converge; each is fitted together with its reduced models."""
    if not rows:
        return _Attempt({}, {}, {})
    jobs = [(row, left_out) for row in rows for left_out in ((), *_list_omissions(models[row], firth=firth))]
    problem = _build_problem(setup, models, jobs, firth=firth)
    state = start_newton(problem, fourth=True)
    answer = yield from _ask_step(problem, state.query)
    shares = {
        row: find_largest_shares(answer, index) for index, (row, left_out) in enumerate(jobs) if not left_out
    }
    state = advance_newton(state, problem, answer)
    while state.query.active.any():
        state = advance_newton(state, problem, (yield from _ask_step(problem, state.query)))
    fits: dict[int, _Fit] = {}
    failures: dict[int, Status] = {}
    for row in rows:
        own_jobs = [index for index, (job_row, _) in enumerate(jobs) if job_row == row]
        values = state.log_likelihood[own_jobs]
        # A model cannot fit better with less; if it does, Newton's method stopped at a lower maximum.
        if state.converged[own_jobs].all() and find_below(_LOWER, values.max() - values[0]):
            failures[row] = undefined("its penalised likelihood has more than one maximum")
        elif state.converged[own_jobs].all():
            without = {jobs[index][1]: float(state.log_likelihood[index]) for index in own_jobs[1:]}
            if len(own_jobs) == 1:
                without = {_places_of(models[row])[0]: _null_log_likelihood(setup, row)}
            fits[row] = _unstandardise(state, problem, own_jobs[0], without)
        elif firth or (not state.separated[own_jobs].any() and _name_extreme(models[row], shares[row])):
            # Without a proof of separation an extreme value may be the reason as well.
            failures[row] = _explain_failure(models[row], shares[row])
    if firth and fits:
        fits = yield from _add_limits(problem, state, jobs, fits)
    return _Attempt(fits, shares, failures)


def find_largest_shares(first: Summary, index: int) -> Reals:
    """The share of each column's variance that one patient makes up at least, shape (columns,).

    Fourth powers add up to at most the largest square times the sum of squares. So the largest square's share
    of that sum, which is the patient's leverage in a model of this column (but for 1 / n), is at least the
    fourth powers' sum over the square of the squares' sum: kurtosis over n. It does not tell which patient.

    Parameters
    ----------
    first : Summary
        The answer to a first query, which asks for fourth powers. There all coefficients are 0, so that the
        information is a quarter of the squares' sum.
    index : int
        Of the model in the answer.
    """
    squares = 4 * np.diag(first.reals["information"][index])[1:]
    return np.asarray(first.reals["fourth"][index, 1:] / np.where(squares > 0, squares, 1.0) ** 2)


def _name_extreme(model: Model, shares: Reals) -> tuple[str, ...]:
    """The covariates of which one patient's value makes up most of the variance."""
    return tuple(
        term.name
        for term, places in zip(model.terms, _places_of(model), strict=True)
        if not term.binary and max(shares[place] for place in places) > DECISIVE
    )


def _explain_failure(model: Model, shares: Reals) -> Status:
    names = _name_extreme(model, shares)
    if not names:
        return undefined("no convergence, not even penalised")
    return undefined(
        f"no convergence: one patient's value makes up most of the variance of {', '.join(names)}"
    )


def _ask_step(problem: Problem, query: Query) -> Dialogue[NewtonQuestion, Summary]:
    """The answer to one step's question, in one round or two."""
    answer = yield problem, query
    if not problem.two_rounds:
        return answer
    return join_summaries([answer, (yield problem, build_second_query(problem, query, answer))])


def _add_limits(
    problem: Problem,
    fitted: NewtonState,
    jobs: Sequence[tuple[int, ColumnPlaces]],
    fits: Mapping[int, _Fit],
) -> Dialogue[NewtonQuestion, dict[int, _Fit]]:
    """The fits with the profile limits of all their coefficients, searched together."""
    full = [index for index, (row, left_out) in enumerate(jobs) if row in fits and not left_out]
    search = find_limits(problem, fitted, full)
    limits, rounds = yield from relay(search, lambda question: _ask_step(*question))
    rounds *= 2 if problem.two_rounds else 1
    return {
        row: replace(fit, limits=_drop_contradictions(fit, limits[index]), rounds=fit.rounds + rounds)
        for index, (row, fit) in zip(full, fits.items(), strict=True)
    }


def _drop_contradictions(fit: _Fit, limits: Reals) -> Reals:
    """The limits, NaN where they and the likelihood ratio disagree about 0: the profile has several peaks."""
    consistent = limits.copy()
    for place, (low, high) in enumerate(limits):
        beyond = fit.log_likelihood - fit.without[(place,)] > DROP
        if (low <= 0 <= high) == beyond:
            consistent[place] = np.nan
    return consistent


def _list_omissions(model: Model, *, firth: bool) -> tuple[ColumnPlaces, ...]:
    """The columns without which a model is also fitted: each term's; with Firth, each of a factor too."""
    terms = _places_of(model)
    if firth:
        return (*terms, *((place,) for places in terms for place in places if len(places) > 1))
    # Without its only term a model is the intercept alone, whose likelihood is known without asking.
    return terms if len(terms) > 1 else ()


def _places_of(model: Model) -> tuple[ColumnPlaces, ...]:
    """The positions of each term's columns among the model's columns."""
    ends = np.cumsum([len(term.columns) for term in model.terms]).tolist()
    return tuple(
        tuple(range(end - len(term.columns), end)) for term, end in zip(model.terms, ends, strict=True)
    )


def _null_log_likelihood(setup: Summary, row: int) -> float:
    """The log-likelihood of the intercept alone."""
    classes = setup.counts["classes"][row]
    return float(np.sum(classes * np.log(classes / classes.sum())))


def _build_problem(
    setup: Summary, models: Sequence[Model], jobs: Sequence[tuple[int, ColumnPlaces]], *, firth: bool
) -> Problem:
    width = setup.reals["events"].shape[1]
    columns = np.full((len(jobs), width - 1), -1, dtype=np.int64)
    free = np.zeros((len(jobs), width), dtype=np.bool_)
    n_columns = 1 + max(column for model in models for column in model.columns)
    centre, scale = np.zeros(n_columns), np.ones(n_columns)
    for index, (row, left_out) in enumerate(jobs):
        model = models[row]
        model_columns = np.array(model.columns, dtype=np.int64)
        columns[index, : model_columns.size] = model_columns
        free[index, 0] = True
        free[index, 1 : model_columns.size + 1] = ~np.isin(np.arange(model_columns.size), left_out)
        centre[model_columns], scale[model_columns] = moments(setup, row, model)
    return Problem(columns, free, centre, scale, firth)


def _unstandardise(
    state: NewtonState, problem: Problem, full: int, without: Mapping[ColumnPlaces, float]
) -> _Fit:
    present = np.flatnonzero(problem.present[full])
    columns = problem.columns[full][present[1:] - 1]
    centre, scale = problem.centre[columns], problem.scale[columns]
    back = np.diag(np.concatenate([[1.0], 1 / scale]))
    back[0, 1:] = -centre / scale
    covariance = np.linalg.inv(state.information[full][np.ix_(present, present)])
    # The penalty is half the log determinant of the information, which depends on the covariates' scale.
    shift = float(np.log(scale).sum()) if problem.firth else 0.0
    return _Fit(
        coefficients=back @ state.accepted[full][present],
        covariance=back @ covariance @ back.T,
        log_likelihood=float(state.log_likelihood[full]) + shift,
        without={places: value + shift for places, value in without.items()},
        firth=problem.firth,
        rounds=state.rounds * (2 if problem.two_rounds else 1),
    )


def _build_result(
    setup: Summary,
    row: int,
    model: Model,
    attempt: tuple[_Fit | None, Reals | None],
    terms: tuple[Status, Minima],
) -> LogisticResult:
    (fitted, shares), (status, minima) = attempt, terms
    missing = minima.show(int(setup.counts["missing"][row]))
    used = None if missing is None else minima.show(int(setup.counts["classes"][row].sum()))
    if fitted is None:
        return LogisticResult(model, (), None, None, (), used, missing, "not fitted", 0, status)
    sizes = [(term.name, len(term.columns)) for term in model.terms]
    inflation = inflation_factors(correlation(setup, row, model), sizes)
    return LogisticResult(
        model=model,
        coefficients=_build_coefficients(model, fitted, shares),
        intercept=float(fitted.coefficients[0]),
        log_likelihood=fitted.log_likelihood,
        inflation=inflation,
        n_used=used,
        n_missing=missing,
        method="Firth" if fitted.firth else "maximum likelihood",
        rounds=fitted.rounds,
        status=OK,
    )


def _build_coefficients(model: Model, fitted: _Fit, shares: Reals | None) -> tuple[Coefficient, ...]:
    beta = fitted.coefficients[1:]
    errors = np.sqrt(np.diag(fitted.covariance)[1:])
    z = beta / errors
    # scipy.special rather than scipy.stats: the same numbers without the overhead of a distribution object.
    p = 2 * ndtr(-np.abs(z))
    limits = _limits_of(fitted)
    numbers = np.stack([beta, errors, z, p, odds(beta), *odds(limits).T], axis=1).tolist()
    method = "Wald" if fitted.limits is None else PROFILE
    coefficients: list[Coefficient] = []
    for term, places in zip(model.terms, _places_of(model), strict=True):
        p_ratio = _p_without(fitted, places)
        for place, column in zip(places, term.columns, strict=True):
            log_odds, error, wald, p_wald, ratio_of_odds, lower, upper = numbers[place]
            p_own = _p_without(fitted, (place,)) if fitted.firth else p_wald
            share = None if shares is None or term.binary else float(shares[place])
            coefficients.append(
                Coefficient(
                    *(term.name, column, log_odds, error, wald, p_own, ratio_of_odds),
                    interval=Interval(lower, upper, method),
                    p_likelihood_ratio=p_ratio,
                    limits=(float(limits[place, 0]), float(limits[place, 1])),
                    largest_share=share,
                )
            )
    return tuple(coefficients)


def _limits_of(fitted: _Fit) -> Reals:
    """Lower and upper limit of each column's log odds, shape (columns, 2): the profile's, or Wald's."""
    if fitted.limits is not None:
        return fitted.limits
    half = Z * np.sqrt(np.diag(fitted.covariance)[1:])
    return np.asarray(fitted.coefficients[1:, np.newaxis] + np.stack([-half, half], axis=1))


def _p_without(fitted: _Fit, places: ColumnPlaces) -> float:
    """P of the likelihood ratio of the model to itself without these columns."""
    ratio = max(0.0, 2 * (fitted.log_likelihood - fitted.without[places]))
    return float(chdtrc(len(places), ratio))
