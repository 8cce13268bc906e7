"""One CT series from DICOM files, ordered by true positions, in Hounsfield units (PS3.3 A.3, A.38)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.dicom.copies import drop_copies
from common.imaging.dicom.instance import silence_pydicom
from common.imaging.dicom.pixels import read_voxels
from common.imaging.dicom.planes import Plane, list_planes
from common.imaging.dicom.scan_headers import read_scan_headers
from common.imaging.dicom.series import SeriesFolder, choose_series, sort_by_series
from common.imaging.dicom.slices import ROUNDING_MM, SliceOrder, SlicePosition, order_slices
from common.imaging.dicom.tags import find_identifying_tags, find_series_notes
from common.imaging.dicom.together import refuse_foreign_slices
from common.imaging.options import NO_CHOICE, ReadingOptions
from common.imaging.orientation import Stack, orient
from common.imaging.scan import Scan
from common.types import Reals

_EVEN = 1e-4
"""Steps that differ by a smaller share are even already, and stay as they are."""


def read_series(path: Path, options: ReadingOptions = NO_CHOICE) -> Scan:
    """The CT series in a folder, or the series to which a file belongs.

    Raises
    ------
    ScanError
        If there is none or several without a choice, a slice is missing, foreign, doubled or unreadable, or
        pixels are not HU.
    """
    with silence_pydicom():
        folder = sort_by_series(path)
        chosen = choose_series(path, folder, options.series)
        ordering = _order(path, list_planes(chosen.instances), folder, options)
        planes = ordering.planes
        voxels, padding = read_voxels(planes)
        places = _straighten(np.array([plane.position_mm for plane in planes]), ordering.order.gaps)
        stack = Stack(path, voxels, ordering.across_mm, ordering.down_mm, places)
        oriented, geometry = orient(stack)
        last = len(places) - 2
        gaps = tuple(
            sorted(last - gap if places[-1, 2] < places[0, 2] else gap for gap in ordering.order.gaps)
        )
        instances = list({id(plane.instance): plane.instance for plane in planes}.values())
        notes = (
            *chosen.notes,
            *ordering.notes,
            *(Finding(str(path), text, "nothing to do", Level.KNOW) for text in folder.dropped),
            *padding,
            *find_series_notes(path, instances, geometry.tilt_degrees),
            *find_identifying_tags(path, instances),
        )
        return Scan(path, oriented, geometry, notes, read_scan_headers(instances), gaps)


@dataclass(frozen=True, eq=False)
class _Ordering:
    """A series' slices along their normal.

    Attributes
    ----------
    planes : list of Plane
        Each place once.
    across_mm, down_mm : Reals of shape (3,)
        From column to column, from row to row.
    order : SliceOrder
        With gaps.
    notes : tuple of Finding
        On copies and spacing.
    """

    planes: list[Plane]
    across_mm: Reals
    down_mm: Reals
    order: SliceOrder
    notes: tuple[Finding, ...]


def _order(path: Path, planes: Sequence[Plane], folder: SeriesFolder, options: ReadingOptions) -> _Ordering:
    """The slices in order.

    Raises
    ------
    ScanError
        If they do not form one stack.
    """
    refuse_foreign_slices(path, planes)
    # The last digit of some headers differs from slice to slice
    cosines = np.median([plane.orientation for plane in planes], axis=0)
    row_mm, column_mm = planes[0].spacing_mm
    across, down = (part / np.linalg.norm(part) for part in (cosines[:3], cosines[3:]))
    normal = np.cross(across, down)
    normal /= np.linalg.norm(normal)
    single, copies = drop_copies(path, planes, normal)
    positions = [SlicePosition(plane.name, plane.position_mm, plane.thickness_mm) for plane in single]
    try:
        order = order_slices(path, positions, normal, options.missing_slices)
    except ScanError as refusal:
        # A damaged file that is no longer DICOM is the likeliest missing slice
        left_out = f" ({'; '.join(folder.dropped)})" if folder.dropped else ""
        raise ScanError(f"{refusal}{left_out}") from None
    ordered = [single[index] for index in order.indices]
    return _Ordering(ordered, across * column_mm, down * row_mm, order, (*copies, *order.notes))


def _straighten(places_mm: Reals, gaps: tuple[int, ...]) -> Reals:
    """The slices' places, at even steps if they are even but for the rounding of headers."""
    steps = np.diff(places_mm, axis=0)
    if np.abs(steps - steps.mean(axis=0)).max() <= _EVEN * np.linalg.norm(steps.mean(axis=0)):
        return places_mm
    even = np.linspace(places_mm[0], places_mm[-1], len(places_mm))
    return even if not gaps and np.abs(places_mm - even).max() <= ROUNDING_MM else places_mm
