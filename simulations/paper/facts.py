"""What the paper tells of its patients in numbers that rows can be made from: no p-value, ratio or AUC.

`simulations/table1.csv` holds counts, means with SDs and medians with widths of the IQR; `wins.csv` beside
this file holds each model's confusion matrix and the number of pairs it ranks rightly.

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
from typing import Literal, cast

Cohort = Literal["training", "internal", "external"]
HERE = Path(__file__).parent
"""Where facts and printed cells lie."""

COHORTS: tuple[Cohort, ...] = ("training", "internal", "external")


@dataclass(frozen=True)
class MeanSd:
    """A continuous variable in one group, as printed.

    Attributes
    ----------
    mean, sd : Decimal
        With the printed decimals.
    """

    mean: Decimal
    sd: Decimal


@dataclass(frozen=True)
class MedianIqr:
    """A continuous variable in one group, as printed.

    Attributes
    ----------
    median, iqr : Decimal
        `iqr` is the width of the interquartile range.
    """

    median: Decimal
    iqr: Decimal


@dataclass(frozen=True)
class Group:
    """Patients of one cohort with one outcome.

    Attributes
    ----------
    patients : int
    counts : mapping of (variable, level) to int
        Binary variables have the level "".
    continuous : mapping of str to MeanSd or MedianIqr
    """

    patients: int
    counts: Mapping[tuple[str, str], int]
    continuous: Mapping[str, MeanSd | MedianIqr]


@dataclass(frozen=True)
class Ranking:
    """How one model ranks and calls one cohort.

    Attributes
    ----------
    true_positive, false_negative, true_negative, false_positive : int
    doubled_wins : int
        Twice the pairs of one patient with and one without expansion in which the former scores higher; a tie
        is half a win.
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
    groups : mapping of (cohort, expanded) to Group
    rankings : mapping of (model, cohort) to Ranking
    """

    groups: Mapping[tuple[Cohort, bool], Group]
    rankings: Mapping[tuple[str, Cohort], Ranking]

    @property
    def models(self) -> tuple[str, ...]:
        """Their names, in the paper's order."""
        return tuple(dict.fromkeys(model for model, _ in self.rankings))


def published_facts() -> Facts:
    """The paper's."""
    of_group: dict[tuple[Cohort, bool], list[dict[str, str]]] = defaultdict(list)
    for row in rows_of(HERE.parent / "table1.csv"):
        of_group[cast("Cohort", row["cohort"]), row["rhe"] == "1"].append(row)
    rankings = {
        (row["model"], cast("Cohort", row["cohort"])): Ranking(
            int(row["tp"]), int(row["fn"]), int(row["tn"]), int(row["fp"]), int(row["doubled_wins"])
        )
        for row in rows_of(HERE / "wins.csv")
    }
    return Facts({key: _group(rows) for key, rows in of_group.items()}, rankings)


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """Lines of a CSV file, without its comments."""
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def _group(rows: list[dict[str, str]]) -> Group:
    counts = {(row["variable"], row["level"]): int(row["value"]) for row in rows if row["summary"] == "count"}
    continuous = {row["variable"]: _described(row) for row in rows if row["summary"] != "count"}
    return Group(int(rows[0]["patients"]), counts, continuous)


def _described(row: dict[str, str]) -> MeanSd | MedianIqr:
    centre, spread = Decimal(row["value"]), Decimal(row["spread"])
    return MeanSd(centre, spread) if row["summary"] == "mean_sd" else MedianIqr(centre, spread)
