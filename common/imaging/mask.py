"""A segmentation with labels for ICH and IVH, on the grid of its scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.cohort.outcome import Volumes
from common.errors import Finding, ScanError
from common.imaging.formats import is_volume
from common.imaging.geometry import SAME_GRID_MM, Geometry
from common.imaging.nearest import find_extent
from common.imaging.nifti import Volume, read_volume
from common.imaging.scan import Scan
from common.types import Labels

ICH, IVH = 1, 2
"""Values in `Mask.voxels`, whatever values the site's files use."""

_LOST = 0.001
"""Largest share of the mask's voxels that may lie outside the scan."""

_TYPICAL_HU = (35.0, 100.0)
"""Range of a hematoma's median intensity on noncontrast CT, in HU."""


@dataclass(frozen=True)
class MaskLabels:
    """What the values in a site's masks mean.

    Attributes
    ----------
    ich, ivh : tuple of int
        Values that mark intracerebral and intraventricular hemorrhage.
    ignored : tuple of int
        Known values that mark neither, such as edema.
    """

    ich: tuple[int, ...] = (1,)
    ivh: tuple[int, ...] = (2,)
    ignored: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        named = (0, *self.ich, *self.ivh, *self.ignored)
        if len(set(named)) < len(named):
            raise ValueError(f"a label has two meanings (0 is the background): {self}")


@dataclass(frozen=True, eq=False)
class Mask:
    """One segmentation.

    Attributes
    ----------
    source : Path
        The file.
    voxels : Labels of shape (slices, rows, columns)
        1 ICH, 2 IVH, 0 neither, on the scan's grid.
    measured : Volumes
        Volumes in mL, summed on the mask's own grid before any resampling.
    notes : tuple of Finding
        What should be known but does not forbid the use.
    """

    source: Path
    voxels: Labels
    measured: Volumes
    notes: tuple[Finding, ...] = ()

    def volumes(self) -> Volumes:
        """Volumes of ICH and IVH in ml."""
        return self.measured


def read_mask(path: Path, scan: Scan, labels: MaskLabels) -> Mask:
    """The segmentation of a scan.

    Raises
    ------
    ScanError
        If it is missing, unreadable, empty, has unknown labels, or does not lie on the scan.
    """
    if path.is_dir() or not is_volume(path):
        raise ScanError(
            f"{path}: a mask must be a NIfTI, NRRD or MetaImage file -> export the segmentation as one"
        )
    volume = read_volume(path)
    bounds = find_extent(volume.voxels)
    if not bounds:
        raise ScanError(f"{path}: the mask is empty -> segment the hematoma or exclude the patient")
    part = tuple(slice(first, last + 1) for first, last in bounds)
    stored = np.zeros(volume.voxels.shape, dtype=np.uint8)
    stored[part] = _translate_labels(path, volume.voxels[part], labels)
    if not stored[part].any():
        raise ScanError(f"{path}: the mask has neither ICH nor IVH -> segment the hematoma")
    voxels, notes, geometry = _lay_on_scan(volume, stored, scan)
    return Mask(
        path, voxels, _measure_volumes(stored, geometry), notes + _check_brightness(path, voxels, scan)
    )


def _translate_labels(path: Path, stored: NDArray[Any], labels: MaskLabels) -> Labels:
    """1 for ICH, 2 for IVH, 0 for everything else.

    Raises
    ------
    ScanError
        If a value is none of the site's labels.
    """
    known = (0, *labels.ich, *labels.ivh, *labels.ignored)
    unknown = [value for value in np.unique(stored).tolist() if value not in known]
    if unknown:
        shown = ", ".join(f"{value:g}" for value in unknown[:5])
        raise ScanError(
            f"{path}: unknown label(s) {shown}; known are ICH {list(labels.ich)}, IVH {list(labels.ivh)} "
            "-> name them in site.toml under [mask] (ich, ivh or ignored), or correct the mask"
        )
    meaning = np.zeros(stored.shape, dtype=np.uint8)
    meaning[np.isin(stored, labels.ich)] = ICH
    meaning[np.isin(stored, labels.ivh)] = IVH
    return meaning


def _measure_volumes(voxels: Labels, geometry: Geometry) -> Volumes:
    volumes_ml, bounds = geometry.voxel_volumes_ml(), find_extent(voxels)
    if not bounds:
        return Volumes(0.0, 0.0)
    (z, *_), part = bounds, voxels[tuple(slice(first, last + 1) for first, last in bounds)]
    ich, ivh = (
        float(np.count_nonzero(part == label, axis=(1, 2)) @ volumes_ml[z[0] : z[1] + 1])
        for label in (ICH, IVH)
    )
    return Volumes(ich, ivh)


