"""A segmentation with labels for ICH and IVH, on the grid of its scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.cohort.outcome import Volumes
from common.errors import Finding, ScanError
from common.imaging.masks.gaps import refuse_gap_near_lesion
from common.imaging.masks.label_volume import read_labels
from common.imaging.masks.labels import ICH, IVH, MaskLabels
from common.imaging.masks.lesion_checks import check_lesion, check_volumes
from common.imaging.masks.mask_grid import digest_labels, lay_on_scan, measure_volumes
from common.imaging.nearest import Extent, find_extent
from common.imaging.scan import Scan
from common.imaging.volumes.volume import Volume
from common.types import Labels

__all__ = ["ICH", "IVH", "Mask", "MaskLabels", "read_mask"]


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
    digest : str
        Of the labels as the file holds them: equal for one segmentation in different files.
    extent : Extent, optional
        Where `voxels` marks anything; found when it is needed if it is not given.
    """

    source: Path
    voxels: Labels
    measured: Volumes
    notes: tuple[Finding, ...] = ()
    digest: str = ""
    extent: Extent | None = None

    def volumes(self) -> Volumes:
        """Volumes of ICH and IVH in ml."""
        return self.measured


class UnlikelyMaskError(ScanError):
    """A mask lies on its scan, and what it marks cannot be a hemorrhage.

    Attributes
    ----------
    labels : Labels of shape (slices, rows, columns)
        What it marks, on the scan's grid, to be shown.
    """

    def __init__(self, message: str, labels: Labels) -> None:
        self.labels = labels
        super().__init__(message)


def read_mask(path: Path, scan: Scan, labels: MaskLabels) -> Mask:
    """The segmentation of a scan.

    Raises
    ------
    ScanError
        If it is missing, unreadable, empty, has unknown labels, or does not lie on the scan.
    UnlikelyMaskError
        If what it marks cannot be a hemorrhage, or cannot be judged.
    """
    return _check_labels(read_labels(path, scan, labels), scan)


def _check_labels(volume: Volume, scan: Scan) -> Mask:
    """The mask of these labels, laid on the scan.

    Raises
    ------
    ScanError
        If it does not lie on the scan.
    UnlikelyMaskError
        If what it marks cannot be a hemorrhage, or cannot be judged.
    """
    stored: Labels = volume.voxels
    voxels, notes, geometry = lay_on_scan(volume, stored, scan)
    measured = measure_volumes(stored, geometry, volume.extent)
    extent = volume.extent if voxels is stored else find_extent(voxels)
    try:
        refuse_gap_near_lesion(scan, voxels)
        check_volumes(volume.source, measured)
        lesion = check_lesion(volume.source, voxels, scan, extent)
    except ScanError as refusal:
        raise UnlikelyMaskError(str(refusal), voxels) from None
    notes = (*volume.notes, *notes, *lesion)
    return Mask(volume.source, voxels, measured, notes, digest_labels(volume), extent)
