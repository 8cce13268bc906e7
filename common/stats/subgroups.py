"""Discrimination in the subgroups of a cohort; `common.stats.unpaired` compares two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from common.stats.contract import Summary
from common.stats.estimate import suppressed
from common.stats.minima import STANDARD, Minima, hide_cells
from common.stats.roc import AucInterval, RocResult, finish_roc, local_roc, withhold_roc
from common.stats.score_grid import ScoreGrid
from common.types import Counts, Flags, Reals


def local_subgroups(scores: Reals, labels: Flags, parts: Counts, n_parts: int, grid: ScoreGrid) -> Summary:
    """One site's `roc.local_roc` of each subgroup, and of the patients whose subgroup is unknown.

    Parameters
    ----------
    scores : float array, shape (n,)
        In [0, 1]; NaN for a patient without a score, who is left out and counted.
    labels : bool array, shape (n,)
    parts : int array, shape (n,)
        Each patient's subgroup in 0 ... n_parts - 1; -1 where missing.

    Returns
    -------
    Summary
        Counts "histogram" (n_parts + 1, 2, grid.bins), "same_bin" (n_parts + 1, 3) and "missing"
        (n_parts + 1,); the last row for patients whose subgroup is missing.

    Raises
    ------
    ValueError
        If a subgroup does not exist; else as `roc.local_roc`.
    """
    if ((parts < -1) | (parts >= n_parts)).any():
        raise ValueError(f"parts lie outside 0 ... {n_parts - 1}; -1 says that it is missing")
    part_members = [parts == part for part in (*range(n_parts), -1)]
    summaries = [local_roc(scores[members], labels[members], grid) for members in part_members]
    return Summary(
        {
            name: np.concatenate([summary.counts[name] for summary in summaries])
            for name in ("histogram", "same_bin", "missing")
        }
    )


def finish_subgroups(
    summary: Summary, grid: ScoreGrid, interval: AucInterval = "logit-delong", minima: Minima = STANDARD
) -> tuple[RocResult, ...]:
    """Each subgroup's discrimination; patients whose subgroup is missing have no result.

    The reader is taken to know the result of the whole cohort, so a single hidden subgroup would be the whole
    minus the others: the next smallest subgroups are hidden too, until the hidden ones together could be
    shown. Patients whose subgroup is missing count as such a subgroup. Likewise, where one subgroup's number
    of patients without a score is hidden, that of another subgroup is hidden too.
    """
    rows = range(len(summary.counts["histogram"]))
    results = [finish_roc(summary, grid, interval, minima, row) for row in rows]
    classes = summary.counts["histogram"].sum(axis=2)
    hidden = _choose_hidden(classes, [result.auc.standing.ok for result in results], minima)
    uncounted = hide_cells(np.stack([classes.sum(axis=1), summary.counts["missing"]], axis=1), minima)
    return tuple(
        _withhold(result, interval)
        if row in hidden
        else _hide_numbers(result)
        if uncounted[row].any()
        else result
        for row, result in enumerate(results[:-1])
    )


def _choose_hidden(classes: Counts, shown: Sequence[bool], minima: Minima) -> frozenset[int]:
    """The rows that have patients and must not be shown."""
    sizes = classes.sum(axis=1)
    hidden = {row for row, size in enumerate(sizes) if size > 0 and not shown[row]}
    larger = sorted((int(size), row) for row, size in enumerate(sizes) if size > 0 and row not in hidden)
    while hidden and larger and not _has_enough(classes[sorted(hidden)], minima):
        hidden.add(larger.pop(0)[1])
    return frozenset(hidden)


def _has_enough(classes: Counts, minima: Minima) -> bool:
    return bool(classes.sum(axis=0).min() >= minima.per_class)


def _withhold(result: RocResult, interval: AucInterval) -> RocResult:
    """The result without any number; a suppressed result keeps its own reason."""
    disclosing = suppressed("the whole cohort's result would give another subgroup's away")
    return withhold_roc(interval, disclosing if result.auc.standing.ok else result.auc.standing)


def _hide_numbers(result: RocResult) -> RocResult:
    """The result without the numbers that tell how many patients have a score."""
    auc = replace(result.auc, n_used=None, n_missing=None)
    return replace(result, auc=auc, curve=None, n_positive=None, n_negative=None)
