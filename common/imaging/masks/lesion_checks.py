"""Whether what a mask marks can be a hemorrhage: its volume, its brightness and its parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.cohort.outcome import Volumes
from common.cohort.schema import BY_NAME
from common.errors import Finding, Level, ScanError
from common.imaging.intensity import take_median
from common.imaging.masks.labels import ICH, IVH
from common.imaging.masks.lesion_parts import MaskPart, find_odd_parts
from common.imaging.masks.mirrored import note_mirrored
from common.imaging.masks.outside_tissue import is_mostly_tissue, note_outside_tissue, refuse_outside_tissue
from common.imaging.masks.single_slice import note_single_slice
from common.imaging.masks.surroundings import find_surroundings, is_tissue
from common.imaging.nearest import Extent, find_extent
from common.imaging.scan import Hounsfield, Scan
from common.types import Labels

_VOLUMES = (("ICH", "ich_volume_ml"), ("IVH", "ivh_volume_ml"))
_LESION_HU = (20.0, 120.0)
"""Median intensity beyond which nothing is a hemorrhage on noncontrast CT, in HU."""
_TYPICAL_HU = {"ICH": (35.0, 100.0), "IVH": (20.0, 100.0)}
"""Usual medians; blood in the ventricles is diluted by CSF."""
_BRAIN_HU = 50.0
"""Below this median, a mask may lie on healthy brain: cortex has up to 45 HU, and scanners differ."""
_CONTRAST_HU = 8.0
"""A dark hematoma is one, if its brightest tenth is so much brighter than that of the tissue around it."""
_SHOWN = 3


def check_volumes(source: Path, measured: Volumes) -> None:
    """Refuse volumes that the cohort table would refuse too.

    Raises
    ------
    ScanError
        If one lies outside the table's range.
    """
    for (name, column), volume_ml in zip(_VOLUMES, (measured.ich_ml, measured.ivh_ml), strict=True):
        possible = BY_NAME[column].possible
        if possible is not None and not possible.low <= volume_ml <= possible.high:
            raise ScanError(
                f"{source}: the mask marks {volume_ml:,.1f} ml as {name}, possible are {possible.low:g} to "
                f"{possible.high:g} ml -> check whether it is inverted, marks another structure, or has lost "
                "its voxels' size"
            )


def check_lesion(
    source: Path, voxels: Labels, scan: Scan, extent: Extent | None = None
) -> tuple[Finding, ...]:
    """Notes on a lesion's brightness and parts.

    Parameters
    ----------
    source : Path
        The mask's file.
    voxels : Labels of shape (slices, rows, columns)
        On the scan's grid.
    scan : Scan
        In HU.
    extent : Extent, optional
        Of the labels; found if it is not given.

    Raises
    ------
    ScanError
        If the lesion, or the ICH alone, is darker or brighter than any blood.
    """
    bounds = find_extent(voxels) if extent is None else extent
    if not bounds:
        return ()
    parts = find_odd_parts(voxels, scan, bounds)
    return (
        *_check_brightness(source, voxels, scan, bounds),
        *_describe_parts(source, parts, len(scan.voxels)),
        *note_single_slice(source, voxels, scan, bounds),
        *note_mirrored(source, voxels, scan, bounds),
    )


def _check_brightness(
    source: Path, voxels: Labels, scan: Scan, bounds: tuple[tuple[int, int], ...]
) -> Iterator[Finding]:
    """Notes on the medians of ICH and IVH, and on what of them is no tissue.

    Raises
    ------
    ScanError
        If the lesion, or the ICH alone, is darker or brighter than any blood, or half of it is no tissue.
    """
    box = tuple(slice(first, last + 1) for first, last in bounds)
    inside = voxels[box] > 0
    marked, hu = voxels[box][inside], scan.voxels[box][inside]
    by_label = {name: hu[marked == label] for name, label in (("ICH", ICH), ("IVH", IVH))}
    medians = {name: take_median(values) for name, values in by_label.items() if values.size}
    # Where one label is marked alone, the lesion is that
    whole = take_median(hu) if len(medians) > 1 else next(iter(medians.values()))
    for name, median in {"lesion": whole, **medians}.items():
        if name != "IVH" and not _LESION_HU[0] <= median <= _LESION_HU[1]:
            raise ScanError(
                f"{source}: the median within the {name} is {median:.0f} HU, blood has {_LESION_HU[0]:g} to "
                f"{_LESION_HU[1]:g} -> find the mask of this CT; check whether it is flipped or inverted"
            )
    for name, values in (("lesion", hu), *by_label.items()):
        if name != "IVH" and values.size:
            refuse_outside_tissue(source, name, values)
    for name in medians:
        yield from note_outside_tissue(source, name, by_label[name])
    for name, median in medians.items():
        low, high = _TYPICAL_HU[name]
        if low <= median <= high:
            if name == "ICH" and median < _BRAIN_HU:
                yield from _note_brain(source, by_label[name], find_surroundings(voxels, scan, bounds))
            continue
        what = f"the median within the {name} is {median:.0f} HU, blood has {low:g} to {high:g}"
        around = find_surroundings(voxels, scan, bounds)
        if median < low and _has_bright_part(by_label[name], around):
            what += f"; its brightest tenth has {_find_upper(by_label[name]):.0f}, that around it "
            yield Finding(str(source), f"{what}{_find_upper(around):.0f}", "nothing to do", Level.KNOW)
        else:
            yield Finding(str(source), what, "check that the mask lies on the hematoma", Level.LOOK)


def _note_brain(source: Path, hu: Hounsfield, around: Hounsfield) -> Iterator[Finding]:
    """A note if what is marked as ICH is no brighter than what lies around it."""
    if not around.size or not is_mostly_tissue(hu) or _has_bright_part(hu, around):
        # What is no tissue is a note of its own
        return
    what = (
        f"the ICH is no brighter than its surroundings: its median is {np.median(hu):.0f} HU, its brightest "
        f"tenth has {_find_upper(hu):.0f}, that around it {_find_upper(around):.0f}"
    )
    yield Finding(
        str(source), what, "check that the mask lies on the hematoma, and on the right side", Level.LOOK
    )


def _has_bright_part(hu: Hounsfield, around: Hounsfield) -> bool:
    """Whether blood, and no bone or metal, makes the brightest tenth brighter than the tissue around."""
    if not around.size or not is_mostly_tissue(hu):
        return False
    return _find_upper(hu) >= _find_upper(around) + _CONTRAST_HU


def _find_upper(hu: Hounsfield) -> float:
    """Intensity that a tenth of those voxels exceeds that may be blood."""
    return float(np.percentile(hu[is_tissue(hu)], 90))


def _describe_parts(source: Path, parts: tuple[MaskPart, ...], slices: int) -> Iterator[Finding]:
    """One note on the parts that are probably slips of the hand, one on those that can be small bleedings."""
    for level, some, remedy in (
        (Level.LOOK, [part for part in parts if not part.plausible], "erase what is no blood"),
        (Level.KNOW, [part for part in parts if part.plausible], "nothing to do: it may be blood"),
    ):
        if not some:
            continue
        shown = "; ".join(
            f"{part.volume_ml:.3f} ml in slice {part.slice_number} of {slices} from below, {part.reason} "
            f"({part.median_hu:.0f} HU)"
            for part in some[:_SHOWN]
        )
        more = f"; and {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
        what = f"{len(some)} speck{'s' if len(some) > 1 else ''} apart from the lesion: {shown}{more}"
        yield Finding(str(source), what, remedy, level)
