"""The flow chart: who was screened, who was left out for which reason, who was studied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.stats.contract import Summary
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


def finish_flow(summary: Summary, reasons: Sequence[str], minima: Minima = STANDARD) -> FlowResult:
    """The flow chart; reasons with too few patients are merged, with the next smallest if need be.

    Raises
    ------
    ValueError
        If there is not one reason for each number.
    """
    counts = summary.counts["excluded"].tolist()
    if len(reasons) != len(counts):
        raise ValueError(f"{len(counts)} numbers of excluded patients, but the reasons {list(reasons)}")
    merged = _merged(counts, minima)
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


def _merged(counts: Sequence[int], minima: Minima) -> frozenset[int]:
    """Which reasons to merge: all small ones, and more, smallest first, until their sum may be shown."""
    merged = {index for index, count in enumerate(counts) if minima.shown(count) is None}
    larger = sorted((count, index) for index, count in enumerate(counts) if count >= minima.cell)
    while larger and minima.shown(sum(counts[index] for index in merged)) is None:
        merged.add(larger.pop(0)[1])
    return frozenset(merged)
