"""The description of the cohorts as lines of a table."""

from __future__ import annotations

from collections.abc import Iterator

from common.stats.contingency import Tabulation
from common.stats.descriptive import Description
from common.stats.grid import Quantile
from common.variables import NEGATIVE, POSITIVE, levels_of
from server.phases.cohort import CohortDescription, DescribedVariable
from server.records import CohortRow, Described, Standing, standing_of


def cohort_rows(description: CohortDescription) -> tuple[CohortRow, ...]:
    """Every variable, or level of one, of each site and then of all together."""
    cohorts = [*sorted(description.by_site.items()), (None, description.together)]
    return tuple(row for site, variables in cohorts for one in variables for row in _rows(site, one))


def _rows(site: str | None, one: DescribedVariable) -> Iterator[CohortRow]:
    variable = one.variable
    if one.continuous is not None:
        yield CohortRow(
            site=site,
            label=variable.label,
            unit=variable.unit,
            decimals=variable.decimals,
            negative=_described(one.continuous[NEGATIVE]),
            positive=_described(one.continuous[POSITIVE]),
        )
    if one.categorical is not None:
        for index, level in enumerate(levels_of(variable)):
            if variable.kind == "binary" and index == 0:
                continue
            yield CohortRow(
                site=site,
                label=variable.label,
                level="" if variable.kind == "binary" else level,
                negative=_counted(one.categorical, index, NEGATIVE),
                positive=_counted(one.categorical, index, POSITIVE),
            )


def _described(description: Description) -> Described:
    return Described(
        used=description.n_used,
        missing=description.n_missing,
        mean=description.mean,
        sd=description.sd,
        first_quartile=_value(description.first_quartile),
        median=_value(description.median),
        third_quartile=_value(description.third_quartile),
        standing=standing_of(description.status),
    )


def _counted(table: Tabulation, level: int, group: int) -> Described:
    patients, percent = table.counts[level][group], table.percentages[level][group]
    hidden = Standing(kind="suppressed", reason="a count below the minimum")
    return Described(
        used=table.n_used[group],
        missing=table.n_missing[group],
        patients=patients,
        percent=percent,
        standing=hidden if patients is None else Standing(),
    )


def _value(quantile: Quantile | None) -> float | None:
    """A quantile beyond the grid is not printed as if it were the grid's end."""
    return None if quantile is None or quantile.beyond else quantile.value
