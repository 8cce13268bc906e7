"""The guard round R0: whether enough patients stand behind an analysis, before anything of it is asked.

Its counts are known to the coordinator alone; a breach stops the payload and the result is `suppressed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from common.errors import SmallNumberError
from common.stats.contract import Summary
from common.stats.differencing import TOO_CLOSE
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.minima import Minima
from common.types import Flags

Purpose: TypeAlias = Literal["description", "discrimination", "regression", "ridge", "agreement"]


@dataclass(frozen=True)
class Demand:
    """What an analysis is for.

    Attributes
    ----------
    purpose : {"description", "discrimination", "regression", "ridge", "agreement"}
    columns : int
        Of a regression, penalised ("ridge") or not.
    one_site : bool
        One site holds the cohort alone: its sum hides nothing, so the minima of a site's own release hold.
    """

    purpose: Purpose
    columns: int = 0
    one_site: bool = False


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


def local_guard(
    complete: Flags, labels: Flags, short: Flags | None = None, close: Flags | None = None
) -> Summary:
    """One site's patients in each analysis, and what the site itself objects to.

    Parameters
    ----------
    complete : bool array, shape (analyses, n)
        Who has all that an analysis needs.
    labels : bool array, shape (n,)
    short, close : bool arrays, shape (analyses,), or None
        Where this site has too few patients by `short_at_site`, and where they are too nearly those of a
        cohort already released by `differencing.too_close`; None: nowhere.

    Returns
    -------
    Summary
        Counts "classes" (analyses, 2), negatives first, "missing" (analyses,), and of (analyses,) each
        "sites": 1 where the site has a patient; "short" and "close": 1 where the site objects.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    if complete.ndim != 2 or complete.shape[1:] != labels.shape:
        raise ValueError(f"analyses {complete.shape} and labels {labels.shape} do not belong together")
    nowhere = np.zeros(len(complete), dtype=np.bool_)
    objections = {
        "short": nowhere if short is None else short,
        "close": nowhere if close is None else close,
    }
    for name, flags in objections.items():
        if flags.shape != nowhere.shape:
            raise ValueError(f"{name!r} is of {flags.shape} analyses, not of {nowhere.shape}")
    classes = np.stack([(complete & ~labels).sum(axis=1), (complete & labels).sum(axis=1)], axis=1)
    return Summary(
        {
            "classes": classes,
            "missing": (~complete).sum(axis=1),
            "sites": (classes.sum(axis=1) > 0).astype(np.int64),
        }
        | {name: flags.astype(np.int64) for name, flags in objections.items()}
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
        must have judged its own numbers: `short_at_site`, or `check_site` to refuse altogether.

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
        status = breach(n0, n1, demand, minima)
        if status.ok:
            status = _objection(summary, row, 1 if demand.one_site else needed)
        missing = minima.shown(int(summary.counts["missing"][row]))
        used = None if missing is None else minima.shown(n0 + n1)
        found.append(GuardResult(used, missing, int(summary.counts["sites"][row]), status))
    return tuple(found)


def short_at_site(complete: Flags, labels: Flags, demands: tuple[Demand, ...], minima: Minima) -> Flags:
    """Which analyses fall below a minimum at this site alone; none in which it has no patient.

    Parameters
    ----------
    complete : bool array, shape (analyses, n)
    labels : bool array, shape (n,)
    demands : tuple of Demand
        One an analysis.

    Returns
    -------
    bool array, shape (analyses,)

    Raises
    ------
    ValueError
        If shapes differ, or there is not one demand an analysis.
    """
    classes = local_guard(complete, labels).counts["classes"].tolist()
    return np.array(
        [
            n0 + n1 > 0 and not breach(n0, n1, demand, minima).ok
            for (n0, n1), demand in zip(classes, demands, strict=True)
        ],
        dtype=np.bool_,
    )


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
    group, per_class = _least(demand, minima)
    if n < group:
        return suppressed(f"fewer than {group} patients")
    if smaller == 0 < per_class:
        return suppressed("patients of one class only")
    if smaller < per_class:
        return suppressed(f"fewer than {per_class} patients in a class")
    return _for_columns(n, demand, minima)


def _for_columns(n: int, demand: Demand, minima: Minima) -> Status:
    """Whether there are patients enough for the columns: for their estimate, or for hiding their products."""
    if demand.purpose == "regression" and n < minima.model_rows * (demand.columns + 1):
        return suppressed("too few patients for the number of coefficients")
    if demand.purpose == "ridge" and n < min(2, minima.model_rows) * demand.columns:
        return suppressed("fewer than two patients a covariate")
    return OK


def _least(demand: Demand, minima: Minima) -> tuple[int, int]:
    """Patients, and patients of each class, that an analysis needs."""
    group, per_class = {
        "description": (minima.group, 0),
        "agreement": (minima.subjects, 0),
        "discrimination": (1, minima.per_class),
        "regression": (1, minima.model_class),
        "ridge": (1, minima.model_class),
    }[demand.purpose]
    if not demand.one_site:
        return group, per_class
    return max(group, minima.site_patients), max(per_class, minima.site_per_class) if per_class else 0


def _objection(summary: Summary, row: int, needed: int) -> Status:
    """Which rule about the sites an analysis breaks."""
    if summary.counts["sites"][row] < needed:
        return suppressed(f"fewer than {needed} sites with patients")
    if summary.counts["short"][row] > 0:
        return suppressed("a site has too few patients for it")
    if summary.counts["close"][row] > 0:
        return suppressed(TOO_CLOSE)
    return OK
