"""The paper's three cohorts as the tables of four sites.

Every printed count, mean, SD, median and IQR comes out exactly; among patients of one outcome at one site
variables are independent, as the paper prints no more. What the paper does not tell stays blank.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from common.cohort.schema import TABLE_ONE, Variable
from common.seeds import generator
from common.types import Counts
from common.variables import levels_of
from simulations.paper.facts import COHORTS, Cohort, Facts, Group
from simulations.paper.patients import Placing, rows_of_group
from simulations.paper.spread import Division, divide, divide_levels

SITES: dict[Cohort, tuple[str, str]] = {
    "training": ("centre1-a", "centre1-b"),
    "internal": ("centre1-a", "centre1-b"),
    "external": ("centre2-a", "centre2-b"),
}
"""Where the patients of each cohort are."""

_SPLIT: dict[Cohort, Literal["train", "test"] | None] = {
    "training": "train",
    "internal": "test",
    "external": None,
}


def site_tables(facts: Facts, seed: int) -> dict[str, pd.DataFrame]:
    """Each site's cohort table, in the columns of the schema and one for each model's score.

    Raises
    ------
    ValueError
        If no rows have these facts.
    """
    everybody = pd.concat([_rows(facts, cohort, seed) for cohort in COHORTS], ignore_index=True)
    tables: dict[str, pd.DataFrame] = {}
    for name, rows in everybody.groupby("site", sort=True):
        site = str(name)
        order = generator(seed, site, "order").permutation(len(rows))
        table = rows.iloc[order].drop(columns="site").reset_index(drop=True)
        table["patient"] = [f"{site}-{number:04d}" for number in range(1, len(table) + 1)]
        tables[site] = table
    return tables


def _rows(facts: Facts, cohort: Cohort, seed: int) -> pd.DataFrame:
    """All patients of one cohort with their site."""
    groups = (facts.groups[cohort, False], facts.groups[cohort, True])
    division = divide(groups[0].patients, groups[1].patients)
    divided = {
        variable.name: _divided(variable, groups, division, generator(seed, cohort, variable.name))
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


def _divided(
    variable: Variable, groups: tuple[Group, Group], division: Division, random: np.random.Generator
) -> tuple[Counts, Counts]:
    """Patients of each level and outcome at either site."""
    table = np.stack([_level_counts(group, variable) for group in groups], axis=1)
    return divide_levels(table, division, random)


def _level_counts(group: Group, variable: Variable) -> Counts:
    """Patients of each level; the one that the paper leaves out has the rest."""
    names = ("no", "") if variable.kind == "binary" else levels_of(variable)
    counts = [group.counts.get((variable.name, name)) for name in names]
    rest = group.patients - sum(count for count in counts if count is not None)
    return np.array([rest if count is None else count for count in counts], dtype=np.int64)
