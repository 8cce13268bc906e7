"""The description of the cohorts as lines of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from common.cohort.schema import Variable
from common.columns import TableColumn
from common.stats.contingency import Tabulation
from common.stats.descriptive import Description
from common.stats.grid import Quantile
from common.stats.table_one import CategoricalRow, ContinuousRow, TableRow
from common.stats.tests import TestResult
from common.variables import DESCRIBED, NEGATIVE, POSITIVE, levels_of
from server.phases.cohort import DescribedColumn
from server.records import CohortRow, Described, Standing, standing_of


def cohort_rows(described: Sequence[DescribedColumn]) -> tuple[CohortRow, ...]:
    """Every variable, or level of one, of each cohort in turn."""
    return tuple(
        line
        for one in described
        for variable, row in zip(DESCRIBED, one.rows, strict=True)
        for line in _lines(one.column, variable, row)
    )


def _lines(column: TableColumn, variable: Variable, row: TableRow) -> Iterator[CohortRow]:
    if isinstance(row, ContinuousRow):
        yield CohortRow(
            site=column.site,
            part=column.part,
            label=variable.label,
            unit=variable.unit,
            decimals=variable.decimals,
            negative=_described(row.groups[NEGATIVE], row.test),
            positive=_described(row.groups[POSITIVE], row.test),
            smd=row.smd,
            **_tested(row.test),
        )
        return
    yield from _levels(column, variable, row)


def _levels(column: TableColumn, variable: Variable, row: CategoricalRow) -> Iterator[CohortRow]:
    """One line a level; of two levels one tells both. The test belongs to the variable: its first line."""
    levels = levels_of(variable)
    if variable.kind == "binary":
        indices: tuple[int, ...] = (1,)
    else:
        indices = (0,) if len(levels) == 2 else tuple(range(len(levels)))
    # Of two levels it is signed for the second.
    smd = -row.smd if row.smd is not None and indices == (0,) else row.smd
    for place, index in enumerate(indices):
        yield CohortRow(
            site=column.site,
            part=column.part,
            label=variable.label,
            level="" if variable.kind == "binary" else levels[index],
            negative=_counted(row.tabulation, index, NEGATIVE),
            positive=_counted(row.tabulation, index, POSITIVE),
            smd=smd if place == 0 else None,
            **(_tested(row.test) if place == 0 else {}),
        )


def _tested(test: TestResult) -> dict[str, Any]:
    """The fields of a row that its test fills; nothing where there is no p-value."""
    if test.p is None:
        return {}
    return {"p_value": test.p, "test": test.method, "statistic": test.statistic, "note": test.note}


def _described(description: Description, test: TestResult) -> Described:
    """Mean and SD where a t-test compared them, quartiles where ranks were compared, as the paper prints."""
    ranked = test.method.startswith("Mann-Whitney")
    return Described(
        used=description.n_used,
        missing=description.n_missing,
        mean=None if ranked else description.mean,
        sd=None if ranked else description.sd,
        first_quartile=_value(description.first_quartile),
        median=_value(description.median),
        third_quartile=_value(description.third_quartile),
        standing=standing_of(description.status),
    )


def _counted(table: Tabulation, level: int, group: int) -> Described:
    patients, percent = table.counts[level][group], table.percentages[level][group]
    return Described(
        used=table.n_used[group],
        missing=table.n_missing[group],
        patients=patients,
        percent=percent,
        standing=standing_of(table.status) if patients is None else Standing(),
    )


def _value(quantile: Quantile | None) -> float | None:
    """A quantile beyond the grid is not printed as if it were the grid's end."""
    return None if quantile is None or quantile.beyond else quantile.value
