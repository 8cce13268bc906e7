"""The guard round R0: whether enough patients stand behind an analysis, before anything of it is asked.

Its counts are known to the coordinator alone; a breach stops the payload and the result is `suppressed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from common.errors import SmallNumberError
from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.minima import Minima
from common.types import Flags

Purpose: TypeAlias = Literal["description", "discrimination", "regression", "agreement"]


@dataclass(frozen=True)
class Demand:
    """What an analysis is for, and for a regression how many columns it has."""

    purpose: Purpose
    columns: int = 0


@dataclass(frozen=True)
class GuardResult:
    """One analysis' numbers, and whether it may go on.

    Attributes
    ----------
    n_used, n_missing : int or None
        None where the number may not be shown.
    sites : int
        That contribute patients.
    status : Status
    """

    n_used: int | None
    n_missing: int | None
    sites: int
    status: Status


def local_guard(complete: Flags, labels: Flags) -> Summary:
    """One site's patients in each analysis.

    Parameters
    ----------
    complete : bool array, shape (analyses, n)
        Who has all that an analysis needs.
    labels : bool array, shape (n,)

    Returns
    -------
    Summary
        Counts "classes" (analyses, 2), negatives first, "missing" (analyses,), and "sites" (analyses,): 1
        where the site has a patient.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    if complete.ndim != 2 or complete.shape[1:] != labels.shape:
        raise ValueError(f"analyses {complete.shape} and labels {labels.shape} do not belong together")
    classes = np.stack([(complete & ~labels).sum(axis=1), (complete & labels).sum(axis=1)], axis=1)
    return Summary(
        {
            "classes": classes,
            "missing": (~complete).sum(axis=1),
            "sites": (classes.sum(axis=1) > 0).astype(np.int64),
        }
    )


def finish_guard(
    summary: Summary, demands: tuple[Demand, ...], minima: Minima, *, two_site_ack: bool = False
) -> tuple[GuardResult, ...]:
    """Whether each analysis may be asked for.

    Parameters
    ----------
    demands : tuple of Demand
        One an analysis.
    two_site_ack : bool
        The plan accepts that each of two sites can tell the other's summary from the sum; then every site
        must have passed `check_site`.

    Raises
    ------
    ValueError
        If there is not one demand an analysis.
    """
    if len(demands) != len(summary.counts["sites"]):
        raise ValueError(f"{len(summary.counts['sites'])} analyses counted, {len(demands)} demanded")
    needed = min(minima.sites, 2) if two_site_ack else minima.sites
    found = []
    for row, demand in enumerate(demands):
        n0, n1 = (int(n) for n in summary.counts["classes"][row])
        sites = int(summary.counts["sites"][row])
        status = breach(n0, n1, demand, minima)
        if status.ok and sites < needed:
            status = suppressed(f"fewer than {needed} sites with patients")
        missing = minima.shown(int(summary.counts["missing"][row]))
        used = None if missing is None else minima.shown(n0 + n1)
        found.append(GuardResult(used, missing, sites, status))
    return tuple(found)


def check_site(summary: Summary, demands: tuple[Demand, ...], minima: Minima) -> None:
    """Every threshold at one site, as a study of two sites needs; a site without patients passes.

    Raises
    ------
    SmallNumberError
        If an analysis falls below its minimum here.
    """
    for (n0, n1), demand in zip(summary.counts["classes"].tolist(), demands, strict=True):
        status = breach(n0, n1, demand, minima)
        if n0 + n1 > 0 and not status.ok:
            raise SmallNumberError(
                f"{demand.purpose} of two sites: {status.reason} at this site -> take part with more patients"
            )


def breach(negatives: int, positives: int, demand: Demand, minima: Minima) -> Status:
    """Which minimum the numbers fall below; OK if none."""
    n, smaller = negatives + positives, min(negatives, positives)
    if n == 0:
        return undefined("no patients")
    group = {"description": minima.group, "agreement": minima.subjects}.get(demand.purpose)
    if group is not None:
        return OK if n >= group else suppressed(f"fewer than {group} patients")
    if smaller == 0:
        return suppressed("patients of one class only")
    per_class = minima.per_class if demand.purpose == "discrimination" else minima.model_class
    if smaller < per_class:
        return suppressed(f"fewer than {per_class} patients in a class")
    if demand.purpose == "regression" and n < minima.model_rows * (demand.columns + 1):
        return suppressed("too few patients for the number of coefficients")
    return OK
