"""Simulated scans as DICOM CT series (PS3.3 A.3, CT Image Storage), one file a slice.

Nothing in the headers names a person: tags for names are present but empty, as type 2 allows.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simulations.phantom.images import Image
from simulations.phantom.scanners import Scanner

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_INTERCEPT = -1024
_STAGES = ("baseline", "follow-up")


@dataclass(frozen=True)
class SeriesOrigin:
    """Whose scan a series is, and at what time.

    Attributes
    ----------
    patient : str
        The patient's pseudonym.
    stage : {0, 1}
        0 for baseline, 1 for follow-up.
    seed : int
        The simulation's seed, a part of every UID.
    """

    patient: str
    stage: int
    seed: int

    def make_uid(self, *what: str | int) -> str:
        """A UID for a part of this series: 2.25 and a UUID made from names (PS3.5 B.2, RFC 4122)."""
        name = "/".join(str(part) for part in ("rhe-simulate", self.seed, self.patient, self.stage, *what))
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def write_series(folder: Path, image: Image, scanner: Scanner, origin: SeriesOrigin) -> None:
    """Write the image as a folder of DICOM files, numbered towards the head.

    Raises
    ------
    OSError
        If the folder exists already or cannot be written.
    """
    from pydicom import dcmwrite
    from pydicom.uid import UID

    folder.mkdir(parents=True)
    dataset = _build_shared_headers(image, scanner, origin)
    stored = (image.hu.astype(np.int32) - _INTERCEPT).astype("<u2")
    for index, pixels in enumerate(stored):
        uid = UID(origin.make_uid("slice", index))
        position = image.geometry.positions_mm[index]
        dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.SOPInstanceUID = uid
        dataset.InstanceNumber = index + 1
        dataset.ImagePositionPatient = [_format_decimal(value) for value in position]
        dataset.SliceLocation = _format_decimal(position[2])
        dataset.PixelData = pixels.tobytes()
        dcmwrite(folder / f"IM{index + 1:04d}.dcm", dataset, enforce_file_format=True)


def _build_shared_headers(image: Image, scanner: Scanner, origin: SeriesOrigin) -> Dataset:
    """The headers that all slices share."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(_CT_IMAGE_STORAGE)
    dataset.file_meta.TransferSyntaxUID = UID(_EXPLICIT_LITTLE_ENDIAN)
    _identify(dataset, origin)
    _describe_scanner(dataset, scanner, tilt_degrees=image.geometry.tilt_degrees)
    _describe_pixels(dataset, image)
    dataset.SliceThickness = _format_decimal(scanner.thickness_mm)
    return dataset


def _identify(dataset: Dataset, origin: SeriesOrigin) -> None:
    """Fill the patient, study, series and frame-of-reference modules."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = _CT_IMAGE_STORAGE
    dataset.Modality = "CT"
    dataset.PatientID = origin.patient
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Simulated: there is no such patient"
    for keyword in (
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "PositionReferenceIndicator",
    ):
        setattr(dataset, keyword, "")
    dataset.StudyID = str(origin.stage + 1)
    dataset.StudyDescription = f"Head without contrast, {_STAGES[origin.stage]}"
    dataset.SeriesDescription = "Head, axial"
    dataset.SeriesNumber = 2
    dataset.AcquisitionNumber = 1
    dataset.BodyPartExamined = "HEAD"
    dataset.PatientPosition = "HFS"
    dataset.StudyInstanceUID = origin.make_uid("study")
    dataset.SeriesInstanceUID = origin.make_uid("series")
    dataset.FrameOfReferenceUID = origin.make_uid("frame")


def _describe_scanner(dataset: Dataset, scanner: Scanner, tilt_degrees: float) -> None:
    """Fill the general equipment module and the acquisition's part of the CT image module."""
    dataset.Manufacturer = scanner.manufacturer
    dataset.ManufacturerModelName = scanner.model
    dataset.SoftwareVersions = "rhe-simulate"
    dataset.ConvolutionKernel = scanner.kernel
    dataset.KVP = scanner.kvp
    dataset.GantryDetectorTilt = _format_decimal(tilt_degrees)
    dataset.TableHeight = "0"
    dataset.RotationDirection = "CW"
    dataset.FilterType = "HEAD FILTER"


def _describe_pixels(dataset: Dataset, image: Image) -> None:
    """Fill the image plane and image pixel modules, rescale and window."""
    geometry = image.geometry
    dataset.PixelSpacing = [_format_decimal(step) for step in reversed(geometry.spacing_mm)]
    dataset.ImageOrientationPatient = [_format_decimal(cosine) for cosine in geometry.axes.ravel()]
    dataset.Rows, dataset.Columns = geometry.rows, geometry.columns
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept = _INTERCEPT
    dataset.RescaleSlope = 1
    dataset.RescaleType = "HU"
    dataset.WindowCenter = 40
    dataset.WindowWidth = 80


def _format_decimal(value: float) -> str:
    """A decimal string: at most 16 characters (PS3.5 6.2)."""
    return f"{float(value):.6f}".rstrip("0").rstrip(".")
