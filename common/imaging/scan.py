"""A CT as it is stored: Hounsfield units, true positions, and what a reader should know about it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.errors import Finding, ScanError
from common.imaging.geometry import Geometry

Hounsfield: TypeAlias = NDArray[np.int16] | NDArray[np.float32]
"""HU, axes (z, y, x): towards the head, the back and the patient's left."""

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Formats that hold a volume in one file (or a header beside its data)."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One CT volume.

    Attributes
    ----------
    source : Path
        File or DICOM folder.
    voxels : Hounsfield of shape (slices, rows, columns)
    geometry : Geometry
        Of the same shape.
    notes : tuple of Finding
        What does not forbid its use but should be known: contrast, tilt, burned-in text, identifying tags.
    """

    source: Path
    voxels: Hounsfield
    geometry: Geometry
    notes: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise ValueError(f"{self.voxels.shape} voxels on a grid of {self.geometry.shape}")


def source_files(path: Path) -> tuple[Path, ...]:
    """Every file whose bytes a scan or mask at this path depends on, the path itself first if it is a file.

    A volume's header may have its data beside it, and a DICOM file stands for its series, so their whole
    folder belongs to them.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    alone = (".nii", ".nii.gz", ".nrrd", ".mha")
    if path.is_file() and path.name.lower().endswith(alone):
        return (path,)
    first, root = ((), path) if path.is_dir() else ((path,), path.parent)
    found = [Path(folder, name) for folder, _, names in os.walk(root, onerror=_raise) for name in names]
    return (*first, *sorted(found))


def _raise(failure: OSError) -> None:
    raise failure


def read_scan(path: Path) -> Scan:
    """The CT in a NIfTI, NRRD or MetaImage file, a DICOM folder, or the DICOM series that a file belongs to.

    Raises
    ------
    ScanError
        If it is missing, unreadable, not one CT series, not calibrated, or its geometry is ambiguous.
    """
    from common.imaging.hounsfield import calibrated

    if not path.exists():
        raise ScanError(f"{path}: no such file or folder -> correct the path in the cohort table")
    if path.is_file() and path.name.lower().endswith(VOLUME_SUFFIXES):
        from common.imaging.nifti import read_volume

        volume = read_volume(path)
        return calibrated(Scan(path, volume.hounsfield(), volume.geometry))
    from common.imaging.dicom import read_series

    return calibrated(read_series(path))
