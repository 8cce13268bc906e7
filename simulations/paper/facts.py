"""The paper's numbers from which rows can be made: no p-value, ratio or AUC.

`simulations/hospitals/table1.csv` holds counts, means with SDs and medians with widths of the IQR; `wins.csv`
beside this file holds each model's confusion matrix and the number of pairs that it ranks correctly.

References
----------
Ning et al. (2025), Scientific Reports, Tables 1 and 3.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import cast

from simulations.hospitals.published import PaperCohort

HERE = Path(__file__).parent
"""The folder of the facts and of the printed cells."""

COHORTS: tuple[PaperCohort, ...] = ("training", "internal", "external")


@dataclass(frozen=True)
class MeanSd:
    """A continuous variable in one group, as printed.

    Attributes
    ----------
    mean, sd : Decimal
        In the variable's unit, with the printed decimals.
    """

    mean: Decimal
    sd: Decimal


@dataclass(frozen=True)
class MedianIqr:
    """A continuous variable in one group, as printed.

    Attributes
    ----------
    median, iqr : Decimal
        In the variable's unit; `iqr` is the width of the interquartile range.
    """

    median: Decimal
    iqr: Decimal


@dataclass(frozen=True)
class PrintedGroup:
    """Patients of one cohort with one outcome.

    Attributes
    ----------
    patients : int
        How many the paper counts.
    counts : mapping of (variable, level) to int
        Patients with this level; binary variables have the level "".
    continuous : mapping of str to MeanSd or MedianIqr
        The printed summary of each continuous variable, by its name.
    """

    patients: int
    counts: Mapping[tuple[str, str], int]
    continuous: Mapping[str, MeanSd | MedianIqr]


@dataclass(frozen=True)
class Ranking:
    """How one model ranks and classifies one cohort.

    Attributes
    ----------
    true_positive, false_negative, true_negative, false_positive : int
        The cells of the confusion matrix, in patients.
    doubled_wins : int
        Twice the number of pairs, one patient with and one without expansion, in which the former scores
        higher; a tie is half a win.
    """

    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int
    doubled_wins: int


@dataclass(frozen=True)
class Facts:
    """Everything that the rows are made from.

    Attributes
    ----------
    groups : mapping of (cohort, expanded) to PrintedGroup
        The printed numbers of each cohort's patients without and with expansion.
    rankings : mapping of (model, cohort) to Ranking
        How each model ranks and classifies each cohort.
    """

    groups: Mapping[tuple[PaperCohort, bool], PrintedGroup]
    rankings: Mapping[tuple[str, PaperCohort], Ranking]

    @property
    def models(self) -> tuple[str, ...]:
        """The models' names, in the paper's order."""
        return tuple(dict.fromkeys(model for model, _ in self.rankings))


def read_facts() -> Facts:
    """The facts that the paper prints."""
    of_group: dict[tuple[PaperCohort, bool], list[dict[str, str]]] = defaultdict(list)
    for row in rows_of(HERE.parent / "hospitals" / "table1.csv"):
        of_group[cast("PaperCohort", row["cohort"]), row["rhe"] == "1"].append(row)
    rankings = {
        (row["model"], cast("PaperCohort", row["cohort"])): Ranking(
            int(row["tp"]), int(row["fn"]), int(row["tn"]), int(row["fp"]), int(row["doubled_wins"])
        )
        for row in rows_of(HERE / "wins.csv")
    }
    return Facts({key: _build_group(rows) for key, rows in of_group.items()}, rankings)


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file, without its comments."""
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def _build_group(rows: list[dict[str, str]]) -> PrintedGroup:
    counts = {(row["variable"], row["level"]): int(row["value"]) for row in rows if row["summary"] == "count"}
    continuous = {row["variable"]: _parse_summary(row) for row in rows if row["summary"] != "count"}
    return PrintedGroup(int(rows[0]["patients"]), counts, continuous)


def _parse_summary(row: dict[str, str]) -> MeanSd | MedianIqr:
    centre, spread = Decimal(row["value"]), Decimal(row["spread"])
    return MeanSd(centre, spread) if row["summary"] == "mean_sd" else MedianIqr(centre, spread)
