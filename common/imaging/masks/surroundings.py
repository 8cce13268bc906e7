"""The tissue around a part of a mask."""

from __future__ import annotations

import numpy as np

from common.imaging.scan import Hounsfield, Scan
from common.types import Flags, Labels

_MARGIN = 4
_TISSUE_HU = (-20, 120)


def find_surroundings(voxels: Labels, scan: Scan, bounds: tuple[tuple[int, int], ...]) -> Hounsfield:
    """HU of the soft tissue that is not marked, in the box and a margin of four voxels in its slices.

    Parameters
    ----------
    voxels : Labels of shape (slices, rows, columns)
        The mask.
    scan : Scan
        Of the same shape.
    bounds : tuple of 3 pairs of int
        The box's first and last slice, row and column.
    """
    (below, above), *in_plane = bounds
    rows, columns = (slice(max(first - _MARGIN, 0), last + _MARGIN + 1) for first, last in in_plane)
    box = (slice(below, above + 1), rows, columns)
    hu = scan.voxels[box]
    return np.asarray(hu[(voxels[box] == 0) & is_tissue(hu)])


def is_tissue(hu: Hounsfield) -> Flags:
    """Which voxels are soft tissue or blood: no air, fat, bone or metal."""
    return np.asarray((hu >= _TISSUE_HU[0]) & (hu <= _TISSUE_HU[1]))
