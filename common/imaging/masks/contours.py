"""Closed contours of one slice as the pixels whose centres lie inside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.types import Flags, Reals

_PIECE = 1 << 20
"""Crossings of edges with rows that are computed at a time."""


def fill_contours(contours: Sequence[Reals], shape: tuple[int, int]) -> Flags:
    """Whether each pixel's centre is inside by the even-odd rule: a contour within another is a hole.

    A centre on an edge is inside on the left and upper side, and outside on the right and lower side, so that
    areas that touch share no pixel.

    Parameters
    ----------
    contours : sequence of Reals of shape (points, 2)
        Column and row of each point, in pixels; the last is joined with the first.
    shape : tuple of 2 ints
        Rows and columns.

    References
    ----------
    Foley et al., Computer Graphics, 1990, section 3.6 (scan-line algorithm for polygons);
    DICOM PS3.3 C.8.8.6.3 (inner contours are cut out).
    """
    rows, columns = shape
    toggles = np.zeros((rows, columns + 1), dtype=np.uint8)
    starts = np.concatenate([np.zeros((0, 2)), *contours])
    ends = np.concatenate([np.zeros((0, 2)), *(np.roll(points, -1, axis=0) for points in contours)])
    # An edge crosses the rows from its upper end on, without its lower end: a corner counts once
    upper = np.ceil(np.minimum(starts[:, 1], ends[:, 1])).clip(0, rows).astype(np.intp)
    lower = np.ceil(np.maximum(starts[:, 1], ends[:, 1])).clip(0, rows).astype(np.intp)
    crossings = np.cumsum(lower - upper)
    cuts = np.searchsorted(crossings, np.arange(_PIECE, crossings[-1] if len(crossings) else 0, _PIECE))
    for edges in np.split(np.arange(len(starts)), cuts):
        counts = lower[edges] - upper[edges]
        edge = np.repeat(edges, counts)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + upper[edge]
        slope = (ends[edge, 0] - starts[edge, 0]) / (ends[edge, 1] - starts[edge, 1])
        column = np.ceil(starts[edge, 0] + (row - starts[edge, 1]) * slope).clip(0, columns).astype(np.intp)
        np.bitwise_xor.at(toggles, (row, column), 1)
    inside: Flags = np.bitwise_xor.accumulate(toggles, axis=1)[:, :columns].astype(bool)
    return inside
