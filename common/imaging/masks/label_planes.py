"""Labelled planes, each with a position of its own, laid on a scan's slices or stacked to a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import ScanError
from common.imaging.geometry import Geometry
from common.imaging.nearest import find_extent
from common.imaging.orientation import Stack, orient
from common.imaging.volumes.volume import Volume
from common.types import Labels, Reals

SAME_PLACE_MM = 0.02
"""Headers in text round positions to a hundredth of a millimetre."""

_UNEVEN_MM = 0.1
"""Largest distance of a plane from its place in an even stack."""

_MOST_SLICES = 4096


@dataclass(frozen=True, eq=False)
class LabelPlane:
    """One labelled plane as a file stores it.

    Attributes
    ----------
    flags : Labels of shape (rows, columns)
        Which segments each pixel is in, as bits.
    position_mm : Reals of shape (3,)
        Centre of the first pixel (LPS).
    across_mm, down_mm : Reals of shape (3,)
        From one column to the next, and from one row to the next.
    """

    flags: Labels
    position_mm: Reals
    across_mm: Reals
    down_mm: Reals


def lay_planes(
    planes: Sequence[LabelPlane], geometry: Geometry, tolerance_mm: float = SAME_PLACE_MM
) -> Labels | None:
    """The flags on the scan's grid; None unless each marked pixel is one of its voxels, to the tolerance."""
    flags = np.zeros(geometry.shape, dtype=np.uint8)
    for stored in planes:
        plane = _turn(stored, geometry)
        start = _find_start(plane, geometry, tolerance_mm)
        if start is None or not _paste(plane.flags, flags, start):
            return None
    return flags


def _turn(plane: LabelPlane, geometry: Geometry) -> LabelPlane:
    """The plane with columns and rows along the scan's, as nearly as can be."""
    flags, position, across, down = plane.flags, plane.position_mm, plane.across_mm, plane.down_mm
    if abs(across @ geometry.axes[1]) > abs(across @ geometry.axes[0]):
        flags, across, down = flags.T, down, across
    if across @ geometry.axes[0] < 0:
        flags, position, across = flags[:, ::-1], position + across * (flags.shape[1] - 1), -across
    if down @ geometry.axes[1] < 0:
        flags, position, down = flags[::-1], position + down * (flags.shape[0] - 1), -down
    return LabelPlane(flags, position, across, down)


def _find_start(plane: LabelPlane, geometry: Geometry, tolerance_mm: float) -> tuple[int, int, int] | None:
    """Slice, row and column at which the turned plane begins, possibly beyond the scan; None if between."""
    spacing = np.array(geometry.spacing_mm)
    drift = np.stack([plane.across_mm, plane.down_mm]) - geometry.axes * spacing[:, None]
    if (np.linalg.norm(drift, axis=1) * (np.array(plane.flags.shape[::-1]) - 1)).max() > tolerance_mm:
        return None
    offsets = (plane.position_mm - geometry.positions_mm) @ geometry.frame.T
    index = int(np.abs(offsets[:, 2]).argmin())
    x, y = whole = np.rint(offsets[index, :2] / spacing)
    apart_mm = np.abs([*(offsets[index, :2] - whole * spacing), offsets[index, 2]]).max()
    return (index, int(y), int(x)) if apart_mm <= tolerance_mm else None


def _paste(plane: Labels, flags: Labels, start: tuple[int, int, int]) -> bool:
    """Add the plane's flags to the scan's; False if a marked pixel lies beyond it."""
    bounds = find_extent(plane[None])
    if not bounds:
        return True
    index, row, column = start
    _, (top, bottom), (left, right) = bounds
    rows, columns = slice(row + top, row + bottom + 1), slice(column + left, column + right + 1)
    if min(rows.start, columns.start) < 0 or rows.stop > flags.shape[1] or columns.stop > flags.shape[2]:
        return False
    flags[index, rows, columns] |= plane[top : bottom + 1, left : right + 1]
    return True


def stack_planes(source: Path, planes: Sequence[LabelPlane], step_mm: float | None) -> Volume:
    """The planes as a volume of even steps, empty where there is none, and one empty slice beyond either end.

    Parameters
    ----------
    source : Path
    planes : sequence of LabelPlane
        At least one.
    step_mm : float or None
        From slice to slice, as the file states; None: the smallest distance between two of the planes.

    Raises
    ------
    ScanError
        If the planes are not parallel, of one size, and at multiples of one step.
    """
    _require_parallel(source, planes)
    first = planes[0]
    places, start, shift = _find_places(source, planes, step_mm)
    flags = np.zeros((int(places.max()) + 3, *first.flags.shape), dtype=np.uint8)
    for place, plane in zip(places, planes, strict=True):
        flags[place + 1] |= plane.flags
    positions = start + np.arange(-1, len(flags) - 1)[:, None] * shift
    voxels, geometry = orient(Stack(source, flags, first.across_mm, first.down_mm, positions))
    return Volume(source, voxels, geometry)


def _find_places(
    source: Path, planes: Sequence[LabelPlane], step_mm: float | None
) -> tuple[Reals, Reals, Reals]:
    """Each plane's index in an even stack from 0 on, the position of the first, and the way to the next.

    Raises
    ------
    ScanError
        If there is no such stack.
    """
    normal = np.cross(planes[0].across_mm, planes[0].down_mm)
    normal = normal / np.linalg.norm(normal)
    offsets = np.array([plane.position_mm - planes[0].position_mm for plane in planes])
    heights = offsets @ normal
    gaps = np.diff(np.sort(heights))
    step = step_mm or min(gaps[gaps > SAME_PLACE_MM].tolist(), default=np.inf)
    if not SAME_PLACE_MM < step < np.inf:
        raise ScanError(
            f"{source}: does not say how thick its slice is -> export the segmentation on its CT's slices"
        )
    spread = (heights - heights.min()) / step
    if spread.max() > _MOST_SLICES:
        raise ScanError(f"{source}: slices {np.ptp(heights):.4g} mm apart: impossible -> export it again")
    places = np.rint(spread).astype(np.intp)
    lowest, highest = int(heights.argmin()), int(heights.argmax())
    shift = (offsets[highest] - offsets[lowest]) / places[highest] if places[highest] else normal * step
    if np.abs(offsets - offsets[lowest] - places[:, None] * shift).max() > _UNEVEN_MM:
        raise ScanError(
            f"{source}: its slices are neither those of its CT nor evenly spaced -> name the CT on which it "
            "was drawn, or export the segmentation on this CT's slices"
        )
    return places, planes[0].position_mm + offsets[lowest], shift


def _require_parallel(source: Path, planes: Sequence[LabelPlane]) -> None:
    """Refuse planes that cannot be one stack.

    Raises
    ------
    ScanError
        If size, spacing or orientation differ.
    """
    first, length = planes[0], max(planes[0].flags.shape)
    for plane in planes:
        drift = np.abs([plane.across_mm - first.across_mm, plane.down_mm - first.down_mm]).max()
        if plane.flags.shape != first.flags.shape or drift * length > SAME_PLACE_MM:
            raise ScanError(
                f"{source}: its slices differ in size, spacing or orientation -> export one segmentation of "
                "one series"
            )