def _lay_on_scan(volume: Volume, stored: Labels, scan: Scan) -> tuple[Labels, tuple[Finding, ...], Geometry]:
    """The labels on the scan's grid, notes, and the geometry in which they are measured."""
    distance_mm = scan.geometry.distance_mm(volume.geometry)
    if distance_mm <= SAME_GRID_MM:
        return stored, (), scan.geometry
    if _is_on_simplified_grid(volume.geometry, scan.geometry):
        what = "the mask's file does not store the scan's tilt or uneven slices"
        remedy = "nothing to do: matched slice by slice and measured with the scan's true positions"
        return stored, (Finding(str(volume.source), what, remedy),), scan.geometry
    resampled = _resample_nearest(volume.geometry, stored, scan.geometry)
    expected = _measure_volumes(stored, volume.geometry)
    total_ml, after = expected.ich_ml + expected.ivh_ml, _measure_volumes(resampled, scan.geometry)
    _refuse_outside(volume, stored, scan)
    what = (
        f"the mask's grid ({_describe(volume.geometry)}) is not its CT's ({_describe(scan.geometry)}): "
        f"{total_ml:.2f} ml there, {after.ich_ml + after.ivh_ml:.2f} ml after nearest-neighbour resampling"
    )
    note = Finding(str(volume.source), what, "check that the mask belongs to this CT")
    return resampled, (note,), volume.geometry


def _is_on_simplified_grid(mask: Geometry, scan: Geometry) -> bool:
    """Whether the mask was drawn by a program that reads this scan as an upright, evenly spaced stack.

    ITK (and so ITK-SNAP) keeps the first slice and the in-plane grid, and lays the others at even steps along
    the normal. Each voxel of such a mask is the scan's voxel of that index, wherever the file puts it.
    """
    distorted = scan.tilt_degrees > 0.01 or not scan.evenly_spaced
    if not distorted or mask.shape != scan.shape:
        return False
    in_plane = np.abs(
        mask.axes * np.array(mask.spacing_mm)[:, None] - scan.axes * np.array(scan.spacing_mm)[:, None]
    )
    span_mm = in_plane.max() * max(scan.rows, scan.columns)
    ends_mm = np.linalg.norm((mask.positions_mm - scan.positions_mm)[[0, -1]], axis=1).min()
    return bool(span_mm <= SAME_GRID_MM * 10 and ends_mm <= SAME_GRID_MM)


def _refuse_outside(volume: Volume, stored: Labels, scan: Scan) -> None:
    """Refuse a mask of which more than a trace lies outside the scan.

    Raises
    ------
    ScanError
        With the share outside and both grids.
    """
    z, y, x = np.nonzero(stored)
    mask = volume.geometry
    steps = mask.axes * np.array(mask.spacing_mm)[:, None]
    points = mask.positions_mm[z] + x[:, None] * steps[0] + y[:, None] * steps[1]
    inside = scan.geometry.contains(points)
    if np.mean(~inside) > _LOST:
        apart_mm = float(np.linalg.norm(mask.positions_mm[0] - scan.geometry.positions_mm[0]))
        raise ScanError(
            f"{volume.source}: {np.mean(~inside):.0%} of the mask lies outside its CT "
            f"({_describe(mask)}; CT {_describe(scan.geometry)}; their first voxels are {apart_mm:.0f} mm "
            "apart) -> find the mask of this CT"
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


def _check_brightness(path: Path, voxels: Labels, scan: Scan) -> tuple[Finding, ...]:
    """A note if the voxels marked as ICH are not as bright as blood."""
    part = tuple(slice(first, last + 1) for first, last in find_extent(voxels))
    marked = scan.voxels[part][voxels[part] == ICH]
    if not marked.size:
        return ()
    median_hu = float(np.median(marked))
    if _TYPICAL_HU[0] <= median_hu <= _TYPICAL_HU[1]:
        return ()
    what = (
        f"the median within the ICH is {median_hu:.0f} HU, blood has {_TYPICAL_HU[0]:g} to {_TYPICAL_HU[1]:g}"
    )
    return (Finding(str(path), what, "check that the mask lies on the hematoma"),)


def _describe(geometry: Geometry) -> str:
    slices, rows, columns = geometry.shape
    x, y = geometry.spacing_mm
    return f"{columns}x{rows}x{slices} voxels of {x:.3g}x{y:.3g}x{geometry.steps_mm.mean():.3g} mm"
