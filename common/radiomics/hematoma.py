"""A hematoma as readers see it: axial sections of 5 mm with pixels of 1 mm, and its dark regions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from common.errors import ScanError
from common.imaging.grid import Box, Grid
from common.imaging.masks.mask import Mask
from common.imaging.resample import resample
from common.imaging.scan import Scan
from common.radiomics.settings import ExtractionSettings
from common.radiomics.volume import locate_lesion
from common.types import Flags, Reals

SECTION = ExtractionSettings(voi="ICH", spacing_mm=(1.0, 1.0, 5.0))
"""The grid on which markers are computed: one pixel is 1 mm, to which the paper resampled all CTs."""

SPACING_MM = (5.0, 1.0, 1.0)
"""The same spacing along (z, y, x)."""

SMOOTHING_MM = 1.0
"""Standard deviation of smoothing in the plane: noise of 4 HU falls to about 1, 4 mm foci stay visible."""

_SURROUNDINGS_MM = 20
"""How much of the CT around the lesion is kept, in each direction."""
_BRAIN_HU = (15.0, 50.0)
"""Density of brain: above cerebrospinal fluid and below blood."""
_EDEMA_MM = 5.0
"""Width of the edema around a hematoma, which is not normal brain."""
_CLOT_QUANTILE = 0.75
"""Quantile of the hematoma's density that is clot, even if half of the hematoma is dark."""

_CONNECTED_3D = np.ones((3, 3, 3), dtype=np.bool_)
_CONNECTED_2D = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Hematoma:
    """An ICH with its surroundings.

    Attributes
    ----------
    hu : Reals of shape (z, y, x)
        Density at 5 x 1 x 1 mm; y runs to the back.
    lesion : Flags of shape (z, y, x)
        Voxels of the ICH.
    """

    hu: Reals
    lesion: Flags

    def __post_init__(self) -> None:
        if self.hu.shape != self.lesion.shape or not self.lesion.any():
            raise ValueError(f"{self.hu.shape} HU with a lesion of {np.count_nonzero(self.lesion)} voxels")

    @cached_property
    def smooth(self) -> Reals:
        """HU within the lesion, smoothed in the plane from voxels of the lesion alone; NaN outside."""
        width = (0.0, SMOOTHING_MM / SPACING_MM[1], SMOOTHING_MM / SPACING_MM[2])
        weight = ndimage.gaussian_filter(self.lesion.astype(np.float64), width)
        values = ndimage.gaussian_filter(np.where(self.lesion, self.hu, 0.0), width)
        smoothed: Reals = np.where(self.lesion, values / np.where(self.lesion, weight, 1.0), np.nan)
        return smoothed

    @cached_property
    def parts(self) -> tuple[Flags, ...]:
        """The unconnected parts of the lesion by falling size: the main hematoma first."""
        labels, count = ndimage.label(self.lesion, _CONNECTED_3D)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        return tuple(labels == 1 + index for index in np.argsort(-sizes, kind="stable"))

    @property
    def main(self) -> Flags:
        """The largest part."""
        return self.parts[0]

    @cached_property
    def largest_section(self) -> int:
        """Index of the axial section on which the main hematoma has its largest area."""
        return int(self.main.sum(axis=(1, 2)).argmax())

    @cached_property
    def clot_hu(self) -> float:
        """Density of clot: the upper quartile of the main hematoma."""
        return float(np.quantile(self.smooth[self.main], _CLOT_QUANTILE))

    @cached_property
    def brain_hu(self) -> float:
        """Median density of the brain parenchyma outside the edema.

        Raises
        ------
        ScanError
            If there is no such brain around the lesion.
        """
        away = ndimage.distance_transform_edt(~self.lesion, sampling=SPACING_MM) > _EDEMA_MM
        brain = self.hu[away & (self.hu > _BRAIN_HU[0]) & (self.hu < _BRAIN_HU[1])]
        if not brain.size:
            raise ScanError("no brain is seen beside the hematoma -> check that the mask lies on it")
        return float(np.median(brain))


def require_brain(scan: Scan, mask: Mask) -> None:
    """Refuse a hematoma of which no marker can be suggested.

    Raises
    ------
    ScanError
        If the mask has no ICH, or no brain is seen beside it.
    """
    _ = cut_hematoma(scan, mask).brain_hu


