"""Who the patients are: the flow chart, the sizes of training and test, and the description (Table 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from common.cohort.schema import Variable
from common.plan.described_columns import ColumnPart, TableColumn
from common.plan.matrix import SPLITS
from common.plan.variables import EXPANDED, NOT_EXPANDED, levels_of
from common.stats.contingency import Tabulation
from common.stats.descriptive import Description
from common.stats.estimate import OK, PValue, Status
from common.stats.flow import ExclusionCount, FlowResult
from common.stats.recording_grid import Quantile
from common.stats.table_one import CategoricalRow, ContinuousRow, TableRow
from common.stats.tests import TestResult
from server.results.records import Count, Record

if TYPE_CHECKING:
    from server.phases.cohort import DescribedColumn
    from server.phases.preparation import Preparation


class FlowChart(Record):
    """Patients screened, excluded and studied, at one centre or at all together."""

    site: str | None
    """None for all sites together."""
    screened: Count | None
    """Everybody in the table."""
    excluded: tuple[ExclusionCount, ...]
    """By the first reason that applied, in the order of application; rare reasons are merged."""
    included: Count | None
    """Everybody studied."""
    positive: Count | None
    """Of these, with expansion."""
    negative: Count | None
    """Of these, without."""
    standing: Status = OK
    """Suppressed if any number is."""


class PartOfCohort(Record):
    """How many patients of a centre train, choose the round, or test."""

    site: str
    """Whose."""
    part: Literal["train", "validation", "test"]
    """Which."""
    positive: Count | None
    """With expansion."""
    negative: Count | None
    """Without."""


class VariableDescription(Record):
    """One variable in one group of patients; None where it does not apply or may not be shown."""

    used: Count | None = None
    """Patients with a value."""
    missing: Count | None = None
    """Patients without."""
    patients: Count | None = None
    """Of a category: patients in it."""
    percent: float | None = None
    """Of a category: its share of the patients with a value."""
    mean: float | None = None
    """Of a continuous variable that is tested by a t-test, in its unit."""
    sd: float | None = None
    """Standard deviation, of the same."""
    first_quartile: float | None = None
    """Of a continuous variable, in its unit; None beyond the grid on which values were counted."""
    median: float | None = None
    """Of a continuous variable, likewise."""
    third_quartile: float | None = None
    """Of a continuous variable, likewise."""
    standing: Status = OK
    """Whether the description is there."""


class CohortRow(Record):
    """One line of the cohort's table: a variable, or one level of it, with and without expansion."""

    site: str | None
    """None for all sites together."""
    part: ColumnPart = "whole"
    """Whose patients: the paper's three cohorts over all sites, or everybody."""
    label: str
    """As the paper prints the variable."""
    unit: str = ""
    """Of a continuous variable."""
    level: str = ""
    """Of a categorical variable."""
    decimals: int = Field(default=2, ge=0, le=6)
    """With which a continuous variable is printed."""
    resolution: float | None = None
    """Step to which values were rounded before they were ranked, in the variable's unit; None: of no
    continuous variable, or not recorded."""
    negative: VariableDescription
    """Patients without expansion."""
    positive: VariableDescription
    """Patients with expansion."""
    p_value: PValue | None = None
    """Of the difference; None where there is none."""
    test: str = ""
    """Which gave the p-value."""
    chosen_on: str = ""
    """On whose values a rule chose between t-test and ranks; empty: the plan named it, or not recorded."""
    statistic: float | None = None
    """Of the test; None for an exact one."""
    note: str = ""
    """For a footnote, e.g. that expected counts are small."""
    smd: float | None = None
    """Standardised difference, with expansion minus without."""


def record_flow(site: str | None, flow: FlowResult) -> FlowChart:
    """The flow chart of one site, or of all sites together (None)."""
    return FlowChart(
        site=site,
        screened=flow.screened,
        excluded=flow.excluded,
        included=flow.included,
        positive=flow.positive,
        negative=flow.negative,
        standing=flow.status,
    )


def record_parts(preparation: Preparation) -> Iterator[PartOfCohort]:
    """The size of every part that has patients, site by site."""
    for site, sizes in sorted(preparation.sizes.items()):
        for part in SPLITS:
            if part in sizes:
                size = sizes[part]
                yield PartOfCohort(site=site, part=part, positive=size.positive, negative=size.negative)


def record_cohort(described: Sequence[DescribedColumn]) -> tuple[CohortRow, ...]:
    """Every variable, or level of one, of each cohort in turn."""
    return tuple(
        line
        for cohort in described
        for variable, row in zip(cohort.variables, cohort.rows, strict=True)
        for line in _list_lines(cohort.column, variable, row)
    )


def _list_lines(column: TableColumn, variable: Variable, row: TableRow) -> Iterator[CohortRow]:
    if isinstance(row, ContinuousRow):
        yield CohortRow(
            site=column.site,
            part=column.part,
            label=variable.label,
            unit=variable.unit,
            decimals=variable.decimals,
            resolution=row.variable.grid.resolution,
            negative=_describe_values(row.groups[NOT_EXPANDED], ranked=_is_ranked(row)),
            positive=_describe_values(row.groups[EXPANDED], ranked=_is_ranked(row)),
            chosen_on=row.variable.chosen_on,
            smd=row.smd,
            **_test_fields(row.test),
        )
        return
    yield from _list_levels(column, variable, row)


def _list_levels(column: TableColumn, variable: Variable, row: CategoricalRow) -> Iterator[CohortRow]:
    """One line a level; one line is enough for two levels. The first line alone has the variable's test."""
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
            negative=_describe_level(row.tabulation, index, NOT_EXPANDED),
            positive=_describe_level(row.tabulation, index, EXPANDED),
            smd=smd if place == 0 else None,
            **(_test_fields(row.test) if place == 0 else {}),
        )


def _test_fields(test: TestResult) -> dict[str, Any]:
    """The fields of a row that its test fills; nothing where there is no p-value."""
    if test.p is None:
        return {}
    return {"p_value": test.p, "test": test.method, "statistic": test.statistic, "note": test.note}


def _is_ranked(row: ContinuousRow) -> bool:
    """Whether ranks compare the groups, also where the test's result is withheld."""
    return row.variable.test == "mann-whitney" or row.test.method.startswith("Mann-Whitney")


def _describe_values(description: Description, *, ranked: bool) -> VariableDescription:
    """Mean and SD where a t-test compares them, quartiles where ranks are compared, as the paper prints."""
    return VariableDescription(
        used=description.n_used,
        missing=description.n_missing,
        mean=None if ranked else description.mean,
        sd=None if ranked else description.sd,
        first_quartile=_value_on_grid(description.first_quartile),
        median=_value_on_grid(description.median),
        third_quartile=_value_on_grid(description.third_quartile),
        standing=description.status,
    )


def _describe_level(table: Tabulation, level: int, group: int) -> VariableDescription:
    patients, percent = table.counts[level][group], table.percentages[level][group]
    return VariableDescription(
        used=table.n_used[group],
        missing=table.n_missing[group],
        patients=patients,
        percent=percent,
        standing=table.status if patients is None else OK,
    )


def _value_on_grid(quantile: Quantile | None) -> float | None:
    """The quantile, but None beyond the grid: the grid's end would be a wrong value."""
    return None if quantile is None or quantile.beyond else quantile.value
