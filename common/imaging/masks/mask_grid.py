"""A mask's labels laid on the grid of its scan, and what they measure."""

from __future__ import annotations

import hashlib

import numpy as np

from common.cohort.outcome import Volumes
from common.errors import Finding, Level, ScanError
from common.imaging.geometry import SAME_GRID_MM, Geometry
from common.imaging.masks.labels import ICH, IVH
from common.imaging.nearest import Extent, find_extent
from common.imaging.scan import Scan
from common.imaging.volumes.sheared import is_drawn_on
from common.imaging.volumes.volume import Volume
from common.types import Labels

_LOST = 0.001
"""Largest share of the mask's voxels that may lie outside the scan."""

_SAME_VOLUME = 0.05
"""Largest share by which the volume may change if the mask's voxels are whole multiples of the CT's."""
_PARALLEL, _WHOLE = 1e-3, 0.01
_AXES = ("left-right", "front-back", "head-foot")


def measure_volumes(voxels: Labels, geometry: Geometry, extent: Extent | None = None) -> Volumes:
    """The volumes in ml of the labelled voxels, each slice by its own thickness."""
    volumes_ml, bounds = geometry.voxel_volumes_ml(), find_extent(voxels) if extent is None else extent
    if not bounds:
        return Volumes(0.0, 0.0)
    (z, *_), part = bounds, voxels[tuple(slice(first, last + 1) for first, last in bounds)]
    ich, ivh = (
        float(np.count_nonzero(part == label, axis=(1, 2)) @ volumes_ml[z[0] : z[1] + 1])
        for label in (ICH, IVH)
    )
    return Volumes(ich, ivh)


def digest_labels(volume: Volume) -> str:
    """The SHA-256 of a mask's labels on its own grid, hexadecimal: equal for equal masks in other files."""
    box = tuple(slice(first, last + 1) for first, last in volume.extent)
    digest = hashlib.sha256(repr((volume.voxels.shape, volume.extent)).encode())
    digest.update(np.ascontiguousarray(volume.voxels[box]).data)
    return digest.hexdigest()


def lay_on_scan(volume: Volume, stored: Labels, scan: Scan) -> tuple[Labels, tuple[Finding, ...], Geometry]:
    """The labels on the scan's grid, notes, and the geometry in which they are measured."""
    distance_mm = scan.geometry.distance_mm(volume.geometry)
    if distance_mm <= SAME_GRID_MM:
        return stored, (), scan.geometry
    if is_drawn_on(volume.geometry, scan.geometry):
        what = "the mask's file does not store the scan's tilt or uneven slices"
        remedy = "nothing to do: matched slice by slice and measured with the scan's true positions"
        return stored, (Finding(str(volume.source), what, remedy, Level.KNOW),), scan.geometry
    _refuse_outside(volume, stored, scan)
    resampled = _resample_nearest(volume.geometry, stored, scan.geometry)
    return resampled, (_note_other_grid(volume, stored, scan, resampled),), volume.geometry


def _note_other_grid(volume: Volume, stored: Labels, scan: Scan, resampled: Labels) -> Finding:
    """Both grids and volumes; a thing to look at, unless the mask was drawn on every so many-th voxel."""
    theirs, ours = measure_volumes(stored, volume.geometry), measure_volumes(resampled, scan.geometry)
    before, after = theirs.ich_ml + theirs.ivh_ml, ours.ich_ml + ours.ivh_ml
    what = (
        f"the mask's grid ({_describe(volume.geometry)}) is not its CT's ({_describe(scan.geometry)}; "
        f"{_compare_places(volume.geometry, scan.geometry)}): "
        f"{before:.2f} ml there, {after:.2f} ml after nearest-neighbour resampling"
    )
    what += _compare_slices(volume.geometry, scan.geometry)
    ratio = _find_whole_ratio(volume.geometry, scan.geometry)
    if ratio and abs(before - after) <= _SAME_VOLUME * before:
        what += f"; each of its voxels covers {'x'.join(map(str, ratio))} of the CT's"
        remedy = "nothing to do; finer contours need a mask on the CT's own grid"
        return Finding(str(volume.source), what, remedy, Level.KNOW)
    return Finding(str(volume.source), what, "check that the mask belongs to this CT", Level.LOOK)


def _compare_slices(mask: Geometry, scan: Geometry) -> str:
    """What is said of two grids that differ by their number of slices alone; else empty."""
    more = len(mask.positions_mm) - len(scan.positions_mm)
    in_plane = (mask.rows, mask.columns) == (scan.rows, scan.columns)
    sizes = np.array([*mask.spacing_mm, np.median(mask.steps_mm)])
    same = np.allclose(sizes, [*scan.spacing_mm, np.median(scan.steps_mm)], rtol=_WHOLE)
    if not (more and in_plane and same):
        return ""
    whose = "the CT may lack slices at its end" if more > 0 else "the mask may lack slices at its end"
    return f"; the mask has {abs(more)} slice(s) {'more' if more > 0 else 'fewer'} than the CT: {whose}"


