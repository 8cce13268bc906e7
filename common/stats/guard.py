"""The guard round R0: whether an analysis has enough patients, before anything else of it is asked.

Only the coordinator learns its counts. If a minimum is not reached, the analysis is not asked for and its
result is `suppressed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from common.stats.contract import Summary
from common.stats.differencing import TOO_CLOSE
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.minima import Minima
from common.types import Flags

Purpose: TypeAlias = Literal["description", "discrimination", "calls", "regression", "ridge", "agreement"]

ONE_CLASS = suppressed("patients of one class only")
"""The status of what needs both outcomes where the patients have one."""


@dataclass(frozen=True)
class Demand:
    """What an analysis is for, which decides the minima that it must reach.

    Attributes
    ----------
    purpose : {"description", "discrimination", "calls", "regression", "ridge", "agreement"}
        The kind of analysis; "calls" of patients of one class, as positive or negative, need no other class.
    columns : int
        Covariate columns of a regression, penalised ("ridge") or not.
    one_site : bool
        Whether one site alone holds the cohort: its sum hides nothing, so the minima of a site's own release
        apply.
    """

    purpose: Purpose
    columns: int = 0
    one_site: bool = False


@dataclass(frozen=True)
class GuardResult:
    """The numbers of one analysis, and whether it may go on.

    Attributes
    ----------
    n_used, n_missing : int or None
        Patients with all that the analysis needs, and those without; None where hidden.
    sites : int
        Sites that contribute patients.
    status : Status
        OK if the analysis may go on, else why not.
    """

    n_used: int | None
    n_missing: int | None
    sites: int
    status: Status


def local_guard(
    complete: Flags, labels: Flags, short: Flags | None = None, close: Flags | None = None
) -> Summary:
    """One site's patients in each analysis, and the analyses to which the site objects.

    Parameters
    ----------
    complete : bool array, shape (analyses, n)
        Which patients have all that an analysis needs.
    labels : bool array, shape (n,)
        True for the outcome.
    short, close : bool arrays, shape (analyses,), or None
        Analyses for which this site has too few patients (`find_short_analyses`), and those whose cohort
        is too close to one already released (`differencing.is_too_close`); None: no analysis.

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
    """The numbers of each analysis, and whether it may be asked for.

    Parameters
    ----------
    demands : tuple of Demand
        One per analysis.
    two_site_ack : bool
        The plan accepts that each of two sites can compute the other's summary from the sum; then every site
        must have checked its own numbers with `find_short_analyses`.

    Raises
    ------
    ValueError
        If there is not one demand per analysis.
    """
    if len(demands) != len(summary.counts["sites"]):
        raise ValueError(f"{len(summary.counts['sites'])} analyses counted, {len(demands)} demanded")
    needed = min(minima.sites, 2) if two_site_ack else minima.sites
    results = []
    for row, demand in enumerate(demands):
        n0, n1 = (int(n) for n in summary.counts["classes"][row])
        is_close = bool(summary.counts["close"][row] > 0)
        status = suppressed(TOO_CLOSE) if is_close else find_breach(n0, n1, demand, minima)
        if status.ok:
            status = _find_objection(summary, row, 1 if demand.one_site else needed)
        # A site that finds its cohort too close to another has counted nobody
        missing = None if is_close else minima.show(int(summary.counts["missing"][row]))
        used = None if missing is None else minima.show(n0 + n1)
        results.append(GuardResult(used, missing, int(summary.counts["sites"][row]), status))
    return tuple(results)


def find_short_analyses(complete: Flags, labels: Flags, demands: tuple[Demand, ...], minima: Minima) -> Flags:
    """The analyses that fall below a minimum at this site alone.

    An outcome that no patient here has does not count: nothing of a few patients follows from a number of 0,
    and the sum over sites may have both outcomes although this site has one.

    Parameters
    ----------
    complete : bool array, shape (analyses, n)
    labels : bool array, shape (n,)
    demands : tuple of Demand
        One per analysis.

    Returns
    -------
    bool array, shape (analyses,)

    Raises
    ------
    ValueError
        If shapes differ, or there is not one demand per analysis.
    """
    classes = local_guard(complete, labels).counts["classes"].tolist()
    return np.array(
        [
            n0 + n1 > 0 and _is_short(n0, n1, demand, minima)
            for (n0, n1), demand in zip(classes, demands, strict=True)
        ],
        dtype=np.bool_,
    )


def find_breach(negatives: int, positives: int, demand: Demand, minima: Minima) -> Status:
    """The status that names the first minimum the numbers fall below; OK if there is none."""
    n, smaller = negatives + positives, min(negatives, positives)
    if n == 0:
        return undefined("no patients")
    group, per_class = _minimum_sizes(demand, minima)
    if n < group:
        return suppressed(f"fewer than {group} patients")
    if smaller == 0 < per_class:
        return ONE_CLASS
    if smaller < per_class:
        return suppressed(f"fewer than {per_class} patients in a class")
    return _column_status(n, demand, minima)


def _is_short(negatives: int, positives: int, demand: Demand, minima: Minima) -> bool:
    n, (group, per_class) = negatives + positives, _minimum_sizes(demand, minima)
    too_few = n < group or any(0 < number < per_class for number in (negatives, positives))
    return too_few or not _column_status(n, demand, minima).ok


def _column_status(n: int, demand: Demand, minima: Minima) -> Status:
    """Whether there are enough patients for the columns: to estimate them, or to hide their products."""
    if demand.purpose == "regression" and n < minima.model_rows * (demand.columns + 1):
        return suppressed("too few patients for the number of coefficients")
    if demand.purpose == "ridge" and n < min(2, minima.model_rows) * demand.columns:
        return suppressed("fewer than two patients a covariate")
    return OK


def _minimum_sizes(demand: Demand, minima: Minima) -> tuple[int, int]:
    """How many patients, and patients of each class, an analysis needs."""
    group, per_class = {
        "description": (minima.group, 0),
        "agreement": (minima.subjects, 0),
        "discrimination": (1, minima.per_class),
        "calls": (minima.per_class, 0),
        "regression": (1, minima.model_class),
        "ridge": (1, minima.model_class),
    }[demand.purpose]
    if not demand.one_site:
        return group, per_class
    return max(group, minima.site_patients), max(per_class, minima.site_per_class) if per_class else 0


def _find_objection(summary: Summary, row: int, needed: int) -> Status:
    """The status that names the rule about sites which an analysis breaks; OK if there is none."""
    if summary.counts["sites"][row] < needed:
        return suppressed(f"fewer than {needed} sites with patients")
    if summary.counts["short"][row] > 0:
        return suppressed("a site has too few patients for it")
    return OK
