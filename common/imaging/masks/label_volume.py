"""What a mask's file marks, whatever its format: ICH, IVH or neither in each voxel of a grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.geometry import SAME_GRID_MM, Geometry
from common.imaging.masks.label_planes import LabelPlane, lay_planes
from common.imaging.masks.label_values import translate_values
from common.imaging.masks.labels import MaskLabels
from common.imaging.masks.shared_voxels import resolve_overlap
from common.imaging.masks.slicer_segments import (
    NamedLabel,
    flag_named_labels,
    note_numbers,
    read_layers,
    read_named_labels,
)
from common.imaging.nearest import find_extent
from common.imaging.scan import Scan
from common.imaging.volumes.formats import is_volume
from common.imaging.volumes.volume import Volume, read_volume
from common.types import Labels

_FEWEST_SLICES = 3
"""Two slices apart may be two lesions."""


def read_labels(path: Path, scan: Scan, labels: MaskLabels) -> Volume:
    """The segmentation in a file (or a folder that holds one in DICOM): 1 ICH, 2 IVH, 0 neither.

    On the scan's grid where the file's voxels are voxels of the scan, else on the file's own.

    Raises
    ------
    ScanError
        If it is missing, unreadable, empty, or has labels or segments that are not known.
    """
    if path.is_dir() or not is_volume(path):
        # pydicom is slow to import, and most masks are no DICOM
        from common.imaging.masks.dicom_mask import read_dicom_mask

        return _add_note_on_gaps(read_dicom_mask(path, scan, labels))
    named = read_named_labels(path) if path.is_file() else ()
    volume = _read_named(path, named, labels) if named else _read_values(read_volume(path), labels)
    if not volume.extent:
        raise ScanError(f"{path}: the mask has neither ICH nor IVH -> segment the hematoma")
    return _add_note_on_gaps(_widen(volume, scan.geometry))


def _read_values(volume: Volume, labels: MaskLabels) -> Volume:
    """The volume with its numbers translated.

    Raises
    ------
    ScanError
        If it is empty, or a number is not known.
    """
    part = _find_marked(volume.source, volume)
    stored = volume.voxels[part]
    meaning, notes = translate_values(volume.source, stored, labels)
    if stored.dtype == np.uint8 and np.array_equal(meaning, stored):
        # The usual case: the file's numbers are ours, and a copy of the volume says nothing more
        voxels = volume.voxels
    else:
        voxels = np.zeros(volume.voxels.shape, dtype=np.uint8)
        voxels[part] = meaning
    extent = tuple(
        (axis.start + first, axis.start + last)
        for axis, (first, last) in zip(part, find_extent(meaning), strict=False)
    )
    return replace(volume, voxels=voxels, notes=(*_list_looks(volume), *notes), marked=extent)


def _read_named(path: Path, named: tuple[NamedLabel, ...], labels: MaskLabels) -> Volume:
    """The volume with its named segments translated; by their numbers if no name is known.

    Raises
    ------
    ScanError
        If it is empty, or a segment is not known.
    """
    volume = read_layers(path)
    single = replace(volume, voxels=np.asarray(volume.voxels.any(axis=-1)))
    part = _find_marked(path, single)
    flagged = flag_named_labels(path, volume.voxels[part], named, labels)
    if flagged is None:
        numbered = replace(volume, voxels=volume.voxels[..., 0])
        note = note_numbers(path, numbered.voxels, named, labels, volume.geometry.voxel_volumes_ml())
        translated = _read_values(numbered, labels)
        return replace(translated, notes=(*translated.notes, note))
    flags = np.zeros(single.voxels.shape, dtype=np.uint8)
    flags[part], notes = flagged
    voxels, overlap = resolve_overlap(path, flags, volume.geometry)
    return replace(volume, voxels=voxels, notes=(*_list_looks(volume), *notes, *overlap))


def _list_looks(volume: Volume) -> tuple[Finding, ...]:
    """The geometry's notes that matter for a mask: what was put right is said of its CT."""
    return tuple(note for note in volume.notes if note.level is Level.LOOK)


def _find_marked(path: Path, volume: Volume) -> tuple[slice, ...]:
    """The box of all voxels other than 0.

    Raises
    ------
    ScanError
        If there are none.
    """
    if not volume.extent:
        raise ScanError(f"{path}: the mask is empty -> segment the hematoma or exclude the patient")
    return tuple(slice(first, last + 1) for first, last in volume.extent)


def _widen(volume: Volume, geometry: Geometry) -> Volume:
    """The mask on the whole of its scan's grid, if its file holds a part of it, as 3D Slicer writes them."""
    if volume.voxels.shape == geometry.shape or not _is_part(volume.geometry, geometry):
        return volume
    voxels = lay_planes(_list_planes(volume), geometry, SAME_GRID_MM)
    if voxels is None:
        return volume
    size = "x".join(str(count) for count in volume.voxels.shape[::-1])
    what = f"the mask's file holds a part of its CT's grid ({size} voxels)"
    note = Finding(
        str(volume.source), what, "nothing to do: each of its voxels is one of the CT's", Level.KNOW
    )
    return replace(volume, voxels=voxels, geometry=geometry, notes=(*volume.notes, note), marked=None)


def _add_note_on_gaps(volume: Volume) -> Volume:
    """The volume, with a note if slices were left out between all that are marked."""
    box = tuple(slice(first, last + 1) for first, last in volume.extent)
    marked = np.flatnonzero(volume.voxels[box].any(axis=(1, 2)))
    if len(marked) < _FEWEST_SLICES or np.diff(marked).min() < 2:
        return volume
    first = volume.extent[0][0] + 1
    what = f"{len(marked)} slices are marked (the first is {first}), and no slice between them"
    note = Finding(str(volume.source), what, "fill in the slices that were not drawn", Level.LOOK)
    return replace(volume, notes=(*volume.notes, note))


def _is_part(part: Geometry, whole: Geometry) -> bool:
    """Whether the part has no more rows and columns, its corners lie in the whole, and no slice is left out.

    A mask of every second slice is none: each of its slices stands for two of the CT's.
    """
    smaller = all(few <= many for few, many in zip(part.shape, whole.shape, strict=True))
    if not smaller or not whole.contains(part.corners_mm()).all():
        return False
    heights, all_heights = (grid.positions_mm @ whole.frame[2] for grid in (part, whole))
    slack_mm = whole.steps_mm.min() / 2
    between = (all_heights > heights[0] - slack_mm) & (all_heights < heights[-1] + slack_mm)
    return int(np.count_nonzero(between)) == len(heights)


def _list_planes(volume: Volume) -> list[LabelPlane]:
    across, down = volume.geometry.axes * np.array(volume.geometry.spacing_mm)[:, None]
    voxels: Labels = volume.voxels
    return [
        LabelPlane(plane, position, across, down)
        for plane, position in zip(voxels, volume.geometry.positions_mm, strict=True)
        if plane.any()
    ]
