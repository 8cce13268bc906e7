"""The flow chart: patients screened, patients excluded by reason, patients studied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.stats.contract import Summary, total
from common.stats.estimate import OK, Status, suppressed
from common.stats.minima import STANDARD, Minima


@dataclass(frozen=True)
class ExclusionCount:
    """Patients excluded for one reason, or for several that are too rare to be shown apart.

    Attributes
    ----------
    reasons : tuple of str
        The reason; several where small numbers were merged ("other reasons").
    patients : int or None
        How many; None where even the merged number may not be shown.
    """

    reasons: tuple[str, ...]
    patients: int | None

    def __post_init__(self) -> None:
        if self.patients is not None and self.patients < 0:
            raise ValueError(f"patients cannot be {self.patients}")


@dataclass(frozen=True)
class FlowResult:
    """One cohort's flow chart.

    Attributes
    ----------
    screened : int or None
        Patients in the table; None where it would give a hidden number of exclusions away.
    excluded : tuple of ExclusionCount
        In the order of application, merged reasons last.
    included, positive, negative : int or None
        Patients studied, and those of them with and without the outcome; None where hidden.
    method : str
        Which reason counts for a patient who meets several.
    status : Status
        Suppressed if any number is hidden.
    """

    screened: int | None
    excluded: tuple[ExclusionCount, ...]
    included: int | None
    positive: int | None
    negative: int | None
    method: str
    status: Status


def local_flow(screened: int, excluded: Sequence[int], positive: int, negative: int) -> Summary:
    """One site's numbers for the flow chart.

    Parameters
    ----------
    screened : int
        All patients in the table.
    excluded : sequence of int
        Patients excluded, by the first reason that applies, in the plan's order of reasons.
    positive, negative : int
        Patients included, by outcome.

    Raises
    ------
    ValueError
        If the numbers do not add up.
    """
    if screened != sum(excluded) + positive + negative:
        raise ValueError(
            f"{screened} screened are not {list(excluded)} excluded, {positive} positive, {negative} negative"
        )
    return Summary(
        counts={
            "screened": np.array([screened]),
            "excluded": np.array(excluded, dtype=np.int64),
            "included": np.array([negative, positive]),
        }
    )


def finish_flows(
    summaries: Mapping[str, Summary], reasons: Sequence[str], minima: Minima = STANDARD
) -> tuple[dict[str, FlowResult], FlowResult]:
    """Each site's flow chart, and that of all sites together, safe against subtracting one from the other.

    Reasons that one site merges are merged in the sum too, and a number that one site hides is hidden there.
    """
    flows = {site: finish_flow(summary, reasons, minima) for site, summary in summaries.items()}
    together = frozenset(
        reasons.index(reason)
        for flow in flows.values()
        for exclusion in flow.excluded
        for reason in exclusion.reasons
        if len(exclusion.reasons) > 1 or exclusion.patients is None
    )
    pooled = finish_flow(total(summaries.values()), reasons, minima, together)
    if any(flow.excluded and flow.excluded[-1].patients is None for flow in flows.values()):
        pooled = replace(pooled, screened=None, excluded=_hide_numbers(pooled, together, reasons))
    if any(flow.included is None for flow in flows.values()):
        pooled = replace(pooled, included=None)
    if any(flow.positive is None for flow in flows.values()):
        pooled = replace(pooled, positive=None, negative=None)
    hidden = None in {pooled.screened, pooled.included, pooled.positive}
    return flows, replace(pooled, status=suppressed("a count below the minimum")) if hidden else pooled


def finish_flow(
    summary: Summary,
    reasons: Sequence[str],
    minima: Minima = STANDARD,
    together: frozenset[int] = frozenset(),
) -> FlowResult:
    """One flow chart; reasons with too few patients are merged, with the next smallest if necessary.

    Parameters
    ----------
    together : frozenset of int
        Positions of reasons that may only be shown as one number.

    Raises
    ------
    ValueError
        If numbers and reasons differ in length.
    """
    counts = summary.counts["excluded"].tolist()
    if len(reasons) != len(counts):
        raise ValueError(f"{len(counts)} numbers of excluded patients, but the reasons {list(reasons)}")
    merged = _merge_small(counts, minima, together)
    shown = [
        ExclusionCount((reason,), count)
        for index, (reason, count) in enumerate(zip(reasons, counts, strict=True))
        if index not in merged
    ]
    others = minima.show(sum(counts[index] for index in merged))
    if merged:
        shown.append(ExclusionCount(tuple(reasons[index] for index in sorted(merged)), others))
    negative, positive = summary.counts["included"].tolist()
    classes_shown = minima.show(negative) is not None and minima.show(positive) is not None
    complete = classes_shown and others is not None
    return FlowResult(
        screened=None if others is None else minima.show(int(summary.counts["screened"][0])),
        excluded=tuple(shown),
        included=minima.show(negative + positive),
        positive=positive if classes_shown else None,
        negative=negative if classes_shown else None,
        method="first failing reason",
        status=OK if complete else suppressed("a count below the minimum"),
    )


def _hide_numbers(
    flow: FlowResult, together: frozenset[int], reasons: Sequence[str]
) -> tuple[ExclusionCount, ...]:
    """The exclusions; those with a reason that belongs together lose their number."""
    merged = {reasons[index] for index in together}
    return tuple(
        replace(exclusion, patients=None) if merged.intersection(exclusion.reasons) else exclusion
        for exclusion in flow.excluded
    )


def _merge_small(counts: Sequence[int], minima: Minima, together: frozenset[int]) -> frozenset[int]:
    """Positions of reasons to merge: all small ones, then the smallest others until the sum may be shown."""
    merged = set(together) | {index for index, count in enumerate(counts) if minima.show(count) is None}
    larger = sorted(
        (count, index) for index, count in enumerate(counts) if count >= minima.cell and index not in merged
    )
    while larger and minima.show(sum(counts[index] for index in merged)) is None:
        merged.add(larger.pop(0)[1])
    return frozenset(merged)
