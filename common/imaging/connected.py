"""Parts of a volume that share no face, edge or corner, joined run by run instead of voxel by voxel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.types import Flags

_Runs = NDArray[np.intp]


def number_parts(marked: Flags) -> tuple[NDArray[np.intp], int]:
    """The number of each voxel's part, 0 outside, and how many parts there are.

    Parts are numbered from 1 in the order of their first voxels.

    Parameters
    ----------
    marked : Flags of shape (slices, rows, columns)

    Returns
    -------
    int array of shape (slices, rows, columns), int
    """
    # Zeros on all sides, so that a run ends with its row, and a step in any direction is one offset
    border = np.zeros([size + 2 for size in marked.shape], dtype=bool)
    border[1:-1, 1:-1, 1:-1] = marked
    flat = border.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    _, rows, columns = border.shape
    plane = rows * columns
    pairs = [_pair_runs(starts, ends, step) for step in (columns, plane - columns, plane, plane + columns)]
    firsts = _find_first_runs(len(starts), *(np.concatenate(some) for some in zip(*pairs, strict=True)))
    roots, parts = np.unique(firsts, return_inverse=True)
    numbers = np.zeros(marked.shape, dtype=np.intp)
    numbers[marked] = np.repeat(parts + 1, ends - starts)
    return numbers, len(roots)


def _pair_runs(starts: _Runs, ends: _Runs, step: int) -> tuple[_Runs, _Runs]:
    """Each run, and each that touches it in the row that lies so many places further."""
    first = np.searchsorted(ends, starts + step)
    counts = np.maximum(np.searchsorted(starts, ends + step, "right") - first, 0)
    runs = np.repeat(np.arange(len(starts)), counts)
    within = np.arange(len(runs)) - np.repeat(np.cumsum(counts) - counts, counts)
    return runs, first[runs] + within


def _find_first_runs(count: int, runs: _Runs, others: _Runs) -> _Runs:
    """The first run of each run's part, where these pairs of runs touch."""
    first = np.arange(count)
    while len(runs):
        lower, upper = np.minimum(runs, others), np.maximum(runs, others)
        np.minimum.at(first, upper, lower)
        while not np.array_equal(first, further := first[first]):
            first = further
        runs, others = first[lower], first[upper]
        apart = runs != others
        runs, others = runs[apart], others[apart]
    return first
