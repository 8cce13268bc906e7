"""Bins of scores on [0, 1]: fine at both ends, and divided further until no bin holds both outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from common.types import Counts, Flags, Reals

_STRETCH = 5
"""By how much the logit is shrunk on the second scale: its outermost bins reach risks of 1e-13."""


@dataclass(frozen=True)
class ScoreGrid:
    """Where the bins of one score begin; every site must count on the same grid.

    Attributes
    ----------
    edges : float array, shape (bins - 1,)
        The lowest score of each bin but the first, which begins at 0; ascending, in (0, 1].
    one_value : bool
        Whether all scores in one bin are known to be equal, because the score takes so few values.

    Raises
    ------
    ValueError
        If the edges do not ascend within (0, 1].

    Examples
    --------
    >>> ScoreGrid(np.array([0.25, 0.5])).find_bins(np.array([0.1, 0.25, 0.9])).tolist()
    [0, 1, 2]
    """

    edges: Reals
    one_value: bool = False

    def __post_init__(self) -> None:
        edges = self.edges
        if edges.ndim != 1 or edges.dtype != np.float64:
            raise ValueError(f"edges of shape {edges.shape} and type {edges.dtype} are no grid")
        if edges.size and not (edges[0] > 0 and edges[-1] <= 1 and (np.diff(edges) > 0).all()):
            raise ValueError("the edges of bins do not ascend within (0, 1]")

    @classmethod
    def even(cls, bins: int) -> Self:
        """A grid of so many bins of one width.

        Raises
        ------
        ValueError
            If there is no bin.
        """
        if bins < 1:
            raise ValueError(f"{bins} bins are no grid")
        return cls(np.arange(1, bins) / bins)

    @classmethod
    def with_fine_ends(cls, bins: int) -> Self:
        """A grid of which half of the edges are even steps of the score, half of sigmoid(logit(score) / 5).

        The first half keeps flat scores apart, the second half those near 0 and 1. Scores of exactly 0 and
        exactly 1 have bins of their own. Only products and quotients are computed, so that every machine
        gets the same edges.

        Raises
        ------
        ValueError
            If there are fewer than two bins.
        """
        if bins < 2:
            raise ValueError(f"{bins} bins are no grid with fine ends")
        half = bins // 2
        share = np.arange(1, bins - half) / (bins - half)
        odds = np.ones_like(share)
        for _ in range(_STRETCH):
            odds *= share / (1 - share)
        ends = [np.nextafter(0.0, 1.0), 1.0]
        return cls(np.unique(np.concatenate([ends, np.arange(1, half) / half, odds / (1 + odds)])))

    @classmethod
    def of_values(cls, values: int) -> Self:
        """The grid of a score that takes so many values, evenly from 0 to 1: a bin for each.

        Raises
        ------
        ValueError
            If there are fewer than two values.
        """
        if values < 2:
            raise ValueError(f"a score of {values} values is none")
        return cls((np.arange(1, values) - 0.5) / (values - 1), one_value=True)

    @classmethod
    def of_scores(cls, scores: Reals) -> Self:
        """A grid with a bin for each different score, for one site's own use.

        Parameters
        ----------
        scores : float array, shape (n,)
            In [0, 1]; NaN is ignored.
        """
        return cls(np.unique(scores[scores > 0]), one_value=True)

    @property
    def bins(self) -> int:
        """Number of bins."""
        return self.edges.size + 1

    @cached_property
    def starts(self) -> Reals:
        """The lowest score of each bin, shape (bins,)."""
        return np.concatenate([[0.0], self.edges])

    @cached_property
    def is_tie(self) -> Flags:
        """Which bins can only hold equal scores, shape (bins,)."""
        if self.one_value:
            return np.ones(self.bins, dtype=np.bool_)
        return np.asarray(np.diff(order_keys(self.starts), append=_END) == 1)

    def find_bins(self, scores: Reals) -> Counts:
        """The bin of each score; scores lie in [0, 1]."""
        return np.asarray(np.searchsorted(self.edges, scores, side="right"), dtype=np.int64)


def order_keys(scores: Reals) -> Counts:
    """Integers in the order of scores in [0, 1], one for each float: neighbouring floats differ by 1."""
    return np.ascontiguousarray(scores + 0.0).view(np.int64)


_END = int(order_keys(np.array([1.0]))[0]) + 1
"""Key beyond every score."""


def count_by_bin(scores: Reals, labels: Flags, grid: ScoreGrid) -> Counts:
    """Patients by outcome and bin, shape (2, bins), negatives first; those without a score are left out.

    Parameters
    ----------
    scores : float array, shape (n,)
        In [0, 1] or NaN.
    labels : bool array, shape (n,)
    """
    known = ~np.isnan(scores)
    bins, positive = grid.find_bins(scores[known]), labels[known]
    return np.stack([np.bincount(bins[positive == label], minlength=grid.bins) for label in (False, True)])


def find_mixed(grid: ScoreGrid, histogram: Counts) -> Flags:
    """Which bins hold patients of both outcomes whose scores may differ, shape (bins,).

    Parameters
    ----------
    grid : ScoreGrid
    histogram : int array, shape (2, bins)
        Patients by outcome, over all sites.
    """
    return np.asarray((histogram > 0).all(axis=0) & ~grid.is_tie)


def divide_bins(grid: ScoreGrid, bins: Counts, pieces: int) -> ScoreGrid:
    """A grid that divides these bins, into at least two and together about `pieces`; all else is coarse.

    A bin is divided evenly in the order of the floats: by value within a power of two, by order of magnitude
    beyond.

    Parameters
    ----------
    grid : ScoreGrid
    bins : int array, shape (k,)
        Numbers of bins that are no ties.
    pieces : int
    """
    limits = np.append(order_keys(grid.starts), _END)
    each = max(2, pieces // max(1, bins.size))
    cuts = [_cut(int(limits[place]), int(limits[place + 1]), each) for place in bins]
    keys = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *cuts]))
    return ScoreGrid(keys[(keys > 0) & (keys < _END)].view(np.float64))


def _cut(low: int, high: int, pieces: int) -> Counts:
    """Keys at which the bin [low, high) and each of its pieces begins, and its end."""
    width = high - low
    if width <= pieces:
        return np.arange(low, high + 1)
    number = np.arange(pieces + 1)
    # width * number would leave int64.
    return np.asarray(low + width // pieces * number + width % pieces * number // pieces, dtype=np.int64)


def keep_needed(divided: ScoreGrid, histograms: list[Counts]) -> Reals:
    """The edges of a divided grid that keep outcomes apart; without the others no bin becomes mixed.

    Parameters
    ----------
    divided : ScoreGrid
        Of `divide_bins`.
    histograms : list of int arrays, shape (2, bins)
        Of each cohort that is judged, over its sites.

    Returns
    -------
    float array, shape (k,)
    """
    if not histograms:
        return np.empty(0)
    present: Flags = np.asarray(np.stack(histograms) > 0)
    mixed: Flags = np.asarray(present.all(axis=1).any(axis=0))
    kept, seen = [], np.zeros(present.shape[:2], dtype=np.bool_)
    for place in np.flatnonzero(present.any(axis=(0, 1))):
        # Beside a mixed bin an edge is always needed: it bounds what is divided next.
        together = seen | present[..., place]
        if mixed[place] or together.all(axis=1).any():
            kept.append(place)
            together = present[..., place]
        if mixed[place]:
            kept.append(place + 1)
            together = np.zeros_like(seen)
        seen = together
    numbers = np.unique([number for number in kept if 0 < number <= divided.edges.size])
    return divided.edges[np.asarray(numbers, dtype=np.int64) - 1]
