"""Whether a mask was mirrored: then the hematoma lies where the mask would, with the sides exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.errors import Finding, Level
from common.imaging.masks.labels import ICH
from common.imaging.scan import Hounsfield, Scan
from common.types import Flags, Labels

_AXES = {"left and right": 2, "front and back": 1, "top and bottom": 0}
_BLOOD_HU = (45, 100)
"""Clotted blood; brain is darker, and bone brighter."""
_MARGIN = 0.1
"""So much more of the mirror image than of the mask looks like blood. None of 456 sound simulated masks is
found by it; of as many with left and right exchanged, it and the other checks miss 12, which cover most of
the hematoma."""
_MOSTLY = 0.6
"""At least so much of the mirror image looks like blood: less may be the noise of thin slices."""
_FEWEST_VOXELS = 100


def note_mirrored(
    source: Path, voxels: Labels, scan: Scan, bounds: tuple[tuple[int, int], ...]
) -> Iterator[Finding]:
    """A note if the mask's mirror image lies on blood rather than the mask.

    Parameters
    ----------
    source : Path
        The mask's file.
    voxels : Labels of shape (slices, rows, columns)
        On the scan's grid.
    scan : Scan
        In HU.
    bounds : tuple of 3 pairs of int
        First and last slice, row and column that are marked.
    """
    box = tuple(slice(first, last + 1) for first, last in bounds)
    labels = voxels[box]
    marked = labels == ICH if (labels == ICH).any() else labels > 0
    if np.count_nonzero(marked) < _FEWEST_VOXELS:
        return
    own = _measure_blood(scan.voxels[box], marked)
    shares = {}
    for name, axis in _AXES.items():
        size, (first, last) = scan.voxels.shape[axis], bounds[axis]
        opposite = (*box[:axis], slice(size - 1 - last, size - first), *box[axis + 1 :])
        shares[name] = _measure_blood(np.flip(scan.voxels[opposite], axis), marked)
    name, most = max(shares.items(), key=lambda one: one[1])
    if most >= max(own + _MARGIN, _MOSTLY):
        what = (
            f"with {name} exchanged the mask would lie on more blood: {most:.0%} of its voxels would have "
            f"{_BLOOD_HU[0]:g} to {_BLOOD_HU[1]:g} HU, {own:.0%} have"
        )
        yield Finding(str(source), what, "check that mask and CT run the same way", Level.LOOK)


def _measure_blood(hu: Hounsfield, marked: Flags) -> float:
    """Share of the marked voxels that may be clotted blood."""
    blood = (hu >= _BLOOD_HU[0]) & (hu <= _BLOOD_HU[1]) & marked
    return np.count_nonzero(blood) / np.count_nonzero(marked)
