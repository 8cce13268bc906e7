"""The paper's Table 1: all variables by group in one message, each described, tested and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from common.stats.contingency import (
    Tabulation,
    finish_contingency,
    local_contingency,
    withheld_tabulation,
)
from common.stats.contract import Summary, join
from common.stats.descriptive import (
    Description,
    finish_descriptive,
    group_moments,
    local_descriptive,
    withheld_description,
)
from common.stats.estimate import Status, coarse, suppressed
from common.stats.grid import Grid, QuantileType
from common.stats.minima import STANDARD, Minima
from common.stats.smd import smd_categorical, smd_continuous
from common.stats.tests import ContinuousTest, TestResult, compare_categorical, compare_continuous
from common.types import Counts, Reals

GROUPS = 2
"""Without and with the outcome, in this order."""


@dataclass(frozen=True)
class Continuous:
    """A continuous variable of the plan.

    Attributes
    ----------
    name : str
    grid : Grid
    test : {"student", "welch", "mann-whitney", "auto"}
    """

    name: str
    grid: Grid
    test: ContinuousTest = "auto"


@dataclass(frozen=True)
class Categorical:
    """A binary or categorical variable of the plan.

    Attributes
    ----------
    name : str
    levels : tuple of str
        The patients' codes are positions in it.
    """

    name: str
    levels: tuple[str, ...]


TableVariable: TypeAlias = Continuous | Categorical


@dataclass(frozen=True)
class ContinuousRow:
    """One continuous variable.

    Attributes
    ----------
    variable : Continuous
    groups : tuple of Description
        Without and with the outcome.
    test : TestResult
        With the outcome minus without.
    smd : float or None
        With the outcome minus without.
    """

    variable: Continuous
    groups: tuple[Description, ...]
    test: TestResult
    smd: float | None


@dataclass(frozen=True)
class CategoricalRow:
    """One categorical variable; test and SMD as in `ContinuousRow`."""

    variable: Categorical
    tabulation: Tabulation
    test: TestResult
    smd: float | None


TableRow: TypeAlias = ContinuousRow | CategoricalRow


def local_table_one(
    columns: Sequence[Reals | Counts], groups: Counts, variables: Sequence[TableVariable]
) -> Summary:
    """All variables of one site, each under its name.

    Parameters
    ----------
    columns : sequence of arrays, shape (n,)
        In the order of `variables`: values (NaN missing) or codes (-1 missing).
    groups : int array, shape (n,)
        1 with the outcome, else 0.
    """
    return join(
        _local(column, groups, variable).under(variable.name)
        for column, variable in zip(columns, variables, strict=True)
    )


def finish_table_one(
    summary: Summary,
    variables: Sequence[TableVariable],
    minima: Minima = STANDARD,
    kind: QuantileType = 7,
) -> tuple[TableRow, ...]:
    """The table's rows; where a number is suppressed, so are the test and the SMD that would tell it."""
    return tuple(
        _continuous_row(summary.part(variable.name), variable, minima, kind)
        if isinstance(variable, Continuous)
        else _categorical_row(summary.part(variable.name), variable, minima)
        for variable in variables
    )


def withheld_row(row: TableRow, status: Status) -> TableRow:
    """The same row without any number, each part of it with the same reason."""
    if isinstance(row, ContinuousRow):
        groups = tuple(withheld_description(group.method, status) for group in row.groups)
        return ContinuousRow(row.variable, groups, _withheld(status), None)
    return CategoricalRow(row.variable, withheld_tabulation(row.tabulation, status), _withheld(status), None)


def _local(column: Reals | Counts, groups: Counts, variable: TableVariable) -> Summary:
    if isinstance(variable, Continuous):
        return local_descriptive(column.astype(np.float64), groups, GROUPS, variable.grid)
    return local_contingency(column.astype(np.int64), groups, GROUPS, len(variable.levels))


def _continuous_row(
    summary: Summary, variable: Continuous, minima: Minima, kind: QuantileType
) -> ContinuousRow:
    groups = finish_descriptive(summary, variable.grid, minima, kind)
    without, with_outcome = group_moments(summary, variable.grid)
    negatives, positives = summary.counts["histogram"]
    test = compare_continuous((with_outcome, without), (positives, negatives), variable.test)
    for group in groups:
        if not group.status.ok:
            return ContinuousRow(variable, groups, _withheld(group.status), None)
    smd = smd_continuous(with_outcome, without)
    if any(group.n_used is None for group in groups):
        # With the means and SDs, statistic and p would be equations for the numbers.
        return ContinuousRow(variable, groups, _withheld(_FEW), None if smd is None else coarse(smd)[0])
    return ContinuousRow(variable, groups, test, smd)


def _categorical_row(summary: Summary, variable: Categorical, minima: Minima) -> CategoricalRow:
    tabulation = finish_contingency(summary, minima)
    table = summary.counts["table"]
    test = compare_categorical(table)
    if not tabulation.status.ok:
        return CategoricalRow(variable, tabulation, _withheld(tabulation.status), None)
    return CategoricalRow(variable, tabulation, test, smd_categorical(table[:, ::-1]))


_FEW = suppressed("few values are missing or known")


def _withheld(status: Status) -> TestResult:
    """Not even the method: which test a rule chose tells about the counts."""
    return TestResult(None, None, None, None, "not shown", status)
