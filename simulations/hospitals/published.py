"""The paper's Table 1 as distributions to draw from: `simulations/hospitals/table1.csv`.

References
----------
Ning et al. (2025), Scientific Reports, Table 1.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import numpy as np
from scipy.special import ndtri

PaperCohort = Literal["training", "internal", "external"]
"""The paper's cohorts: training and internal testing at its center 1, external testing at its center 2."""

_IQR_OF_NORMAL = 2 * 0.6744897501960817
"""Width of a standard normal's interquartile range."""
_QUARTILE = 0.6744897501960817
_SKEWED = frozenset({"onset_to_ct_h", "ich_volume_ml"})
"""Printed with the median because they are skewed to the right: drawn as log-normal."""
_IVH_SPREAD = 1.5
"""Standard deviation of the logarithm of an IVH's volume, among patients with an IVH."""
_IVH_MEDIAN_ML = 6.0
"""Median volume of an IVH in groups whose third quartile is printed as 0."""


@dataclass(frozen=True)
class Distribution:
    """A continuous variable within one group of patients: normal, or log-normal where skewed.

    Attributes
    ----------
    median : float
        In the variable's unit.
    scale : float
        Standard deviation in the variable's unit, or of the logarithm where skewed.
    skewed : bool
        Whether the variable is log-normal.
    """

    median: float
    scale: float
    skewed: bool

    def draw(self, random: np.random.Generator, low: float, high: float) -> float:
        """One value between `low` and `high`; a value outside is drawn again."""
        while True:
            deviation = self.scale * random.standard_normal()
            value = self.median * math.exp(deviation) if self.skewed else self.median + deviation
            if low <= value <= high:
                return value


@dataclass(frozen=True)
class GroupDistributions:
    """Patients of one of the paper's cohorts with one outcome.

    Attributes
    ----------
    patients : int
        How many the paper counts.
    counts : dict of (variable, level) to int
        Patients with this level; binary variables have the level "".
    continuous : dict of str to Distribution
        The distribution of each continuous variable, by its name.
    """

    patients: int
    counts: dict[tuple[str, str], int]
    continuous: dict[str, Distribution]

    def share(self, variable: str, level: str = "") -> float:
        """Share of the patients with this level, between 0 and 1."""
        return self.counts[variable, level] / self.patients


@lru_cache(maxsize=1)
def read_groups() -> dict[tuple[PaperCohort, bool], GroupDistributions]:
    """Every group of Table 1 by cohort and outcome (True for rHE)."""
    rows: dict[tuple[PaperCohort, bool], list[dict[str, str]]] = defaultdict(list)
    with files("simulations.hospitals").joinpath("table1.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            rows[_parse_cohort(row["cohort"]), row["rhe"] == "1"].append(row)
    return {key: _build_group(of_group) for key, of_group in rows.items()}


def _parse_cohort(name: str) -> PaperCohort:
    known: tuple[PaperCohort, ...] = ("training", "internal", "external")
    return next(cohort for cohort in known if cohort == name)


def _build_group(rows: list[dict[str, str]]) -> GroupDistributions:
    patients = int(rows[0]["patients"])
    counts = {(row["variable"], row["level"]): int(row["value"]) for row in rows if row["summary"] == "count"}
    continuous = {
        row["variable"]: _fit_distribution(row)
        for row in rows
        if row["summary"] != "count" and row["variable"] != "ivh_volume_ml"
    }
    third_quartile_ml = next(float(row["spread"]) for row in rows if row["variable"] == "ivh_volume_ml")
    continuous["ivh_volume_ml"] = _fit_ivh_volume(counts["ivh", ""] / patients, third_quartile_ml)
    return GroupDistributions(patients, counts, continuous)


def _fit_distribution(row: dict[str, str]) -> Distribution:
    centre, spread = float(row["value"]), float(row["spread"])
    if row["summary"] == "mean_sd":
        return Distribution(centre, spread, skewed=False)
    if row["variable"] in _SKEWED:
        # The IQR of exp(N(ln m, s)) is 2 m sinh(0.6745 s)
        return Distribution(centre, math.asinh(spread / (2 * centre)) / _QUARTILE, skewed=True)
    return Distribution(centre, spread / _IQR_OF_NORMAL, skewed=False)


def _fit_ivh_volume(share: float, third_quartile_ml: float) -> Distribution:
    """The volume in ml of an IVH that exists, such that all patients have the printed third quartile."""
    if third_quartile_ml == 0 or share <= 0.25:
        return Distribution(_IVH_MEDIAN_ML, _IVH_SPREAD, skewed=True)
    deviation = float(ndtri(1 - 0.25 / share))
    median_ml = third_quartile_ml / math.exp(_IVH_SPREAD * deviation)
    return Distribution(median_ml, _IVH_SPREAD, skewed=True)
