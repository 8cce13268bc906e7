"""Phase: what predicts expansion in the training patients (Table 2)."""

from __future__ import annotations

from dataclasses import dataclass

from common.stats.glm import LogisticResult, entering
from server.exchange import Exchange
from server.regressions import fit_over_sites


@dataclass(frozen=True)
class Screening:
    """The candidates one by one, then those that entered together.

    Attributes
    ----------
    sites : tuple of str
        Whose training patients.
    candidates : tuple of str
        Names of the covariates, in the plan's order.
    univariate : tuple of LogisticResult
        One a candidate.
    entered : tuple of str
        Candidates with a p below the plan's.
    multivariable : LogisticResult or None
        None if none entered.
    """

    sites: tuple[str, ...]
    candidates: tuple[str, ...]
    univariate: tuple[LogisticResult, ...]
    entered: tuple[str, ...]
    multivariable: LogisticResult | None


def screen_predictors(exchange: Exchange) -> Screening:
    """Table 2: the training patients of all training sites."""
    return screen(exchange, exchange.plan.training_sites)


def screen(exchange: Exchange, sites: tuple[str, ...], arm: str = "") -> Screening:
    """A univariate model of every candidate in one Newton loop, then one model of those that enter.

    Parameters
    ----------
    arm : str
        Whose sites they are; by default all training sites.
    """
    plan = exchange.plan
    candidates = plan.regression.candidates
    univariate = fit_over_sites(exchange, sites, [(name,) for name in candidates], arm)
    entered = tuple(term.name for term in entering(univariate, plan.regression.entry_p))
    multivariable = None
    if entered:
        (multivariable,) = fit_over_sites(exchange, sites, [entered], arm)
    return Screening(sites, candidates, univariate, entered, multivariable)
