"""Phase: the sites prepare their cohorts; the coordinator learns who was left out and how many remain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.headers import Operation
from common.matrix import Part
from common.stats.contract import Summary, total
from common.stats.flow import FlowResult, finish_flow
from common.stats.minima import minima_of
from common.study import StudyPlan
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
    replies = exchange.ask(Operation.PREPARE, exchange.plan.site_names)
    minima = minima_of(exchange.plan.profile)
    summaries = {site: reply.summary for site, reply in replies.items()}
    flows = {site: finish_flow(summary.part("flow"), REASONS, minima) for site, summary in summaries.items()}
    together = finish_flow(total(summaries.values()).part("flow"), REASONS, minima)
    sizes = {site: _sizes(exchange.plan, summary) for site, summary in summaries.items()}
    return Preparation(flows, together, sizes)


def _sizes(plan: StudyPlan, summary: Summary) -> dict[Part, PartSize]:
    minima = minima_of(plan.profile)
    table = summary.counts["parts/patients"]
    return {
        part: PartSize(minima.shown(int(row[0])), minima.shown(int(row[1])))
        for part, row in zip(PARTS, table, strict=True)
        if row.sum() > 0
    }