def cut_hematoma(scan: Scan, mask: Mask) -> Hematoma:
    """The ICH of a CT with 20 mm of its surroundings.

    Raises
    ------
    ScanError
        If the mask has no ICH.
    """
    grid = Grid(scan.geometry, SECTION.spacing_mm)
    lesion, box = locate_lesion(mask, grid, SECTION)
    steps = [round(_SURROUNDINGS_MM / step) for step in SPACING_MM]
    (z, y, x), (depth, height, width) = box.start, box.count
    wide = grid.clip(
        Box(
            (z - steps[0], y - steps[1], x - steps[2]),
            (depth + 2 * steps[0], height + 2 * steps[1], width + 2 * steps[2]),
        )
    )
    around = np.zeros(wide.count, dtype=np.bool_)
    offsets = (first - start for first, start in zip(box.start, wide.start, strict=True))
    around[tuple(slice(offset, offset + n) for offset, n in zip(offsets, box.count, strict=True))] = lesion
    return Hematoma(resample(scan.voxels, grid, wide, SECTION.interpolation), around)


def disk(radius_mm: float) -> Flags:
    """A disk of pixels of 1 mm with this radius, as a structuring element."""
    reach = int(radius_mm)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(y**2 + x**2 <= radius_mm**2)


@dataclass(frozen=True, eq=False)
class DarkRegion:
    """A dark region in one section of the main hematoma.

    Attributes
    ----------
    section : int
        Index of the axial section.
    pixels : Flags of shape (y, x)
        Pixels of the region.
    encapsulated : bool
        Whether blood that is not dark surrounds it on all sides.
    contrast_hu : float
        Median of the bright blood 1 to 4 mm around it minus the region's own median, both without the margin.
    margin_hu : float
        The same difference for the region's outermost 4 mm: the step of density at its margin.
    """

    section: int
    pixels: Flags
    encapsulated: bool
    contrast_hu: float
    margin_hu: float


_MARGIN, _BAND = disk(1.0), disk(4.0)


def find_dark_regions(hematoma: Hematoma, drop_hu: float, smallest_mm2: float) -> tuple[DarkRegion, ...]:
    """Connected regions darker than clot by more than `drop_hu`, section by section.

    Parameters
    ----------
    hematoma : Hematoma
        The hematoma searched.
    drop_hu : float
        Difference from clot.
    smallest_mm2 : float
        Smallest area of a region; smaller ones are noise.
    """
    regions = []
    for section in np.flatnonzero(hematoma.main.any(axis=(1, 2))).tolist():
        blood = hematoma.main[section]
        dark = blood & (hematoma.smooth[section] < hematoma.clot_hu - drop_hu)
        for pixels in split_components(dark, smallest_mm2):
            margin = ndimage.binary_dilation(pixels, _MARGIN)
            ring = ndimage.binary_dilation(pixels, _BAND) & blood & ~dark & ~margin
            if ring.any():
                regions.append(_measure_region(hematoma, section, pixels, ring))
    return tuple(regions)


def split_components(pixels: Flags, smallest_mm2: float) -> tuple[Flags, ...]:
    """The connected parts of a section with at least this area; one pixel is 1 mm2."""
    labels, count = ndimage.label(pixels, _CONNECTED_2D)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    return tuple(labels == index for index in range(1, count + 1) if sizes[index] >= smallest_mm2)


def _measure_region(hematoma: Hematoma, section: int, pixels: Flags, ring: Flags) -> DarkRegion:
    hu, blood = hematoma.hu[section], hematoma.main[section]
    inner = ndimage.binary_erosion(pixels, _MARGIN)
    core = inner if inner.any() else pixels
    outer = core & ndimage.binary_dilation(ring, disk(6.0))
    around = float(np.median(hu[ring]))
    beside = ndimage.binary_dilation(pixels, _CONNECTED_2D)
    return DarkRegion(
        section,
        pixels,
        encapsulated=bool((beside <= blood).all()),
        contrast_hu=around - float(np.median(hu[core])),
        margin_hu=around - float(np.median(hu[outer])) if outer.any() else 0.0,
    )
