"""Logistic regression of covariates far from 0: about public centres, near which the sites' sums are taken.

The products of a covariate near 10^9 that varies by 1 keep no digit of what it varies by. Setup and fit see
the covariates less public constants; sites standardise the covariates, and what is returned is of them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from common.stats.contract import Summary
from common.stats.covariates import Model
from common.stats.dialogue import Dialogue, answer_all, relay
from common.stats.glm import Ask, LogisticResult, iterate_fit
from common.stats.minima import STANDARD, Minima
from common.stats.newton import NewtonQuestion
from common.types import Reals


def fit_about(
    centre: Reals, ask: Ask, setup: Summary, models: Sequence[Model], minima: Minima = STANDARD
) -> tuple[LogisticResult, ...]:
    """The fit of every model, as `common.stats.glm.fit` does, from a setup about public centres.

    Parameters
    ----------
    centre : float array, shape (columns of the design matrix,)
        Subtracted from each column in the setup; 0 where nothing was.
    ask : callable
        Puts a query about the design matrix itself to all sites and returns the sum of their answers.
    setup : Summary
        The sum of `covariates.local_setup` of the design matrix less the centres.
    """
    return answer_all(iterate_fit_about(centre, setup, models, minima), lambda question: ask(*question))


def iterate_fit_about(
    centre: Reals, setup: Summary, models: Sequence[Model], minima: Minima = STANDARD
) -> Dialogue[NewtonQuestion, tuple[LogisticResult, ...]]:
    """The fit of every model, as `fit_about` gives it.

    Yields
    ------
    Problem, Query
        One round's query about the design matrix itself; the sum of the sites' `local_newton` comes back.
    """

    def ask_about(question: NewtonQuestion) -> Dialogue[NewtonQuestion, Summary]:
        problem, query = question
        return (yield replace(problem, centre=problem.centre + centre[: problem.centre.size]), query)

    results = yield from relay(iterate_fit(setup, models, minima), ask_about)
    return tuple(_move_origin(result, centre) for result in results)


def _move_origin(result: LogisticResult, centre: Reals) -> LogisticResult:
    """The result with the intercept where all covariates are 0, not at their centres."""
    if result.intercept is None:
        return result
    moved = sum(effect.log_odds * float(centre[effect.column]) for effect in result.coefficients)
    return replace(result, intercept=result.intercept - moved)
