"""Scores of patients: checked, selected, counted by bin, and ranked by class."""

from __future__ import annotations

from math import isinf

import numpy as np

from common.errors import NonFiniteError
from common.stats.score_grid import ScoreGrid
from common.types import Counts, Flags, Reals


def select_scored(scores: Reals, labels: Flags) -> tuple[Reals, Flags]:
    """The scores and labels of the patients who have a score.

    Parameters
    ----------
    scores : float array, shape (n,)
        NaN where missing.
    labels : bool array, shape (n,)
    """
    has_score = ~np.isnan(scores)
    return scores[has_score], labels[has_score]


def check_scores(rows: Reals, labels: Flags) -> None:
    """Refuse scores that are neither in [0, 1] nor missing.

    Parameters
    ----------
    rows : float array, shape (models, n)
        NaN where missing.
    labels : bool array, shape (n,)

    Raises
    ------
    NonFiniteError
        If a score is infinite.
    ValueError
        If a score is outside [0, 1], or shapes differ.
    """
    if rows.ndim != 2 or labels.shape != rows.shape[1:]:
        raise ValueError(f"scores {rows.shape} and labels {labels.shape} do not belong together")
    if rows.size == 0:
        return
    low, high = float(np.fmin.reduce(rows, axis=None)), float(np.fmax.reduce(rows, axis=None))
    if isinf(low) or isinf(high):
        raise NonFiniteError("a score is infinite -> find out why the model failed on this patient")
    if low < 0 or high > 1:
        raise ValueError(f"scores lie in [{low:g}, {high:g}], not in [0, 1] -> rescale them by their range")


def rank_scores(scores: Reals, positive: Flags, grid: ScoreGrid) -> tuple[Counts, int]:
    """Histograms by class, and twice the Mann-Whitney U of the positives: exact integers from one sort.

    What is sorted are integers: the bits of a float in [0, 1] have the order of the floats; shifted left by
    one bit, they lose the sign of -0 and have room for the label.

    Parameters
    ----------
    scores : float array, shape (n,)
        In [0, 1], none missing.
    positive : bool array, shape (n,)
    grid : ScoreGrid
        The same at every site.

    Returns
    -------
    tuple of int64 array, shape (2, grid.bins), negatives first, and int
    """
    keys = np.ascontiguousarray(scores).view(np.int64) << 1
    keys += positive
    keys.sort()
    # Positives before each position. Arrays are reused: memory takes longer than arithmetic here.
    scratch = keys & 1
    before = np.zeros(keys.size + 1, dtype=np.int64)
    np.cumsum(scratch, out=before[1:])
    # At most 1 where a score equals the one before it.
    np.bitwise_xor(keys[1:], keys[:-1], out=scratch[1:])
    wins = _count_doubled_wins(before, np.flatnonzero(scratch[1:] <= 1) + 1)
    keys >>= 1
    below = np.searchsorted(keys.view(np.float64), grid.edges)
    edges = np.concatenate([[0], below, [keys.size]])
    positives = np.diff(before[edges])
    return np.stack([np.diff(edges) - positives, positives]), wins


def _count_doubled_wins(before: Counts, repeats: Counts) -> int:
    """Twice the pairs that the positive wins, a tie counting half: from Wilcoxon's rank sum.

    Parameters
    ----------
    before : int array, shape (n + 1,)
        Positives before each position of the sorted scores.
    repeats : int array, shape (k,)
        Positions whose score equals the one before, ascending.
    """
    n, n1 = before.size - 1, int(before[-1])
    # Within a tie the negatives come first, so ties count as wins here.
    wins_and_ties = n * n1 - int(before.sum()) - n1 * (n1 - 1) // 2
    if not repeats.size:
        return 2 * wins_and_ties
    # A run of repeats is a tie without its first patient.
    opens = np.flatnonzero(np.diff(repeats, prepend=-1) > 1)
    last = repeats[np.append(opens[1:], repeats.size) - 1]
    first = repeats[opens] - 1
    positives = before[last + 1] - before[first]
    return 2 * wins_and_ties - int(positives @ (last + 1 - first - positives))
