"""A CT as it is stored: Hounsfield units, true positions, and notes for the reader."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.errors import Finding
from common.imaging.geometry import Geometry

Hounsfield: TypeAlias = NDArray[np.int16] | NDArray[np.float32]
"""HU, axes (z, y, x): towards the head, the back and the patient's left."""

IDENTITY_REMARK = "headers identify the patient"
"""How the note on identifying tags begins: reports show it behind what may be wrong with the scan."""


@dataclass(frozen=True)
class ScanHeaders:
    """What a CT's files say of the patient and the time; it stays at the site.

    Attributes
    ----------
    patient_id, sex : str
        As written; empty where they are not.
    age_years : float or None
        At the time of the scan.
    birth_date, study_date : date or None
        Of the patient and of the study.
    taken : datetime or None
        When the CT was acquired, by the scanner's clock.
    frame_of_reference : str
        UID of the space in which positions are stated (0020,0052); empty where it is not written.
    """

    patient_id: str = ""
    sex: str = ""
    age_years: float | None = None
    birth_date: date | None = None
    study_date: date | None = None
    taken: datetime | None = None
    frame_of_reference: str = ""


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
    headers : ScanHeaders or None
        What DICOM says of patient and time; None where the format cannot say it.
    gaps : tuple of int
        Indices of slices behind which (towards the head) others are missing.
    """

    source: Path
    voxels: Hounsfield
    geometry: Geometry
    notes: tuple[Finding, ...] = ()
    headers: ScanHeaders | None = None
    gaps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise ValueError(f"{self.voxels.shape} voxels on a grid of {self.geometry.shape}")
