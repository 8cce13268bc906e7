"""Phase: describe the patients, with and without expansion, at each centre and together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.cohort.schema import Variable
from common.protocol import Operation
from common.stats.contingency import Tabulation, finish_contingency
from common.stats.contract import Summary, total
from common.stats.descriptive import Description, finish_descriptive
from common.stats.grid import QuantileType
from common.stats.minima import minima_of
from common.study import StudyPlan
from common.variables import DESCRIBED, grid_of
from server.exchange import Exchange


@dataclass(frozen=True)
class DescribedVariable:
    """One variable of one cohort.

    Attributes
    ----------
    variable : Variable
    continuous : tuple of Description or None
        Without and with expansion.
    categorical : Tabulation or None
        Of a categorical or binary variable.
    """

    variable: Variable
    continuous: tuple[Description, ...] | None
    categorical: Tabulation | None


@dataclass(frozen=True)
class CohortDescription:
    """Who the patients are.

    Attributes
    ----------
    by_site : mapping of str to tuple of DescribedVariable
    together : tuple of DescribedVariable
    """

    by_site: Mapping[str, tuple[DescribedVariable, ...]]
    together: tuple[DescribedVariable, ...]


def describe_cohorts(exchange: Exchange) -> CohortDescription:
    """Every variable of the paper's Table 1, at each site and over all of them."""
    replies = exchange.ask(Operation.COHORT, exchange.plan.site_names)
    summaries = {site: reply.summary for site, reply in replies.items()}
    return CohortDescription(
        {site: _describe(exchange.plan, summary) for site, summary in summaries.items()},
        _describe(exchange.plan, total(summaries.values())),
    )


def _describe(plan: StudyPlan, summary: Summary) -> tuple[DescribedVariable, ...]:
    return tuple(_finish(plan, variable, summary.part(variable.name)) for variable in DESCRIBED)


def _finish(plan: StudyPlan, variable: Variable, summary: Summary) -> DescribedVariable:
    minima = minima_of(plan.profile)
    if variable.kind == "continuous":
        kind: QuantileType = 6 if plan.profile == "replication" else 7
        described = finish_descriptive(summary, grid_of(variable), minima, kind)
        return DescribedVariable(variable, described, None)
    return DescribedVariable(variable, None, finish_contingency(summary, minima))