def _compare_places(mask: Geometry, scan: Geometry) -> str:
    """How far apart both grids begin, and which axes of the mask seem to run the other way."""
    apart_mm = float(np.linalg.norm(mask.positions_mm[0] - scan.positions_mm[0]))
    said = f"their first voxels are {apart_mm:.3g} mm apart"
    mirrored = _find_mirrored_axes(mask, scan)
    return f"{said}, as if the mask's {' and '.join(mirrored)} axis ran the other way" if mirrored else said


def _find_mirrored_axes(mask: Geometry, scan: Geometry) -> list[str]:
    """Axes along which one grid is the other, reversed at its first voxel or at the origin of coordinates.

    Both are read with their axes towards the head, the back and the left: what a file states in reverse
    shows in the place alone.
    """
    if mask.shape != scan.shape or np.abs(mask.frame - scan.frame).max() > _PARALLEL:
        return []
    steps = np.array([*scan.spacing_mm, scan.steps_mm.mean()])
    sizes = steps * (np.array(scan.shape[::-1]) - 1)
    theirs, ours = (one.frame @ one.positions_mm[0] for one in (mask, scan))
    at_end = np.abs(np.abs(theirs - ours) - sizes) <= steps / 2
    at_origin = np.abs(theirs + ours + sizes) <= _WHOLE * steps
    moved = np.abs(theirs - ours) > SAME_GRID_MM
    reversed_axes = (at_end | at_origin) & moved
    return [name for name, is_reversed in zip(_AXES, reversed_axes, strict=True) if is_reversed]


def _find_whole_ratio(mask: Geometry, scan: Geometry) -> tuple[int, int, int] | None:
    """How many of the scan's columns, rows and slices a voxel of the mask covers; None if in part.

    The two grids then are parallel and cover the same space, to half a voxel of the scan.
    """
    if not (mask.evenly_spaced and scan.evenly_spaced) or np.abs(mask.axes - scan.axes).max() > _PARALLEL:
        return None
    sizes = (np.array(mask.shape[::-1]), np.array(scan.shape[::-1]))
    step = np.array([*scan.spacing_mm, scan.steps_mm[0]])
    ratios = np.array([*mask.spacing_mm, mask.steps_mm[0]]) / step
    whole = np.rint(ratios)
    same_ratio = (whole >= 1).all() and np.abs(ratios - whole).max() <= _WHOLE
    same_extent = (np.abs(sizes[0] * whole - sizes[1]) < whole).all()
    first = scan.indices_of(mask.positions_mm[:1])[0][::-1]
    # From the middle of the scan's first voxel to that of the mask's, or as far as both have one origin
    same_start = ((first >= -0.5 - _WHOLE) & (first <= (whole - 1) / 2 + 0.5 + _WHOLE)).all()
    if not (same_ratio and same_extent and same_start):
        return None
    x, y, z = (int(count) for count in whole)
    return x, y, z


def _refuse_outside(volume: Volume, stored: Labels, scan: Scan) -> None:
    """Refuse a mask of which more than a trace lies outside the scan.

    Raises
    ------
    ScanError
        With the share outside and both grids.
    """
    mask = volume.geometry
    inside = scan.geometry.contains(mask.locate(*np.nonzero(stored)))
    if np.mean(~inside) > _LOST:
        raise ScanError(
            f"{volume.source}: {np.mean(~inside):.0%} of the mask lies outside its CT "
            f"({_describe(mask)}; CT {_describe(scan.geometry)}; {_compare_places(mask, scan.geometry)}) "
            "-> find the mask of this CT"
        )


def _resample_nearest(mask: Geometry, stored: Labels, scan: Geometry) -> Labels:
    """The labels at the scan's voxel centres by nearest neighbour."""
    result = np.zeros(scan.shape, dtype=np.uint8)
    origin = mask.indices_of(scan.positions_mm)
    steps = scan.axes * np.array(scan.spacing_mm)[:, None]
    across, down = mask.indices_of(mask.positions_mm[0] + steps)
    columns = np.arange(scan.columns)[None, :, None] * across
    rows = np.arange(scan.rows)[:, None, None] * down
    for index in range(len(result)):
        nearest = np.floor(origin[index] + rows + columns + 0.5).astype(np.intp)
        inside = ((nearest >= 0) & (nearest < np.array(mask.shape))).all(axis=-1)
        z, y, x = nearest[inside].T
        result[index][inside] = stored[z, y, x]
    return result


def _describe(geometry: Geometry) -> str:
    slices, rows, columns = geometry.shape
    x, y = geometry.spacing_mm
    return f"{columns}x{rows}x{slices} voxels of {x:.3g}x{y:.3g}x{geometry.steps_mm.mean():.3g} mm"
