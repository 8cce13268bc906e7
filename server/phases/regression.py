"""Phase: which variables predict expansion in the training patients (Table 2)."""

from __future__ import annotations

from dataclasses import dataclass

from common.stats.glm import LogisticResult, select_terms
from server.exchange import Exchange
from server.training.logistic import fit_over_sites


@dataclass(frozen=True)
class Screening:
    """One logistic model for each candidate, then one model of all candidates that entered.

    Attributes
    ----------
    sites : tuple of str
        Whose training patients.
    candidates : tuple of str
        Names of the covariates, in the plan's order.
    univariate : tuple of LogisticResult
        One result for each candidate, in the same order.
    entered : tuple of str
        Candidates with a p value below the plan's limit.
    multivariable : LogisticResult or None
        The model of the candidates that entered; None if none did.
    """

    sites: tuple[str, ...]
    candidates: tuple[str, ...]
    univariate: tuple[LogisticResult, ...]
    entered: tuple[str, ...]
    multivariable: LogisticResult | None


def screen_predictors(exchange: Exchange) -> Screening:
    """Table 2, on the training patients of all training sites."""
    return screen_candidates(exchange, exchange.plan.training_sites)


def screen_candidates(exchange: Exchange, sites: tuple[str, ...], arm: str = "") -> Screening:
    """The univariate models of all candidates, in one Newton loop, then one model of those that enter.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    sites : tuple of str
        Whose training patients.
    arm : str
        To which the sites belong; by default all training sites.
    """
    plan = exchange.plan
    candidates = plan.regression.candidates
    univariate = fit_over_sites(exchange, sites, [(name,) for name in candidates], arm)
    entered = tuple(term.name for term in select_terms(univariate, plan.regression.entry_p))
    multivariable = None
    if entered:
        (multivariable,) = fit_over_sites(exchange, sites, [entered], arm)
    return Screening(sites, candidates, univariate, entered, multivariable)
