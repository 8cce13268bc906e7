"""The paper's Table 1: all variables by group in one summary; each described, tested, with its SMD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from common.stats.contingency import (
    Tabulation,
    finish_contingency,
    local_contingency,
    withhold_tabulation,
)
from common.stats.contract import Summary, join_summaries
from common.stats.descriptive import (
    Description,
    finish_descriptive,
    group_moments,
    local_descriptive,
    withhold_description,
)
from common.stats.estimate import Status, coarse, suppressed
from common.stats.minima import STANDARD, Minima
from common.stats.recording_grid import QuantileType, RecordingGrid
from common.stats.smd import smd_categorical, smd_continuous
from common.stats.tests import (
    ContinuousTest,
    TestResult,
    are_both_normal,
    compare_categorical,
    compare_continuous,
    settle_test,
)
from common.types import Counts, Reals

GROUPS = 2
"""Without and with the outcome, in this order."""


@dataclass(frozen=True)
class Continuous:
    """A continuous variable of the plan.

    Attributes
    ----------
    name : str
        Its name in the plan.
    grid : RecordingGrid
        Its recording resolution and plausible range.
    test : {"student", "welch", "mann-whitney", "auto", "auto-student"}
        How the groups are compared.
    chosen_on : str
        On whose values a rule chose the test, in words; empty if the plan names it.
    """

    name: str
    grid: RecordingGrid
    test: ContinuousTest = "auto"
    chosen_on: str = ""

    @property
    def by_rule(self) -> bool:
        """Whether normality decides between a t-test and ranks."""
        return self.test in {"auto", "auto-student"}


@dataclass(frozen=True)
class Categorical:
    """A binary or categorical variable of the plan.

    Attributes
    ----------
    name : str
        Its name in the plan.
    levels : tuple of str
        Its levels; a patient's code is a position in it.
    """

    name: str
    levels: tuple[str, ...]


TableVariable: TypeAlias = Continuous | Categorical


@dataclass(frozen=True)
class ContinuousRow:
    """The row of one continuous variable.

    Attributes
    ----------
    variable : Continuous
        The variable.
    groups : tuple of Description
        Patients without, and with the outcome.
    test : TestResult
        Of the groups' difference, with the outcome minus without.
    smd : float or None
        Standardised mean difference, with the outcome minus without.
    """

    variable: Continuous
    groups: tuple[Description, ...]
    test: TestResult
    smd: float | None


@dataclass(frozen=True)
class CategoricalRow:
    """The row of one categorical variable.

    Attributes
    ----------
    variable : Categorical
        The variable.
    tabulation : Tabulation
        Its counts by level and group: without, and with the outcome.
    test : TestResult
        Of the groups' independence of the level.
    smd : float or None
        Standardised difference, for two levels with the outcome minus without.
    """

    variable: Categorical
    tabulation: Tabulation
    test: TestResult
    smd: float | None


TableRow: TypeAlias = ContinuousRow | CategoricalRow


def local_table_one(
    columns: Sequence[Reals | Counts], groups: Counts, variables: Sequence[TableVariable]
) -> Summary:
    """One site's sums of all variables, each under its name.

    Parameters
    ----------
    columns : sequence of arrays, shape (n,)
        In the order of `variables`: values (NaN missing) or codes (-1 missing).
    groups : int array, shape (n,)
        1 for a patient with the outcome, else 0.
    """
    return join_summaries(
        _summarise_column(column, groups, variable).under(variable.name)
        for column, variable in zip(columns, variables, strict=True)
    )


def finish_table_one(
    summary: Summary,
    variables: Sequence[TableVariable],
    minima: Minima = STANDARD,
    kind: QuantileType = 7,
) -> tuple[TableRow, ...]:
    """The table's rows; where a number is suppressed, so are the test and the SMD, which would tell it."""
    return tuple(
        _finish_continuous(summary.part(variable.name), variable, minima, kind)
        if isinstance(variable, Continuous)
        else _finish_categorical(summary.part(variable.name), variable, minima)
        for variable in variables
    )


def choose_test(variable: Continuous, summaries: Sequence[Summary], chosen_on: str) -> Continuous:
    """The variable with one test for a whole table, so that all columns print means, or all medians.

    It is a t-test if both groups of every summary look normal, else Mann-Whitney's.

    Parameters
    ----------
    variable : Continuous
        Its test is left to the rule.
    summaries : sequence of Summary
        The summed `local_table_one` of the cohorts that decide; at least one.
    chosen_on : str
        Who they are, in words.

    Raises
    ------
    ValueError
        If there is no summary.
    """
    if not summaries:
        raise ValueError(f"nobody's values decide how {variable.name} is tested")
    normal = all(
        are_both_normal(*group_moments(summary.part(variable.name), variable.grid)) for summary in summaries
    )
    return replace(variable, test=settle_test(variable.test, normal=normal), chosen_on=chosen_on)


def withhold_row(row: TableRow, status: Status) -> TableRow:
    """The same row without any number; the status says why in each part."""
    if isinstance(row, ContinuousRow):
        groups = tuple(withhold_description(group.method, status) for group in row.groups)
        return ContinuousRow(row.variable, groups, _withhold_test(status), None)
    return CategoricalRow(
        row.variable, withhold_tabulation(row.tabulation, status), _withhold_test(status), None
    )


def _summarise_column(column: Reals | Counts, groups: Counts, variable: TableVariable) -> Summary:
    if isinstance(variable, Continuous):
        return local_descriptive(column.astype(np.float64), groups, GROUPS, variable.grid)
    return local_contingency(column.astype(np.int64), groups, GROUPS, len(variable.levels))


def _finish_continuous(
    summary: Summary, variable: Continuous, minima: Minima, kind: QuantileType
) -> ContinuousRow:
    groups = finish_descriptive(summary, variable.grid, minima, kind)
    without, with_outcome = group_moments(summary, variable.grid)
    negatives, positives = summary.counts["histogram"]
    test = compare_continuous((with_outcome, without), (positives, negatives), variable.test)
    for group in groups:
        if not group.status.ok:
            return ContinuousRow(variable, groups, _withhold_test(group.status), None)
    smd = smd_continuous(with_outcome, without)
    if any(group.n_used is None for group in groups):
        # Together with the means and SDs, statistic and p would be equations for the numbers of patients.
        return ContinuousRow(variable, groups, _withhold_test(_FEW), None if smd is None else coarse(smd)[0])
    return ContinuousRow(variable, groups, test, smd)


def _finish_categorical(summary: Summary, variable: Categorical, minima: Minima) -> CategoricalRow:
    tabulation = finish_contingency(summary, minima)
    table = summary.counts["table"]
    test = compare_categorical(table)
    if not tabulation.status.ok:
        return CategoricalRow(variable, tabulation, _withhold_test(tabulation.status), None)
    return CategoricalRow(variable, tabulation, test, smd_categorical(table[:, ::-1]))


_FEW = suppressed("few values are missing or known")


def _withhold_test(status: Status) -> TestResult:
    """A test result without number or method, because the test that a rule chose tells about the counts."""
    return TestResult(None, None, None, None, "not shown", status)
