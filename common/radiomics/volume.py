"""The lesion and the voxels around it on which its wavelets depend, cut out so that no number changes.

PyRadiomics' stationary wavelet is periodic over the whole volume, whose odd sizes it first makes even by
repeating the first voxel. Therefore a lesion at one end depends on the other end, which must be cut out too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import ScanError
from common.imaging.connected import number_parts
from common.imaging.crop import find_bounding_box
from common.imaging.grid import Box, Grid
from common.imaging.masks.mask import ICH, Mask
from common.imaging.nearest import resample_labels
from common.imaging.resample import resample
from common.imaging.scan import Scan
from common.radiomics.settings import ExtractionSettings
from common.types import Flags, Reals

MARGIN = 3
"""How many voxels on each side of the lesion its wavelets (coif1, six taps) depend on."""


@dataclass(frozen=True, eq=False)
class LesionVolume:
    """A lesion on the extraction's grid.

    Attributes
    ----------
    hu : Reals of shape (z, y, x)
        Density of the lesion and the voxels around it; never windowed.
    lesion : Flags of shape (z, y, x)
        Voxels of the lesion.
    spacing_mm : tuple of 3 floats
        Voxel spacing (x, y, z), in mm.
    touches_border : bool
        Whether the lesion reaches an end of the scan, beyond which a part of it may lie.
    """

    hu: Reals
    lesion: Flags
    spacing_mm: tuple[float, float, float]
    touches_border: bool

    @property
    def voxels(self) -> int:
        """Number of voxels of the lesion."""
        return int(np.count_nonzero(self.lesion))

    @property
    def components(self) -> int:
        """Number of parts of the lesion that share no face, edge or corner, as in PyRadiomics' matrices."""
        return number_parts(self.lesion)[1]


def cut_lesion_volume(scan: Scan, mask: Mask, settings: ExtractionSettings) -> LesionVolume:
    """The lesion, with the voxels around it on which any of its features depends.

    Raises
    ------
    ScanError
        If the mask is not on the scan's grid or has no voxel of the lesion.
    """
    if mask.voxels.shape != scan.voxels.shape:
        raise ScanError(
            f"{mask.source}: the mask has {mask.voxels.shape} voxels, its CT {scan.voxels.shape} "
            "-> read it with its own CT"
        )
    grid = Grid(scan.geometry, settings.spacing_mm)
    lesion, box = locate_lesion(mask, grid, settings)
    indices = [
        wrap_indices(first, count, size)
        for first, count, size in zip(box.start, box.count, grid.shape, strict=True)
    ]
    hu = _resample_planes(scan, grid, settings, indices)
    around = np.zeros(hu.shape, dtype=bool)
    around[tuple(slice(MARGIN, MARGIN + count) for count in box.count)] = lesion
    touches = 0 in box.start or any(stop == size for stop, size in zip(box.stop, grid.shape, strict=True))
    return LesionVolume(hu, around, settings.spacing_mm, touches)


def wrap_indices(first: int, count: int, size: int) -> NDArray[np.intp]:
    """Indices along one axis of the lesion and its margins: an even number, wrapped as by the wavelet.

    Parameters
    ----------
    first, count : int
        First index and number of indices of the lesion.
    size : int
        Number of indices of the whole volume.
    """
    even = size + size % 2
    length = count + 2 * MARGIN
    indices = np.arange(first - MARGIN, first - MARGIN + length + length % 2) % even
    return np.where(indices == size, 0, indices)


def locate_lesion(mask: Mask, grid: Grid, settings: ExtractionSettings) -> tuple[Flags, Box]:
    """The lesion in the smallest box around it, and that box on the grid.

    Raises
    ------
    ScanError
        If the mask has no voxel of the lesion.
    """
    labels, within = resample_labels(mask.voxels, grid, mask.extent)
    lesion = labels == ICH if settings.voi == "ICH" else labels > 0
    if not lesion.any():
        spacing = "x".join(f"{step:g}" for step in settings.spacing_mm)
        raise ScanError(
            f"{mask.source}: no voxel of {settings.voi} at {spacing} mm "
            "-> check the mask, or which labels form the volume of interest"
        )
    box = find_bounding_box(lesion, within)
    inner = Box(
        (box.start[0] - within.start[0], box.start[1] - within.start[1], box.start[2] - within.start[2]),
        box.count,
    )
    return lesion[inner.slices], box


def _resample_planes(
    scan: Scan, grid: Grid, settings: ExtractionSettings, indices: list[NDArray[np.intp]]
) -> Reals:
    """HU at these planes, rows and columns of the grid; an axis used at both ends is resampled whole."""
    start = [int(axis.min()) for axis in indices]
    count = [int(axis.max()) - first + 1 for axis, first in zip(indices, start, strict=True)]
    hull = Box((start[0], start[1], start[2]), (count[0], count[1], count[2]))
    part = resample(scan.voxels, grid, hull, settings.interpolation)
    planes: Reals = part[np.ix_(*(axis - first for axis, first in zip(indices, start, strict=True)))]
    return planes
