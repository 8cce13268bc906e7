"""Phase: describe the patients, with and without expansion, at each centre and together (Table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.protocol import Operation
from common.stats.contract import Summary, total
from common.stats.grid import QuantileType
from common.stats.minima import minima_of
from common.stats.table_one import TableRow, finish_table_one
from common.study import StudyPlan
from common.variables import TABLE_VARIABLES
from server.exchange import Exchange


@dataclass(frozen=True)
class CohortDescription:
    """Who the patients are; rows in the order of `common.variables.DESCRIBED`.

    Attributes
    ----------
    by_site : mapping of str to tuple of TableRow
    together : tuple of TableRow
    """

    by_site: Mapping[str, tuple[TableRow, ...]]
    together: tuple[TableRow, ...]


def describe_cohorts(exchange: Exchange) -> CohortDescription:
    """Every variable of the paper's Table 1, at each site and over all of them."""
    replies = exchange.ask(Operation.COHORT, exchange.plan.site_names)
    summaries = {site: reply.summary for site, reply in replies.items()}
    return CohortDescription(
        {site: _finish(exchange.plan, summary) for site, summary in summaries.items()},
        _finish(exchange.plan, total(summaries.values())),
    )


def _finish(plan: StudyPlan, summary: Summary) -> tuple[TableRow, ...]:
    """The paper's quantiles are those of SPSS (type 6)."""
    kind: QuantileType = 6 if plan.profile == "replication" else 7
    return finish_table_one(summary, TABLE_VARIABLES, minima_of(plan.profile), kind)
