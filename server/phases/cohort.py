"""Phase: describe the patients, with and without expansion, by cohort and by centre (Table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.columns import TableColumn, table_columns
from common.headers import Operation
from common.matrix import TABLE_PARTS
from common.stats.estimate import Status, suppressed
from common.stats.grid import QuantileType
from common.stats.guard import Demand, GuardResult, finish_guard
from common.stats.minima import minima_of
from common.stats.partition import hides, protect_parts
from common.stats.table_one import TableRow, finish_table_one, withheld_row
from common.study import StudyPlan
from common.variables import DESCRIBED, table_variables
from server.exchange import Exchange
from server.gathered import Gathered


@dataclass(frozen=True)
class DescribedColumn:
    """One cohort with its rows, in the order of `common.variables.DESCRIBED`."""

    column: TableColumn
    rows: tuple[TableRow, ...]


def describe_cohorts(exchange: Exchange) -> tuple[DescribedColumn, ...]:
    """Every variable of the paper's Table 1, in two rounds: who stands behind it, then its sums."""
    plan = exchange.plan
    columns = table_columns(plan)
    counted = exchange.gather(Operation.GUARD, stage="cohort")
    guards = [_guard(plan, column, counted) for column in columns]
    permitted = [tuple(result.status for result in found) for found in guards]
    asked = np.zeros((len(plan.site_names), len(TABLE_PARTS), len(DESCRIBED)), dtype=np.bool_)
    for column, statuses in zip(columns, permitted, strict=True):
        own = [plan.site_names.index(site) for site in column.sites]
        asked[own, TABLE_PARTS.index(column.taken)] |= [status.ok for status in statuses]
    gathered = exchange.gather(Operation.COHORT, {"asked": asked})
    described = [
        DescribedColumn(column, _rows(plan, column, statuses, gathered))
        for column, statuses in zip(columns, permitted, strict=True)
    ]
    return _protected(described, [_is_empty(found) for found in guards])


def _guard(plan: StudyPlan, column: TableColumn, counted: Gathered) -> tuple[GuardResult, ...]:
    demand = Demand("description", one_site=len(column.sites) == 1)
    return finish_guard(
        counted.of(column.sites).part(column.taken),
        (demand,) * len(DESCRIBED),
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )


def _is_empty(found: Sequence[GuardResult]) -> bool:
    """Whether the cohort has nobody, with a value or without: then nothing of it is hidden."""
    return all(result.n_used == 0 and result.n_missing == 0 for result in found)


def _rows(
    plan: StudyPlan, column: TableColumn, statuses: Sequence[Status], gathered: Gathered
) -> tuple[TableRow, ...]:
    """The paper's quantiles are those of SPSS (type 6)."""
    kind: QuantileType = 6 if plan.profile == "replication" else 7
    pooled = gathered.of(column.sites).part(column.taken)
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
