"""A CT as it is stored: Hounsfield units, true positions, and notes for the reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.errors import Finding
from common.imaging.geometry import Geometry

Hounsfield: TypeAlias = NDArray[np.int16] | NDArray[np.float32]
"""HU, axes (z, y, x): towards the head, the back and the patient's left."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One CT volume.

    Attributes
    ----------
    source : Path
        File or DICOM folder.
    voxels : Hounsfield of shape (slices, rows, columns)
        Intensities in HU.
    geometry : Geometry
        Of the same shape.
    notes : tuple of Finding
        What should be known but does not forbid the use: contrast, tilt, burned-in text, identifying tags.
    """

    source: Path
    voxels: Hounsfield
    geometry: Geometry
    notes: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise ValueError(f"{self.voxels.shape} voxels on a grid of {self.geometry.shape}")
