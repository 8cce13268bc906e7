"""The paper's three cohorts as the tables of four sites.

The rows have exactly every printed count, mean, SD, median and IQR; among patients of one outcome at one
site, variables are independent, as the paper prints no more. What the paper does not print stays blank.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from common.cohort.schema import TABLE_ONE, Variable
from common.plan.variables import levels_of
from common.seeds import generator
from common.types import Counts
from simulations.hospitals.published import PaperCohort
from simulations.paper.facts import COHORTS, Facts, PrintedGroup
from simulations.paper.sampled_patients import Placing, rows_of_group
from simulations.paper.spread import Division, divide, divide_levels

SITES: dict[PaperCohort, tuple[str, str]] = {
    "training": ("centre1-a", "centre1-b"),
    "internal": ("centre1-a", "centre1-b"),
    "external": ("centre2-a", "centre2-b"),
}
"""The two sites that hold the patients of each cohort."""

_SPLIT: dict[PaperCohort, Literal["train", "test"] | None] = {
    "training": "train",
    "internal": "test",
    "external": None,
}


def build_site_tables(facts: Facts, seed: int) -> dict[str, pd.DataFrame]:
    """Each site's cohort table by the site's name: the schema's columns and one for each model's score.

    Raises
    ------
    ValueError
        If no rows have these facts.
    """
    everybody = pd.concat([_build_rows(facts, cohort, seed) for cohort in COHORTS], ignore_index=True)
    tables: dict[str, pd.DataFrame] = {}
    for name, rows in everybody.groupby("site", sort=True):
        site = str(name)
        order = generator(seed, site, "order").permutation(len(rows))
        table = rows.iloc[order].drop(columns="site").reset_index(drop=True)
        table["patient"] = [f"{site}-{number:04d}" for number in range(1, len(table) + 1)]
        tables[site] = table
    return tables


def _build_rows(facts: Facts, cohort: PaperCohort, seed: int) -> pd.DataFrame:
    """The rows of all patients of one cohort, with their site."""
    groups = (facts.groups[cohort, False], facts.groups[cohort, True])
    division = divide(groups[0].patients, groups[1].patients)
    divided = {
        variable.name: _divide(variable, groups, division, generator(seed, cohort, variable.name))
        for variable in TABLE_ONE
        if variable.kind != "continuous"
    }
    parts = []
    for outcome, group in enumerate(groups):
        placing = Placing(
            np.arange(group.patients) < division.first[outcome],
            {name: (first[:, outcome], second[:, outcome]) for name, (first, second) in divided.items()},
            (seed, cohort, outcome),
        )
        rankings = {model: facts.rankings[model, cohort] for model in facts.models}
        rows = rows_of_group(group, placing, rankings, expanded=bool(outcome))
        rows["site"] = np.where(placing.first, *SITES[cohort])
        rows["split"] = pd.Series([_SPLIT[cohort]] * len(rows), dtype=object)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def _divide(
    variable: Variable,
    groups: tuple[PrintedGroup, PrintedGroup],
    division: Division,
    random: np.random.Generator,
) -> tuple[Counts, Counts]:
    """How many patients of each level and outcome are at the first and at the second site."""
    table = np.stack([_count_levels(group, variable) for group in groups], axis=1)
    return divide_levels(table, division, random)


def _count_levels(group: PrintedGroup, variable: Variable) -> Counts:
    """How many patients have each level; the level that the paper omits has all others."""
    names = ("no", "") if variable.kind == "binary" else levels_of(variable)
    counts = [group.counts.get((variable.name, name)) for name in names]
    remaining = group.patients - sum(count for count in counts if count is not None)
    return np.array([remaining if count is None else count for count in counts], dtype=np.int64)
