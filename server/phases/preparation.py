"""Phase: the sites prepare their cohorts; the coordinator learns who was left out and how many remain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.headers import Operation
from common.matrix import Part
from common.stats.contract import Summary
from common.stats.flow import FlowResult, finish_flows
from common.stats.minima import Minima, hidden_cells, minima_of
from common.study import StudyPlan
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
"""The paper's six criteria in their order, then what a site could not judge or read."""

PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class PartSize:
    """Patients of one part of one site's cohort; None where the number may not be shown."""

    negative: int | None
    positive: int | None


@dataclass(frozen=True)
class Preparation:
    """What is known of the cohorts before training.

    Attributes
    ----------
    flows : mapping of str to FlowResult
        By site.
    together : FlowResult
        Over all sites.
    sizes : mapping of str to mapping of part to PartSize
        By site; parts that have patients.
    """

    flows: Mapping[str, FlowResult]
    together: FlowResult
    sizes: Mapping[str, Mapping[Part, PartSize]]

    def parts(self) -> dict[str, frozenset[Part]]:
        """Which parts have patients, by site."""
        return {site: frozenset(sizes) | {"whole"} for site, sizes in self.sizes.items()}


def prepare_sites(exchange: Exchange) -> Preparation:
    """Every site's flow chart and the chart of all sites together."""
    gathered = exchange.gather(Operation.PREPARE)
    minima = minima_of(exchange.plan.profile)
    summaries = {site: gathered.of((site,)) for site in exchange.plan.site_names}
    charts = {site: summary.part("flow") for site, summary in summaries.items()}
    flows, together = finish_flows(charts, REASONS, minima)
    sizes = {site: _sizes(exchange.plan, summary) for site, summary in summaries.items()}
    return Preparation(flows, together, sizes)


def _sizes(plan: StudyPlan, summary: Summary) -> dict[Part, PartSize]:
    """What the flow chart tells of the site, less the other parts, must not be a hidden part."""
    table = summary.counts["parts/patients"]
    hidden = np.stack([_hidden(column, minima_of(plan.profile)) for column in table.T], axis=1)
    return {
        part: PartSize(*(None if mark else int(count) for count, mark in zip(row, marks, strict=True)))
        for part, row, marks in zip(PARTS, table, hidden, strict=True)
        if row.sum() > 0
    }


def _hidden(column: Counts, minima: Minima) -> Flags:
    """Of one class, by part; Table 1 tells training and validation together, and the tested alone."""
    trained, tested = column[:2], column[2:]
    if not (minima.releasable(tested) & minima.releasable(trained.sum())).all():
        return np.ones(column.shape, dtype=np.bool_)
    return np.append(hidden_cells(trained[:, np.newaxis], minima)[:, 0], [False])
