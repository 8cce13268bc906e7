"""A small head whose left, front and top are known, as DICOM files of every kind that scanners write.

The same bytes each time: `tests/reference/imaging` keeps what dcm2niix makes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.8.498.11"
"""pydicom's own root, and this issue."""

Change = Callable[[int, Dataset], None]


@dataclass
class Acquisition:
    """How the head is cut: where each slice lies, in which planes, with which pixels."""

    heights_mm: list[float] = field(default_factory=lambda: [8.0 * index for index in range(16)])
    thickness_mm: list[float] | None = None
    tilt_degrees: float = 0.0
    rows: int = 44
    columns: int = 40
    spacing_mm: tuple[float, float] = (5.0, 4.5)
    """Between rows, between columns."""
    right_to_left: bool = False
    """Columns stored from the patient's left to the right."""

    @property
    def orientation(self) -> list[float]:
        angle = np.radians(self.tilt_degrees)
        across = -1.0 if self.right_to_left else 1.0
        return [across, 0.0, 0.0, 0.0, float(np.cos(angle)), float(-np.sin(angle))]

    @property
    def positions_mm(self) -> list[list[float]]:
        """The table moves along z, whatever the gantry's tilt."""
        x = (self.columns - 1) / 2 * self.spacing_mm[1] * (1 if self.right_to_left else -1)
        return [[x + 3.0, -105.0, height - 60.0] for height in self.heights_mm]

    def hu(self) -> np.ndarray:
        """Voxels (slices, rows, columns), each the head's value at the voxel's own place."""
        return self._hu

    @cached_property
    def _hu(self) -> np.ndarray:
        across, down = np.array(self.orientation).reshape(2, 3)
        rows, columns = np.mgrid[: self.rows, : self.columns]
        plane = columns[..., None] * across * self.spacing_mm[1] + rows[..., None] * down * self.spacing_mm[0]
        return np.stack([describe_head(np.array(position) + plane) for position in self.positions_mm])


def describe_head(points_mm: np.ndarray) -> np.ndarray:
    """HU at points (x to the left, y to the back, z to the head): no two octants of the head are alike."""
    x, y, z = np.moveaxis(points_mm, -1, 0)
    radius = np.sqrt((x / 75) ** 2 + (y / 92) ** 2 + (z / 85) ** 2)
    hu = np.full(x.shape, -1000.0)
    hu[radius < 1] = 900
    inside = radius < 0.92
    hu[inside] = (30 + x / 30 + y / 20 + z / 15)[inside]
    bleeding = (x - 30) ** 2 + (y + 10) ** 2 + (z - 15) ** 2 < 22**2
    hu[bleeding] = 65
    ear = (x - 80) ** 2 + (y - 12) ** 2 + (z + 30) ** 2 < 12**2
    hu[ear] = 40
    return np.round(hu).astype(np.int16)


def describe_plane(acquisition: Acquisition, index: int) -> Dataset:
    """One slice in a file of its own (PS3.3 A.3)."""
    hu = acquisition.hu()[index]
    one = _describe_image(acquisition, CTImageStorage, f"{ROOT}.3.{index + 1}")
    one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.InstanceNumber = index + 1
    one.PixelSpacing = list(acquisition.spacing_mm)
    one.ImageOrientationPatient = [round(value, 9) for value in acquisition.orientation]
    one.ImagePositionPatient = [round(value, 6) for value in acquisition.positions_mm[index]]
    one.SliceThickness = _thickness(acquisition, index)
    one.GantryDetectorTilt = acquisition.tilt_degrees
    one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
    one.PixelData = (hu.astype(np.int32) + 1024).astype("<u2").tobytes()
    return one


def write_planes(folder: Path, acquisition: Acquisition, change: Change | None = None) -> Path:
    """A file for each slice."""
    folder.mkdir(parents=True)
    for index in range(len(acquisition.heights_mm)):
        one = describe_plane(acquisition, index)
        if change:
            change(index, one)
        one.save_as(folder / f"{index:03d}.dcm", enforce_file_format=True)
    return folder


def describe_frames(acquisition: Acquisition, order: list[int] | None = None) -> Dataset:
    """All slices in one file (PS3.3 A.38): what they share once, positions frame by frame."""
    order = list(range(len(acquisition.heights_mm))) if order is None else order
    one = _describe_image(acquisition, EnhancedCTImageStorage, f"{ROOT}.4.1")
    one.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    one.InstanceNumber = 1
    one.NumberOfFrames = len(order)
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_measures(acquisition, 0)])
    plane = Dataset()
    plane.ImageOrientationPatient = [round(value, 9) for value in acquisition.orientation]
    shared.PlaneOrientationSequence = Sequence([plane])
    values = Dataset()
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, -1024, "HU"
    shared.PixelValueTransformationSequence = Sequence([values])
    one.SharedFunctionalGroupsSequence = Sequence([shared])
    one.PerFrameFunctionalGroupsSequence = Sequence(
        [_describe_frame(acquisition, index, place) for place, index in enumerate(order)]
    )
    hu = acquisition.hu()[order]
    one.PixelData = (hu.astype(np.int32) + 1024).astype("<u2").tobytes()
    return one


def write_frames(path: Path, acquisition: Acquisition, order: list[int] | None = None) -> Path:
    """One enhanced multi-frame file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    describe_frames(acquisition, order).save_as(path, enforce_file_format=True)
    return path


def _describe_frame(acquisition: Acquisition, index: int, place: int) -> Dataset:
    frame = Dataset()
    content = Dataset()
    content.StackID, content.InStackPositionNumber = "1", index + 1
    content.DimensionIndexValues = [1, index + 1]
    content.FrameAcquisitionNumber = place + 1
    frame.FrameContentSequence = Sequence([content])
    position = Dataset()
    position.ImagePositionPatient = [round(value, 6) for value in acquisition.positions_mm[index]]
    frame.PlanePositionSequence = Sequence([position])
    return frame


def _measures(acquisition: Acquisition, index: int) -> Dataset:
    measures = Dataset()
    measures.PixelSpacing = list(acquisition.spacing_mm)
    measures.SliceThickness = _thickness(acquisition, index)
    return measures


def _thickness(acquisition: Acquisition, index: int) -> float:
    if acquisition.thickness_mm:
        return acquisition.thickness_mm[index]
    return acquisition.heights_mm[1] - acquisition.heights_mm[0]


def _describe_image(acquisition: Acquisition, sop_class: str, uid: str) -> Dataset:
    """What both kinds share: patient, study, series and the matrix."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = sop_class
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = uid
    one.Modality, one.Manufacturer, one.SeriesDescription = "CT", "Phantoms", "head"
    one.PatientID, one.PatientName, one.PatientSex, one.PatientAge = "P7", "", "F", "067Y"
    one.StudyDate = one.AcquisitionDate = "20240305"
    one.StudyTime, one.AcquisitionTime = "101500", "101742.5"
    one.StudyInstanceUID, one.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2"
    one.FrameOfReferenceUID, one.SeriesNumber = f"{ROOT}.5", 2
    one.PatientPosition, one.ConvolutionKernel = "HFS", "H31s"
    one.Rows, one.Columns = acquisition.rows, acquisition.columns
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
    return one
