"""Scores of patients: whether they are scores, which are missing, in which bin, and how the classes rank."""

from __future__ import annotations

from math import isinf

import numpy as np

from common.errors import NonFiniteError
from common.types import Counts, Flags, Reals


def with_score(scores: Reals, labels: Flags) -> tuple[Reals, Flags]:
    """The scores and labels of those who have a score.

    Parameters
    ----------
    scores : float array, shape (n,)
        NaN where missing.
    labels : bool array, shape (n,)
    """
    known = ~np.isnan(scores)
    return scores[known], labels[known]


def check_scores(rows: Reals, labels: Flags) -> None:
    """Whether scores are scores, or missing.

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


def class_histograms(scores: Reals, positive: Flags, bins: int) -> Counts:
    """Shape (2, bins); every site must bin alike, so in float64 and exactly so."""
    bin_of = np.minimum((scores * bins).astype(np.int64), bins - 1)
    return np.bincount(2 * bin_of + positive, minlength=2 * bins).reshape(bins, 2).T


def doubled_wins(scores: Reals, positive: Flags) -> int:
    """Twice the Mann-Whitney U of the positives, an exact integer.

    One sort of integers: the bits of a float in [0, 1] order as the float does, the label fits below them.
    """
    keys = ((scores + 0.0).view(np.int64) << 1) | positive
    keys.sort()
    is_positive = (keys & 1).astype(np.bool_)
    n1 = int(np.count_nonzero(is_positive))
    # Wilcoxon's rank sum; within a tie the negatives come first, so ties count as wins here.
    wins_and_ties = int(np.flatnonzero(is_positive).sum()) - n1 * (n1 - 1) // 2
    # Where a score equals the one before it; a run of such places is a tie, short of its first patient.
    repeats = np.flatnonzero((keys[1:] ^ keys[:-1]) <= 1) + 1
    if not repeats.size:
        return 2 * wins_and_ties
    opens = np.flatnonzero(np.diff(repeats, prepend=-1) > 1)
    last = repeats[np.append(opens[1:], repeats.size) - 1]
    first = repeats[opens] - 1
    up_to = np.concatenate([[0], np.cumsum(is_positive, dtype=np.int64)])
    positives = up_to[last + 1] - up_to[first]
    return 2 * wins_and_ties - int(positives @ (last + 1 - first - positives))
