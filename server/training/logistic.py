"""Logistic models over sites: count the patients of each, then ask for moments and tables, then iterate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from common.messages.headers import Operation
from common.messages.questions import write_centre, write_newton
from common.plan.design import design_of
from common.stats.contract import Summary
from common.stats.covariates import drop_empty_levels
from common.stats.glm import LogisticResult
from common.stats.guard import Demand, GuardResult, finish_guard
from common.stats.minima import minima_of
from common.stats.newton import Query
from common.stats.public_centre import fit_about
from common.stats.stack import Problem
from server.exchange import Exchange

_NO_MEANS: Mapping[str, float] = MappingProxyType({})


def fit_over_sites(
    exchange: Exchange,
    sites: Sequence[str],
    regressions: Sequence[tuple[str, ...]],
    arm: str = "",
    means: Mapping[str, float] = _NO_MEANS,
) -> tuple[LogisticResult, ...]:
    """Every model, fitted to these sites' training patients in one Newton loop.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    sites : sequence of str
        Whose training patients.
    regressions : sequence of tuples of str
        The covariates of each model.
    arm : str
        To which the sites belong, and whose networks' scores are covariates; by default all training sites.
    means : mapping of str to float
        Public means of covariates that may lie far from 0, such as radiomics features; by default none.

    Returns
    -------
    tuple of LogisticResult
        In the order of the regressions; a model with too few patients is not fitted, and its status says so.
    """
    plan, design = exchange.plan, design_of(exchange.plan)
    minima = minima_of(plan.profile)
    counted = exchange.sum(
        Operation.GUARD, sites, stage="regression", arm=arm, regressions=tuple(regressions)
    )
    demands = tuple(
        Demand("regression", len(design.model(names).columns), one_site=len(sites) == 1)
        for names in regressions
    )
    guards = finish_guard(counted, demands, minima, two_site_ack=plan.two_site_ack)
    permitted = tuple(names for names, guard in zip(regressions, guards, strict=True) if guard.status.ok)
    fitted: dict[tuple[str, ...], LogisticResult] = {}
    if permitted:
        centre = design.centre_on(means)
        setup = exchange.sum(Operation.SETUP, sites, write_centre(centre), arm=arm, regressions=permitted)
        setup, models = drop_empty_levels(setup, [design.model(names) for names in permitted])

        def ask(problem: Problem, query: Query) -> Summary:
            return exchange.sum(Operation.NEWTON, sites, write_newton(problem, query), arm=arm)

        fitted = dict(zip(permitted, fit_about(centre, ask, setup, models, minima), strict=True))
    return tuple(
        fitted[names] if names in fitted else _withhold_fit(guard, exchange, names)
        for names, guard in zip(regressions, guards, strict=True)
    )


def _withhold_fit(guard: GuardResult, exchange: Exchange, names: tuple[str, ...]) -> LogisticResult:
    """The result of a model that the sites were not asked for, because too few patients stand behind it."""
    model = design_of(exchange.plan).model(names)
    return LogisticResult(
        model, (), None, None, (), guard.n_used, guard.n_missing, "not fitted", 0, guard.status
    )
