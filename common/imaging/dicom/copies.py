"""Copies of a slice, which exports and merged folders leave beside it: dropped where every pixel is equal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import Finding, Level
from common.imaging.dicom.pixels import read_voxels
from common.imaging.dicom.planes import Plane
from common.imaging.dicom.slices import SAME_POSITION_MM
from common.types import Reals

_SHOWN = 3


def drop_copies(
    source: Path, planes: Sequence[Plane], normal: Reals
) -> tuple[list[Plane], tuple[Finding, ...]]:
    """The slices without copies at the same place, and a note that names the files that were dropped.

    Slices at one place that differ in a pixel all stay: nobody can tell which one counts.

    Raises
    ------
    ScanError
        If the pixels at a place that occurs twice cannot be decoded.
    """
    heights = [float(plane.position_mm @ normal) for plane in planes]
    last: Plane | None = None
    dropped: list[Plane] = []
    for index in np.argsort(heights, kind="stable"):
        plane = planes[int(index)]
        if last is not None and _is_copy(plane, last):
            dropped.append(plane)
        else:
            last = plane
    if not dropped:
        return list(planes), ()
    gone = {id(plane) for plane in dropped}
    names = ", ".join(plane.name for plane in dropped[:_SHOWN]) + (" ..." if len(dropped) > _SHOWN else "")
    what = f"{len(dropped)} slice(s) occur twice with equal pixels: {names} left out"
    note = Finding(str(source), what, "nothing to do", Level.KNOW)
    return [plane for plane in planes if id(plane) not in gone], (note,)


def _is_copy(plane: Plane, other: Plane) -> bool:
    apart_mm = np.abs(plane.position_mm - other.position_mm).max()
    if apart_mm >= SAME_POSITION_MM:
        return False
    (one, _), (two, _) = read_voxels([plane]), read_voxels([other])
    return np.array_equal(one, two)
