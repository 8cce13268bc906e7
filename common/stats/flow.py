"""The flow chart: who was screened, who was left out for which reason, who was studied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.stats.contract import Summary, total
from common.stats.estimate import OK, Status, suppressed
from common.stats.minima import STANDARD, Minima


@dataclass(frozen=True)
class Excluded:
    """Patients left out for one reason, or for several too rare to be shown apart.

    Attributes
    ----------
    reasons : tuple of str
        Several where small numbers were merged ("other reasons").
    patients : int or None
        None where even the merged number may not be shown.
    """

    reasons: tuple[str, ...]
    patients: int | None


@dataclass(frozen=True)
class FlowResult:
    """One cohort's flow chart.

    Attributes
    ----------
    screened : int or None
        None where it would give a hidden number of exclusions away.
    excluded : tuple of Excluded
        In the order of application, merged reasons last.
    included, positive, negative : int or None
        Patients studied, and by outcome.
    method : str
    status : Status
    """

    screened: int | None
    excluded: tuple[Excluded, ...]
    included: int | None
    positive: int | None
    negative: int | None
    method: str
    status: Status


def local_flow(screened: int, excluded: Sequence[int], positive: int, negative: int) -> Summary:
    """One site's numbers.

    Parameters
    ----------
    screened : int
        Everyone in the table.
    excluded : sequence of int
        By the first reason that applies, in the plan's order.
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
    """Each site's flow chart, and that of all together, from which no other can be subtracted.

    What one site merges is merged in the sum, too; what one site hides is hidden there.
    """
    flows = {site: finish_flow(summary, reasons, minima) for site, summary in summaries.items()}
    together = frozenset(
        reasons.index(reason)
        for flow in flows.values()
        for one in flow.excluded
        for reason in one.reasons
        if len(one.reasons) > 1 or one.patients is None
    )
    whole = finish_flow(total(summaries.values()), reasons, minima, together)
    if any(flow.excluded and flow.excluded[-1].patients is None for flow in flows.values()):
        whole = replace(whole, screened=None, excluded=_without_numbers(whole, together, reasons))
    if any(flow.included is None for flow in flows.values()):
        whole = replace(whole, included=None)
    if any(flow.positive is None for flow in flows.values()):
        whole = replace(whole, positive=None, negative=None)
    hidden = None in {whole.screened, whole.included, whole.positive}
    return flows, replace(whole, status=suppressed("a count below the minimum")) if hidden else whole


def finish_flow(
    summary: Summary,
    reasons: Sequence[str],
    minima: Minima = STANDARD,
    together: frozenset[int] = frozenset(),
) -> FlowResult:
    """The flow chart; reasons with too few patients are merged, with the next smallest if need be.

    Parameters
    ----------
    together : frozenset of int
        Places of reasons that may only be shown as one number.

    Raises
    ------
    ValueError
        If there is not one reason for each number.
    """
    counts = summary.counts["excluded"].tolist()
    if len(reasons) != len(counts):
        raise ValueError(f"{len(counts)} numbers of excluded patients, but the reasons {list(reasons)}")
    merged = _merged(counts, minima, together)
    shown = [
        Excluded((reason,), count)
        for index, (reason, count) in enumerate(zip(reasons, counts, strict=True))
        if index not in merged
    ]
    others = minima.shown(sum(counts[index] for index in merged))
    if merged:
        shown.append(Excluded(tuple(reasons[index] for index in sorted(merged)), others))
    negative, positive = summary.counts["included"].tolist()
    classes_shown = minima.shown(negative) is not None and minima.shown(positive) is not None
    complete = classes_shown and others is not None
    return FlowResult(
        screened=None if others is None else minima.shown(int(summary.counts["screened"][0])),
        excluded=tuple(shown),
        included=minima.shown(negative + positive),
        positive=positive if classes_shown else None,
        negative=negative if classes_shown else None,
        method="first failing reason",
        status=OK if complete else suppressed("a count below the minimum"),
    )


def _without_numbers(
    flow: FlowResult, together: frozenset[int], reasons: Sequence[str]
) -> tuple[Excluded, ...]:
    """The exclusions, those that belong together without their number."""
    own = {reasons[index] for index in together}
    return tuple(
        replace(one, patients=None) if own.intersection(one.reasons) else one for one in flow.excluded
    )


def _merged(counts: Sequence[int], minima: Minima, together: frozenset[int]) -> frozenset[int]:
    """Which reasons to merge: all small ones, and more, smallest first, until their sum may be shown."""
    merged = set(together) | {index for index, count in enumerate(counts) if minima.shown(count) is None}
    larger = sorted(
        (count, index) for index, count in enumerate(counts) if count >= minima.cell and index not in merged
    )
    while larger and minima.shown(sum(counts[index] for index in merged)) is None:
        merged.add(larger.pop(0)[1])
    return frozenset(merged)
