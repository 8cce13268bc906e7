"""Suspicious parts of a mask: specks far from the lesion, and strokes in air or in bone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.imaging.connected import number_parts
from common.imaging.masks.labels import IVH
from common.imaging.masks.surroundings import find_surroundings
from common.imaging.scan import Hounsfield, Scan
from common.types import Flags, Labels, Reals

SPECK_ML = 0.05
"""Smaller parts are specks."""
FAR_MM = 30.0
"""So far from the rest of the lesion, a speck is probably a slip of the hand."""

_AIR_HU, _BONE_HU = -200.0, 300.0
_BLOOD_HU, _CONTRAST_HU = (20.0, 100.0), 5.0
_CSF_HU = 0.0
_POINTS = 4000
"""Of the lesion, so many voxels suffice to tell how far a speck is from it."""


@dataclass(frozen=True)
class MaskPart:
    """Voxels of a mask that share a face, an edge or a corner, and touch no others.

    Attributes
    ----------
    volume_ml : float
        Of all its voxels.
    slice_number : int
        The lowest slice that it lies in, counted from 1 at the feet's end.
    median_hu : float
        Of its voxels.
    reason : str
        Why it is suspicious.
    plausible : bool
        Whether it may be blood: as bright as blood and brighter than the tissue around it, or one of several
        marks in the ventricles, in which blood moves.
    """

    volume_ml: float
    slice_number: int
    median_hu: float
    reason: str
    plausible: bool


def find_odd_parts(voxels: Labels, scan: Scan, bounds: tuple[tuple[int, int], ...]) -> tuple[MaskPart, ...]:
    """Specks far from the lesion, and parts in air or bone, from the feet to the head.

    Parameters
    ----------
    voxels : Labels of shape (slices, rows, columns)
        The mask on the scan's grid.
    scan : Scan
        In HU.
    bounds : tuple of 3 pairs of int
        First and last slice, row and column of the mask's labels.
    """
    numbers, count = number_parts(voxels[tuple(slice(first, last + 1) for first, last in bounds)] > 0)
    if count < 2:
        return ()
    places = np.nonzero(numbers)
    owner = numbers[places] - 1
    z, y, x = (axis + first for axis, (first, _) in zip(places, bounds, strict=True))
    volumes = np.bincount(owner, scan.geometry.voxel_volumes_ml()[z], count)
    large = volumes >= min(SPECK_ML, volumes.max())
    apart_mm = _measure_distances(scan.geometry.locate(z, y, x), owner, large)
    in_ventricles = voxels[z, y, x] == IVH
    known_ivh = bool((in_ventricles & large[owner]).any())
    order = np.argsort(owner, kind="stable")
    odd = []
    for part, members in enumerate(np.split(order, np.cumsum(np.bincount(owner))[:-1])):
        median_hu = float(np.median(scan.voxels[z[members], y[members], x[members]]))
        reason = _find_reason(median_hu, float(apart_mm[part]))
        if reason:
            box = tuple((int(axis[members].min()), int(axis[members].max())) for axis in (z, y, x))
            bright = _is_brighter(median_hu, find_surroundings(voxels, scan, box))
            moved = known_ivh and bool(in_ventricles[members].all()) and median_hu > _CSF_HU
            plausible = median_hu <= _BLOOD_HU[1] and (bright or moved)
            odd.append(MaskPart(float(volumes[part]), box[0][0] + 1, median_hu, reason, plausible))
    return tuple(sorted(odd, key=lambda part: (part.slice_number, part.volume_ml)))


def _is_brighter(median_hu: float, around: Hounsfield) -> bool:
    """Whether a part is as bright as blood at least, and brighter than the tissue around it."""
    return around.size > 0 and median_hu >= max(_BLOOD_HU[0], float(np.median(around)) + _CONTRAST_HU)


def _measure_distances(points: Reals, owner: NDArray[np.intp], large: Flags) -> Reals:
    """About how far the centre of each speck is from the nearest larger part, in mm; 0 for larger parts.

    Parameters
    ----------
    points : Reals of shape (voxels, 3)
        Of all marked voxels, in mm.
    owner : int array, shape (voxels,)
        The part that each belongs to.
    large : Flags of shape (parts,)
        Parts that are no specks.
    """
    count = len(large)
    sizes = np.bincount(owner, minlength=count)[:, None]
    centres = np.stack([np.bincount(owner, axis, count) for axis in points.T], axis=1) / sizes
    lesion = points[large[owner]]
    lesion = lesion[:: max(len(lesion) // _POINTS, 1)]
    distances = np.zeros(count)
    for part in np.flatnonzero(~large):
        distances[part] = np.linalg.norm(lesion - centres[part], axis=1).min()
    return distances


def _find_reason(median_hu: float, apart_mm: float) -> str:
    """Why a part is suspicious; empty if it is not."""
    if median_hu < _AIR_HU:
        return "in air"
    if median_hu > _BONE_HU:
        return "in bone"
    return f"{apart_mm:.0f} mm from the lesion" if apart_mm > FAR_MM else ""
