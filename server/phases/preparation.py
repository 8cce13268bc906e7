"""Phase: the sites prepare their cohorts; the coordinator learns how many patients were left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from common.plan.matrix import SPLITS, Part
from common.plan.study import Arm, StudyPlan
from common.program.names import PREPARATION
from common.program.study_program import prepare_patients
from common.program.trainable_arms import judge_counted_training
from common.stats.contract import Summary
from common.stats.estimate import Status
from common.stats.flow import FlowResult, finish_flows
from common.stats.minima import Minima, hide_cells, minima_of
from common.types import Counts, Flags
from server.exchange import Exchange
from server.procedures import carry_out

_NOT_JUDGED = ("Eligibility unknown", "Row, scan or mask refused")
"""What a site could not judge or could not read; in the flow chart after the plan's criteria."""


@dataclass(frozen=True)
class PartSize:
    """Patients of one part of one site's cohort.

    Attributes
    ----------
    negative : int or None
        Patients without expansion; None if the number may not be shown.
    positive : int or None
        Patients with expansion; None if the number may not be shown.
    """

    negative: int | None
    positive: int | None


@dataclass(frozen=True)
class Preparation:
    """The cohorts' sizes and exclusions.

    Attributes
    ----------
    flows : mapping of str to FlowResult
        Flow chart of each site.
    together : FlowResult
        Flow chart of all sites together.
    sizes : mapping of str to mapping of part to PartSize
        By site, the parts that have patients.
    counted : mapping of str to int array, shape (parts, 2)
        By site, its patients of each of `SPLITS` without and with expansion, as it stated them; not to be
        shown.
    """

    flows: Mapping[str, FlowResult]
    together: FlowResult
    sizes: Mapping[str, Mapping[Part, PartSize]]
    counted: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def training_patients(self) -> dict[str, int]:
        """By site, its training patients, whose number is the weight of its updates; not to be shown."""
        return {site: int(table[SPLITS.index("train")].sum()) for site, table in self.counted.items()}

    def find_without_patients(self, sites: Iterable[str], *parts: Part) -> frozenset[str]:
        """Which of these sites have no patient in any of the parts; a number of 0 may be told of any site."""
        rows = [SPLITS.index(part) for part in parts]
        return frozenset(site for site in sites if not self.counted[site][rows].any())

    def show_validation(self, sites: Iterable[str]) -> PartSize:
        """Validation patients of these sites together, by class; None if any site's number is not shown."""
        sizes = [self.sizes[site].get("validation", PartSize(0, 0)) for site in sites]
        return PartSize(
            _add_if_shown([size.negative for size in sizes]), _add_if_shown([size.positive for size in sizes])
        )

    def show_training(self, sites: Iterable[str]) -> int | None:
        """Training patients of these sites together; None if any site's number may not be shown."""
        numbers: list[int | None] = []
        for site in sites:
            size = self.sizes[site].get("train", PartSize(0, 0))
            numbers += [size.negative, size.positive]
        return _add_if_shown(numbers)


def prepare_sites(exchange: Exchange) -> Preparation:
    """Every site's flow chart and the chart of all sites together."""
    sums = carry_out(exchange, PREPARATION, prepare_patients()).sums
    minima = minima_of(exchange.plan.profile)
    summaries = {site: sums.of((site,)) for site in exchange.plan.site_names}
    charts = {site: summary.part("flow") for site, summary in summaries.items()}
    criteria = (criterion.label for criterion in exchange.plan.eligibility.criteria)
    flows, together = finish_flows(charts, (*criteria, *_NOT_JUDGED), minima)
    sizes = {site: _count_parts(exchange.plan, summary) for site, summary in summaries.items()}
    counted = {site: summary.counts["parts/patients"] for site, summary in summaries.items()}
    return Preparation(flows, together, sizes, counted)


def judge_training(plan: StudyPlan, preparation: Preparation, arm: Arm) -> Status:
    """Whether the training patients of an arm can train a network, as `judge_counted_training` says."""
    return judge_counted_training(plan, preparation.counted, arm)


def _add_if_shown(numbers: Sequence[int | None]) -> int | None:
    """The sum of the numbers; None if any of them is not shown."""
    shown = [number for number in numbers if number is not None]
    return sum(shown) if len(shown) == len(numbers) else None


def _count_parts(plan: StudyPlan, summary: Summary) -> dict[Part, PartSize]:
    """Patients of each part that has any; no hidden number may follow from the flow chart and other parts."""
    table = summary.counts["parts/patients"]
    hidden = np.stack([_find_hidden(column, minima_of(plan.profile)) for column in table.T], axis=1)
    return {
        part: PartSize(*(None if mark else int(count) for count, mark in zip(row, marks, strict=True)))
        for part, row, marks in zip(SPLITS, table, hidden, strict=True)
        if row.sum() > 0
    }


def _find_hidden(column: Counts, minima: Minima) -> Flags:
    """Which parts' numbers of one class are hidden, shape (parts,).

    Table 1 shows training and validation patients together, and test patients by themselves.
    """
    trained, tested = column[:2], column[2:]
    if not (minima.may_release(tested) & minima.may_release(trained.sum())).all():
        return np.ones(column.shape, dtype=np.bool_)
    return np.append(hide_cells(trained[:, np.newaxis], minima)[:, 0], [False])
