"""Phase: describe the patients, with and without expansion, by cohort and by centre (Table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from common.headers import Operation
from common.matrix import TABLE_PARTS, TablePart
from common.stats.contract import Summary, total
from common.stats.estimate import Status, suppressed
from common.stats.grid import QuantileType
from common.stats.guard import Demand, GuardResult, finish_guard
from common.stats.minima import minima_of
from common.stats.partition import hides, protect_parts
from common.stats.table_one import TableRow, finish_table_one, withheld_row
from common.study import StudyPlan
from common.variables import DESCRIBED, table_variables
from server.exchange import Exchange

ColumnPart: TypeAlias = Literal["training", "internal", "external", "whole"]


@dataclass(frozen=True)
class TableColumn:
    """One cohort of the table.

    Attributes
    ----------
    site : str or None
        None for a cohort of several centres, or of whichever holds it.
    part : {"training", "internal", "external", "whole"}
        The paper's three cohorts, or everybody.
    sites : tuple of str
        Whose patients.
    taken : {"training", "test", "whole"}
        Which of them.
    """

    site: str | None
    part: ColumnPart
    sites: tuple[str, ...]
    taken: TablePart


@dataclass(frozen=True)
class DescribedColumn:
    """One cohort with its rows, in the order of `common.variables.DESCRIBED`."""

    column: TableColumn
    rows: tuple[TableRow, ...]


def describe_cohorts(exchange: Exchange) -> tuple[DescribedColumn, ...]:
    """Every variable of the paper's Table 1, in two rounds: who stands behind it, then its sums."""
    plan = exchange.plan
    columns = table_columns(plan)
    counted = exchange.summaries(Operation.GUARD, plan.site_names, stage="cohort")
    guards = [_guard(plan, column, counted) for column in columns]
    permitted = [tuple(result.status for result in found) for found in guards]
    asked = np.zeros((len(plan.site_names), len(TABLE_PARTS), len(DESCRIBED)), dtype=np.bool_)
    for column, statuses in zip(columns, permitted, strict=True):
        own = [plan.site_names.index(site) for site in column.sites]
        asked[own, TABLE_PARTS.index(column.taken)] |= [status.ok for status in statuses]
    summaries = exchange.summaries(Operation.COHORT, plan.site_names, {"asked": asked})
    described = [
        DescribedColumn(column, _rows(plan, column, statuses, summaries))
        for column, statuses in zip(columns, permitted, strict=True)
    ]
    return _protected(described, [_is_empty(found) for found in guards])


def table_columns(plan: StudyPlan) -> tuple[TableColumn, ...]:
    """The paper's cohorts, then each centre, then all together where there are several."""
    training = plan.training_sites
    external = tuple(site for site in plan.site_names if site not in training)
    columns = []
    if training:
        columns.append(TableColumn(None, "training", training, "training"))
        columns.append(TableColumn(None, "internal", training, "test"))
    if external:
        columns.append(TableColumn(None, "external", external, "test"))
    columns += [TableColumn(site, "whole", (site,), "whole") for site in plan.site_names]
    if len(plan.site_names) > 1:
        columns.append(TableColumn(None, "whole", plan.site_names, "whole"))
    return tuple(columns)


def _guard(plan: StudyPlan, column: TableColumn, counted: Mapping[str, Summary]) -> tuple[GuardResult, ...]:
    demand = Demand("description", one_site=len(column.sites) == 1)
    return finish_guard(
        total(counted[site].part(column.taken) for site in column.sites),
        (demand,) * len(DESCRIBED),
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )


def _is_empty(found: Sequence[GuardResult]) -> bool:
    """Whether the cohort has nobody, with a value or without: then nothing of it is hidden."""
    return all(result.n_used == 0 and result.n_missing == 0 for result in found)


def _rows(
    plan: StudyPlan, column: TableColumn, statuses: Sequence[Status], summaries: Mapping[str, Summary]
) -> tuple[TableRow, ...]:
    """The paper's quantiles are those of SPSS (type 6)."""
    kind: QuantileType = 6 if plan.profile == "replication" else 7
    pooled = total(summaries[site].part(column.taken) for site in column.sites)
    rows = finish_table_one(pooled, table_variables(plan), minima_of(plan.profile), kind)
    return tuple(
        row if status.ok else withheld_row(row, status) for row, status in zip(rows, statuses, strict=True)
    )


def _protected(described: Sequence[DescribedColumn], empty: Sequence[bool]) -> tuple[DescribedColumn, ...]:
    """No hidden number can be had by subtracting what is shown from all together.

    The paper's cohorts add up to all patients, and so do the centres. A variable with anything hidden in one
    of the cohorts is shown in the cohorts alone; one with anything hidden at a centre, at no centre.
    """
    cohorts = [one for one in described if one.column.part != "whole"]
    peopled = [
        one.rows
        for one, nobody in zip(described, empty, strict=True)
        if one.column.part != "whole" and not nobody
    ]
    centres = [one for one in described if one.column.site is not None]
    together = [one for one in described if one.column.part == "whole" and one.column.site is None]
    closed = [any(hides(rows[index]) for rows in peopled) for index in range(len(DESCRIBED))]
    whole = [_withhold(one.rows, closed) for one in together]
    kept = [_withhold(one.rows, closed) for one in centres]
    if whole:
        kept = list(protect_parts(kept, whole[0]))
    rows = [*(one.rows for one in cohorts), *kept, *whole]
    return tuple(
        DescribedColumn(one.column, of) for one, of in zip((*cohorts, *centres, *together), rows, strict=True)
    )


_SUBTRACTED = suppressed("a hidden number of one of the cohorts could be worked out")


def _withhold(rows: Sequence[TableRow], closed: Sequence[bool]) -> tuple[TableRow, ...]:
    return tuple(
        withheld_row(row, _SUBTRACTED) if hide else row for row, hide in zip(rows, closed, strict=True)
    )
