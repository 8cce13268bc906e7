"""RTSTRUCT: closed contours on the CT's slices, filled (PS3.3 C.8.8.5, C.8.8.6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.dicom.dicom_values import Tags
from common.imaging.dicom.instance import UNREADABLE
from common.imaging.geometry import Geometry
from common.imaging.masks.contours import fill_contours
from common.imaging.masks.label_names import NamedSegment, interpret_segments
from common.imaging.masks.label_planes import SAME_PLACE_MM
from common.imaging.masks.labels import NEITHER, MaskLabels
from common.imaging.masks.shared_voxels import resolve_overlap
from common.imaging.scan import Scan
from common.imaging.volumes.volume import Volume
from common.types import Labels, Reals

_MOST_POINTS = 1 << 20
"""Of the regions that are hemorrhages."""
_MOST_CROSSINGS = 1 << 28
"""Points times rows: bounds the time to fill them."""

_BESIDE = 0.1
"""Largest distance of a contour from its slice, as a share of the distance between slices."""


@dataclass(frozen=True)
class _Region:
    """One region of interest and its contours as the file holds them."""

    segment: NamedSegment
    contours: tuple[Tags, ...]


def read_rtstruct(tags: Tags, scan: Scan, labels: MaskLabels) -> Volume:
    """ICH (1), IVH (2) and neither (0) on the scan's grid: voxels whose centres lie inside the contours.

    Raises
    ------
    ScanError
        If the file is damaged or too large, a region is not known, or contours do not lie on the scan's
        slices.
    """
    path, regions = tags.path, _read_regions(tags)
    meanings = interpret_segments(path, [region.segment for region in regions], labels)
    flags, farthest_mm = np.zeros(scan.geometry.shape, dtype=np.uint8), 0.0
    points_left = _MOST_POINTS
    for region in regions:
        meaning = meanings[region.segment.number]
        if meaning == NEITHER:
            continue
        contours = [_read_points(contour, points_left) for contour in region.contours]
        points_left -= sum(len(points) for points in contours)
        placed, apart_mm = _place_contours(path, contours, scan.geometry)
        _refuse_long_work(path, placed, scan.geometry)
        _fill(flags, placed, meaning)
        farthest_mm = max(farthest_mm, apart_mm)
    if not flags.any():
        held = "; ".join(str(region.segment) for region in regions) or "no contours"
        raise ScanError(f"{path}: has neither ICH nor IVH (it holds: {held}) -> segment the hematoma")
    voxels, notes = resolve_overlap(path, flags, scan.geometry)
    return Volume(path, voxels, scan.geometry, (*notes, *_note_distance(path, farthest_mm)))


def _read_regions(tags: Tags) -> list[_Region]:
    """The regions that have contours.

    Raises
    ------
    ScanError
        If one is damaged, without a name of its own, or not closed contours.
    """
    observed: dict[int, Tags] = {}
    for item in tags.items("RTROIObservationsSequence"):
        observed[item.read_whole("ReferencedROINumber")] = item
    named: dict[int, NamedSegment] = {}
    for item in tags.items("StructureSetROISequence"):
        number = item.read_whole("ROINumber")
        if number in named:
            raise ScanError(f"{tags.path}: two regions have one number -> export it again")
        more = observed.get(number)
        label = more.text("ROIObservationLabel") if more else ""
        codes = more.codes("RTROIIdentificationCodeSequence") if more else ()
        named[number] = NamedSegment(number, (item.text("ROIName"), label), codes)
    regions = []
    for item in tags.items("ROIContourSequence"):
        contours, number = item.items("ContourSequence"), item.read_whole("ReferencedROINumber")
        if number not in named:
            raise ScanError(f"{tags.path}: region {number} is not described in the file -> export it again")
        if contours:
            regions.append(_Region(named[number], contours))
    return regions


def _read_points(contour: Tags, most: int) -> Reals:
    """The points (LPS, mm) of a closed contour, shape (points, 3).

    Raises
    ------
    ScanError
        If it is not closed, has too many points, or they are no numbers.
    """
    kind = contour.text("ContourGeometricType").upper()
    if kind not in {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}:
        raise ScanError(
            f"{contour.path}: a contour is {kind or 'of no type'}, not CLOSED_PLANAR -> export areas"
        )
    try:
        # pydicom would make a decimal object of each number
        element = contour.dataset.get_item("ContourData")
        value = element.value if element is not None else b""
        text = value.decode("ascii") if isinstance(value, bytes) else None
        numbers = np.array(value if text is None else text.strip(" \0").split("\\"), dtype=np.float64)
    except UNREADABLE as failure:
        raise ScanError(
            f"{contour.path}: ContourData is unreadable ({type(failure).__name__}) -> export it again"
        ) from None
    if numbers.ndim != 1 or len(numbers) % 3 or len(numbers) < 3 or not np.isfinite(numbers).all():
        raise ScanError(f"{contour.path}: a contour's points are not x, y and z in mm -> export it again")
    if len(numbers) // 3 > most:
        raise ScanError(f"{contour.path}: more than {_MOST_POINTS} points: impossible -> export it again")
    return numbers.reshape(-1, 3)


def _place_contours(
    path: Path, contours: list[Reals], geometry: Geometry
) -> tuple[Mapping[int, list[Reals]], float]:
    """Column and row of each contour's points by slice, and the largest distance of one from its slice in mm.

    Raises
    ------
    ScanError
        If a contour is not in the plane of a slice.
    """
    placed: dict[int, list[Reals]] = defaultdict(list)
    heights, farthest_mm = geometry.offsets_mm[:, 2], 0.0
    most_mm = _BESIDE * float(geometry.steps_mm.min())
    between, worst_mm = 0, 0.0
    for points in contours:
        points_mm = (points - geometry.positions_mm[0]) @ geometry.frame.T
        index = int(np.abs(heights - np.median(points_mm[:, 2])).argmin())
        apart_mm = float(np.abs(points_mm[:, 2] - heights[index]).max())
        if apart_mm > most_mm:
            between, worst_mm = between + 1, max(worst_mm, apart_mm)
            continue
        farthest_mm = max(farthest_mm, apart_mm)
        drawn = (points_mm[:, :2] - geometry.offsets_mm[index, :2]) / geometry.spacing_mm
        # Cut out of itself, a contour that is written twice would be nothing
        if not any(np.array_equal(drawn, other) for other in placed[index]):
            placed[index].append(drawn)
        _refuse_outside(path, placed[index][-1], geometry)
    if between:
        raise ScanError(
            f"{path}: {between} of {len(contours)} contours do not lie on slices of the CT (up to "
            f"{worst_mm:.2f} mm from the nearest) -> name the CT series on which they were drawn, or export "
            "the segmentation as NIfTI, NRRD or DICOM SEG"
        )
    return placed, farthest_mm


def _refuse_outside(path: Path, points: Reals, geometry: Geometry) -> None:
    """Refuse a contour that leaves its slice.

    Raises
    ------
    ScanError
        With the number of its points outside.
    """
    outside = ((points < -0.5) | (points > np.array([geometry.columns, geometry.rows]) - 0.5)).any(axis=1)
    if outside.any():
        what = f"{outside.sum()} of a contour's {len(points)} points lie outside the CT"
        raise ScanError(f"{path}: {what} -> find the mask of this CT")


def _refuse_long_work(path: Path, placed: Mapping[int, list[Reals]], geometry: Geometry) -> None:
    """Refuse points that would take minutes to fill.

    Raises
    ------
    ScanError
        With the number of points.
    """
    points = np.concatenate(
        [np.zeros((0, 2)), *(points for contours in placed.values() for points in contours)]
    )
    rows = np.abs(np.diff(points[:, 1].clip(0, geometry.rows))).sum()
    if rows > _MOST_CROSSINGS:
        raise ScanError(f"{path}: {len(points)} points that zigzag across the head -> export it again")


def _fill(flags: Labels, placed: Mapping[int, list[Reals]], meaning: int) -> None:
    for index, contours in placed.items():
        flags[index][fill_contours(contours, flags.shape[1:])] |= meaning


def _note_distance(path: Path, farthest_mm: float) -> tuple[Finding, ...]:
    if farthest_mm <= SAME_PLACE_MM:
        return ()
    what = f"contours lie up to {farthest_mm:.2f} mm from the CT's slices"
    return (Finding(str(path), what, "nothing to do: taken to the nearest slice", Level.KNOW),)
