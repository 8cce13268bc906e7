"""Phase: describe the patients, with and without expansion, by cohort and by centre (Table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.cohort.variable import Variable
from common.plan.described_columns import TableColumn, table_columns
from common.plan.study import StudyPlan
from common.plan.variables import DESCRIBED, list_described, table_variables
from common.program.names import COHORT_DESCRIPTION
from common.program.patient_description import describe_patients
from common.program.steps import GroupSums
from common.stats.estimate import Status, suppressed
from common.stats.guard import GuardResult
from common.stats.minima import minima_of
from common.stats.partition import hides, protect_parts
from common.stats.recording_grid import QuantileType
from common.stats.table_one import (
    Categorical,
    TableRow,
    TableVariable,
    choose_test,
    finish_table_one,
    withhold_row,
)
from server.exchange import Exchange
from server.procedures import carry_out


@dataclass(frozen=True)
class DescribedColumn:
    """One column of Table 1: a cohort and what describes it.

    Attributes
    ----------
    column : TableColumn
        Which cohort of which sites.
    rows : tuple of TableRow
        One row for each variable.
    variables : tuple of Variable
        What the rows describe, in their order.
    """

    column: TableColumn
    rows: tuple[TableRow, ...]
    variables: tuple[Variable, ...] = DESCRIBED


def describe_cohorts(exchange: Exchange) -> tuple[DescribedColumn, ...]:
    """Every column of the paper's Table 1.

    It takes two rounds: first the patients with a value are counted for each variable, then the variables
    with enough of them are summed.
    """
    plan, columns = exchange.plan, table_columns(exchange.plan)
    description = carry_out(exchange, COHORT_DESCRIPTION, describe_patients(plan))
    guards, sums = [description.guards[column] for column in columns], description.sums
    permitted = [tuple(guard.status for guard in column_guards) for column_guards in guards]
    variables = _choose_tests(plan, list(zip(columns, permitted, strict=True)), sums)
    described = [
        DescribedColumn(column, _finish_rows(plan, column, (statuses, variables), sums), list_described(plan))
        for column, statuses in zip(columns, permitted, strict=True)
    ]
    return _protect(described, [_is_empty(column_guards) for column_guards in guards])


def _is_empty(guards: Sequence[GuardResult]) -> bool:
    """Whether the cohort has no patient, with or without a value: then nothing of it is hidden."""
    return all(guard.n_used == 0 and guard.n_missing == 0 for guard in guards)


EVERYBODY, EVERY_COLUMN, EACH_COLUMN = "all patients together", "every column shown", "each column by itself"
"""On whom a rule chooses the test of a continuous variable, in words."""


def _choose_tests(
    plan: StudyPlan, columns: Sequence[tuple[TableColumn, Sequence[Status]]], sums: GroupSums
) -> tuple[TableVariable, ...]:
    """The table's variables, each with one test for all columns.

    Where a rule chooses, it does so on all patients together; if these may not be described, then on every
    column that may. A replication chooses column by column, as the paper did.
    """
    variables: list[TableVariable] = []
    for place, variable in enumerate(table_variables(plan)):
        if isinstance(variable, Categorical) or not variable.by_rule:
            variables.append(variable)
            continue
        shown = [column for column, statuses in columns if statuses[place].ok]
        together = [column for column in shown if (column.sites, column.taken) == (plan.site_names, "whole")]
        if plan.profile == "replication" or not shown:
            variables.append(replace(variable, chosen_on=EACH_COLUMN))
            continue
        summaries = [sums.of(column.sites).part(column.taken) for column in together or shown]
        variables.append(choose_test(variable, summaries, EVERYBODY if together else EVERY_COLUMN))
    return tuple(variables)


def _finish_rows(
    plan: StudyPlan,
    column: TableColumn,
    terms: tuple[Sequence[Status], Sequence[TableVariable]],
    sums: GroupSums,
) -> tuple[TableRow, ...]:
    """The cohort's rows; a replication takes quantiles of type 6 as the paper did with SPSS."""
    kind: QuantileType = 6 if plan.profile == "replication" else 7
    pooled = sums.of(column.sites).part(column.taken)
    statuses, variables = terms
    rows = finish_table_one(pooled, variables, minima_of(plan.profile), kind)
    return tuple(
        row if status.ok else withhold_row(row, status) for row, status in zip(rows, statuses, strict=True)
    )


def _protect(described: Sequence[DescribedColumn], empty: Sequence[bool]) -> tuple[DescribedColumn, ...]:
    """The columns without the numbers from which a hidden number could be subtracted.

    The paper's cohorts add up to all patients, and so do the centres. A variable that hides a number in one
    of the cohorts is shown in the cohorts only; one that hides a number at a centre is shown at no centre.
    """
    cohorts = [column for column in described if column.column.part != "whole"]
    cohorts_with_patients = [
        column.rows
        for column, is_empty in zip(described, empty, strict=True)
        if column.column.part != "whole" and not is_empty
    ]
    centres = [column for column in described if column.column.site is not None]
    totals = [column for column in described if column.column.part == "whole" and column.column.site is None]
    places = range(len(described[0].variables))
    closed = [any(hides(rows[index]) for rows in cohorts_with_patients) for index in places]
    total_rows = [_withhold(column.rows, closed) for column in totals]
    centre_rows = [_withhold(column.rows, closed) for column in centres]
    if total_rows:
        centre_rows = list(protect_parts(centre_rows, total_rows[0]))
    rows = [*(column.rows for column in cohorts), *centre_rows, *total_rows]
    return tuple(
        replace(column, rows=protected)
        for column, protected in zip((*cohorts, *centres, *totals), rows, strict=True)
    )


_SUBTRACTED = suppressed("a hidden number of one of the cohorts could be worked out")


def _withhold(rows: Sequence[TableRow], closed: Sequence[bool]) -> tuple[TableRow, ...]:
    return tuple(
        withhold_row(row, _SUBTRACTED) if hide else row for row, hide in zip(rows, closed, strict=True)
    )
