"""A hematoma that is marked on one slice only, although it reaches further."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.errors import Finding, Level
from common.imaging.masks.labels import ICH
from common.imaging.masks.surroundings import find_surroundings
from common.imaging.nearest import find_extent
from common.imaging.scan import Scan
from common.types import Labels

_THICK_ML = 2.0
"""A hematoma of this volume is thicker than a slice."""
_CONTRAST_HU = 8.0
_FEWEST_VOXELS = 20
"""Fewer voxels of a neighbour say nothing."""


def note_single_slice(
    source: Path, voxels: Labels, scan: Scan, bounds: tuple[tuple[int, int], ...]
) -> Iterator[Finding]:
    """A note if the ICH is marked on one slice, and is large or goes on in a neighbour.

    Parameters
    ----------
    source : Path
        The mask's file.
    voxels : Labels of shape (slices, rows, columns)
        On the scan's grid.
    scan : Scan
        In HU.
    bounds : tuple of 3 pairs of int
        First and last slice, row and column of all that is marked.
    """
    box = tuple(slice(first, last + 1) for first, last in bounds)
    marked = bounds[0][0] + np.flatnonzero((voxels[box] == ICH).any(axis=(1, 2)))
    if len(marked) != 1 or len(voxels) == 1:
        return
    place = int(marked[0])
    area = voxels[place] == ICH
    volume_ml = float(np.count_nonzero(area) * scan.geometry.voxel_volumes_ml()[place])
    further = [str(one + 1) for one in (place - 1, place + 1) if _goes_on(voxels, scan, place, one)]
    if volume_ml < _THICK_ML and not further:
        return
    what = f"the ICH ({volume_ml:.1f} ml) is marked on slice {place + 1} of {len(voxels)} from below alone"
    if further:
        what += f", and is as bright in slice {' and '.join(further)}"
    yield Finding(str(source), what, "segment the hematoma on all slices that show it", Level.LOOK)


def _goes_on(voxels: Labels, scan: Scan, place: int, neighbour: int) -> bool:
    """Whether the neighbour is nearer to the ICH than to its surroundings, where the ICH is marked beside it.

    A slice into which the ICH reaches by less than half is darker than that.
    """
    if not 0 <= neighbour < len(voxels):
        return False
    area = voxels[place] == ICH
    beside = scan.voxels[neighbour][area & (voxels[neighbour] == 0)]
    extent = find_extent(np.where(voxels == ICH, voxels, 0))
    around = find_surroundings(voxels, scan, extent)
    if beside.size < _FEWEST_VOXELS or not around.size:
        return False
    inside, outside = float(np.median(scan.voxels[place][area])), float(np.median(around))
    return inside - outside >= _CONTRAST_HU and float(np.median(beside)) >= (inside + outside) / 2
