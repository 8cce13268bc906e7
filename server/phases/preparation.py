"""Phase: the sites prepare their cohorts; the coordinator learns how many patients were left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.messages.headers import Operation
from common.plan.matrix import SPLITS, Part
from common.plan.study import StudyPlan
from common.stats.contract import Summary
from common.stats.flow import FlowResult, finish_flows
from common.stats.minima import Minima, hide_cells, minima_of
from common.types import Counts, Flags
from server.exchange import Exchange

REASONS = (
    "Age < 18 years",
    "Baseline CT > 24 h after onset",
    "Follow-up CT > 72 h after baseline CT",
    "Primary IVH",
    "Previous surgical treatment",
    "Obvious artifacts",
    "Eligibility unknown",
    "Scan or mask refused",
)
"""The paper's six criteria in their order, then what a site could not judge or could not read."""


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
    """

    flows: Mapping[str, FlowResult]
    together: FlowResult
    sizes: Mapping[str, Mapping[Part, PartSize]]


def prepare_sites(exchange: Exchange) -> Preparation:
    """Every site's flow chart and the chart of all sites together."""
    sums = exchange.gather(Operation.PREPARE)
    minima = minima_of(exchange.plan.profile)
    summaries = {site: sums.of((site,)) for site in exchange.plan.site_names}
    charts = {site: summary.part("flow") for site, summary in summaries.items()}
    flows, together = finish_flows(charts, REASONS, minima)
    sizes = {site: _count_parts(exchange.plan, summary) for site, summary in summaries.items()}
    return Preparation(flows, together, sizes)


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
