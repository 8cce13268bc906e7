"""Discrimination in the parts of a cohort, and whether two parts differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
from scipy.special import ndtr

from common.stats.contract import Summary
from common.stats.delong import AucDifference
from common.stats.estimate import OK, Interval, Status, Z, suppressed, undefined
from common.stats.minima import STANDARD, Minima, hidden_cells
from common.stats.roc import AucInterval, RocResult, finish_roc, local_roc
from common.types import Counts, Flags, Reals

_NO_VARIANCE = 1e-14


def local_subgroups(scores: Reals, labels: Flags, parts: Counts, n_parts: int, bins: int) -> Summary:
    """What `roc.local_roc` says of each part, and of the patients whose part is not known.

    Parameters
    ----------
    scores : float array, shape (n,)
        In [0, 1]; NaN for a patient without a score, who is left out and counted.
    labels : bool array, shape (n,)
    parts : int array, shape (n,)
        0 ... n_parts - 1; -1 where missing.

    Returns
    -------
    Summary
        Counts "histogram" (n_parts + 1, 2, bins), "same_bin" (n_parts + 1, 2) and "missing" (n_parts + 1,);
        the last row for those whose part is missing.

    Raises
    ------
    ValueError
        If a part does not exist; else as `roc.local_roc`.
    """
    if ((parts < -1) | (parts >= n_parts)).any():
        raise ValueError(f"parts lie outside 0 ... {n_parts - 1}; -1 says that it is missing")
    of = [parts == part for part in (*range(n_parts), -1)]
    summaries = [local_roc(scores[own], labels[own], bins) for own in of]
    return Summary(
        {
            name: np.concatenate([summary.counts[name] for summary in summaries])
            for name in ("histogram", "same_bin", "missing")
        }
    )


def finish_subgroups(
    summary: Summary, interval: AucInterval = "logit-delong", minima: Minima = STANDARD
) -> tuple[RocResult, ...]:
    """Each part's discrimination, the unknown part left out.

    The whole cohort's result is taken to be known. One part hidden would be the whole less the others: the
    next smallest are hidden too, until what is hidden together could itself be shown. Patients whose part is
    missing are such a part. Likewise where the number without a score is hidden, another part's is too.
    """
    rows = range(len(summary.counts["histogram"]))
    results = [finish_roc(summary, interval, minima, row) for row in rows]
    classes = summary.counts["histogram"].sum(axis=2)
    hidden = _hidden(classes, [result.status.ok for result in results], minima)
    uncounted = hidden_cells(np.stack([classes.sum(axis=1), summary.counts["missing"]], axis=1), minima)
    return tuple(
        _withheld(result) if row in hidden else _uncounted(result) if uncounted[row].any() else result
        for row, result in enumerate(results[:-1])
    )


def compare_unpaired(first: RocResult, second: RocResult) -> AucDifference:
    """The difference of two AUCs of different patients: two subgroups (an interaction), or two cohorts.

    References
    ----------
    Hanley JA, McNeil BJ. Radiology 1982;143:29-36, with DeLong's variances. Without the degrees of freedom
    that pROC's unpaired test adds.
    """
    method = "DeLong, unpaired"
    used = _sum(first.n_positive, first.n_negative, second.n_positive, second.n_negative)
    missing = _sum(first.n_missing, second.n_missing)
    worse = next((result.status for result in (first, second) if not result.status.ok), OK)
    if first.auc is None or second.auc is None:
        return AucDifference(None, None, None, None, None, used, missing, method, worse)
    if first.variance is None or second.variance is None or first.variance + second.variance < _NO_VARIANCE:
        none = undefined("the difference has no variance")
        return AucDifference(None, None, None, None, None, used, missing, method, none)
    difference = first.auc - second.auc
    error = sqrt(first.variance + second.variance)
    half = Z * error
    interval = Interval(max(-1.0, difference - half), min(1.0, difference + half), method)
    z = difference / error
    return AucDifference(difference, interval, z, float(2 * ndtr(-abs(z))), None, used, missing, method, OK)


def _hidden(classes: Counts, shown: Sequence[bool], minima: Minima) -> frozenset[int]:
    """Rows that are not empty and must not be shown."""
    sizes = classes.sum(axis=1)
    hidden = {row for row, size in enumerate(sizes) if size > 0 and not shown[row]}
    larger = sorted((int(size), row) for row, size in enumerate(sizes) if size > 0 and row not in hidden)
    while hidden and larger and not _enough(classes[sorted(hidden)], minima):
        hidden.add(larger.pop(0)[1])
    return frozenset(hidden)


def _enough(classes: Counts, minima: Minima) -> bool:
    return bool(classes.sum(axis=0).min() >= minima.per_class)


def _withheld(result: RocResult) -> RocResult:
    """Without any number; its own reason, if it has one."""
    status: Status = suppressed("the whole cohort's result would give another subgroup's away")
    if not result.status.ok:
        status = result.status
    return RocResult(None, None, None, None, None, None, None, None, result.method, status)


def _uncounted(result: RocResult) -> RocResult:
    """Without what tells how many patients have a score."""
    return replace(result, curve=None, n_positive=None, n_negative=None, n_missing=None)


def _sum(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
