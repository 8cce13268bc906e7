"""Segments that may share voxels, gathered into the labels of a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.geometry import Geometry
from common.imaging.masks.labels import ICH, IVH
from common.types import Labels

_BOTH = ICH | IVH
"""Flags of a voxel in segments of both."""

_NEGLIGIBLE_ML = 0.1
"""Less than this is how two outlines drawn along each other meet."""


def resolve_overlap(path: Path, flags: Labels, geometry: Geometry) -> tuple[Labels, tuple[Finding, ...]]:
    """The labels of voxels whose bits say which segments they are in, and a note on those that are in both.

    IVH counts there: whoever draws all blood as ICH, and what of it lies in the ventricles as IVH, means so;
    and counting a voxel as ICH would take away the IVH that a reader saw. No voxel counts twice.

    Parameters
    ----------
    path : Path
    flags : Labels of shape (slices, rows, columns)
        ICH, IVH, both (3) or 0.
    geometry : Geometry
        Of the same shape.

    Raises
    ------
    ScanError
        If there is neither.
    """
    if not flags.any():
        raise ScanError(f"{path}: the mask has neither ICH nor IVH -> segment the hematoma")
    both = flags == _BOTH
    overlap_ml = float(np.count_nonzero(both, axis=(1, 2)) @ geometry.voxel_volumes_ml())
    if not overlap_ml:
        return flags, ()
    labels = np.where(both, np.uint8(IVH), flags)
    serious = overlap_ml > _NEGLIGIBLE_ML
    note = Finding(
        str(path),
        f"{overlap_ml:.2f} ml are marked both as ICH and as IVH; they count as IVH",
        "check whether the ICH was meant to include them" if serious else "nothing to do",
        Level.LOOK if serious else Level.KNOW,
    )
    return labels, (note,)
