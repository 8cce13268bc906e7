"""DICOM SEG by highdicom and RTSTRUCT by hand, of masks drawn on a CT series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from common.imaging.orientation import Stack, orient
from common.imaging.scan import Scan
from tests.common.imaging.head_series import Acquisition

BLOOD = Code("50960005", "SCT", "Hemorrhage")
CEREBRAL = Code("274100004", "SCT", "Cerebral hemorrhage")
RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"

SegType = hd.seg.SegmentationTypeValues


def read_images(folder: Path) -> list[Dataset]:
    """The series' slices from the lowest to the highest."""
    images = [pydicom.dcmread(file) for file in folder.glob("*.dcm")]
    for image in images:
        # highdicom asks for what every CT has
        for keyword in ("PatientBirthDate", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
            setattr(image, keyword, image.get(keyword, ""))
    return sorted(images, key=lambda image: float(image.ImagePositionPatient[2]))


def make_seg(
    images: Sequence[Dataset],
    segments: Mapping[str, np.ndarray],
    kind: SegType = SegType.BINARY,
    codes: Mapping[str, Code] | None = None,
    **options: Any,
) -> Dataset:
    """A SEG of one segment for each name: an array (slices, rows, columns) in the images' own orientation."""
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=Code("49755003", "SCT", "Morphologically Abnormal Structure"),
            segmented_property_type=(codes or {}).get(name, BLOOD),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in enumerate(segments, start=1)
    ]
    stacked = np.stack(list(segments.values()), axis=-1)
    if kind is SegType.LABELMAP:
        numbers = np.arange(1, stacked.shape[-1] + 1)
        pixels = (stacked.astype(bool) * numbers).max(axis=-1).astype(np.uint8)
    else:
        pixels = stacked.astype(np.float32 if kind is SegType.FRACTIONAL else np.uint8)
    return hd.seg.Segmentation(
        source_images=list(images),
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Phantoms",
        manufacturer_model_name="drawer",
        software_versions="1",
        device_serial_number="1",
        **options,
    )


def write_seg(path: Path, *arguments: Any, **options: Any) -> Path:
    """As `make_seg`, in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make_seg(*arguments, **options).save_as(path)
    return path


def make_rtstruct(
    image: Dataset, regions: Mapping[str, Sequence[np.ndarray]], kind: str = "CLOSED_PLANAR"
) -> Dataset:
    """An RTSTRUCT of one region for each name: contours of shape (points, 3), LPS in mm."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = RTSTRUCT_STORAGE
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid()
    one.Modality, one.StructureSetLabel = "RTSTRUCT", "drawn"
    one.PatientID, one.StudyInstanceUID = image.PatientID, image.StudyInstanceUID
    one.SeriesInstanceUID, one.FrameOfReferenceUID = generate_uid(), image.FrameOfReferenceUID
    one.StructureSetROISequence, one.ROIContourSequence, one.RTROIObservationsSequence = [], [], []
    for number, (name, contours) in enumerate(regions.items(), start=1):
        described, drawn, observed = Dataset(), Dataset(), Dataset()
        described.ROINumber, described.ROIName = number, name
        described.ReferencedFrameOfReferenceUID = image.FrameOfReferenceUID
        described.ROIGenerationAlgorithm = "MANUAL"
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{value:.6f}"[:16] for value in np.asarray(points).ravel()]
            drawn.ContourSequence.append(contour)
        observed.ObservationNumber = observed.ReferencedROINumber = number
        observed.RTROIInterpretedType, observed.ROIInterpreter = "", ""
        one.StructureSetROISequence.append(described)
        one.ROIContourSequence.append(drawn)
        one.RTROIObservationsSequence.append(observed)
    return one


def write_rtstruct(path: Path, *arguments: Any, **options: Any) -> Path:
    """As `make_rtstruct`, in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make_rtstruct(*arguments, **options).save_as(path, enforce_file_format=True)
    return path


def cut_head(acquisition: Acquisition, folder: Path) -> Scan:
    """The CT as it is read, without reading it."""
    across, down = np.array(acquisition.orientation).reshape(2, 3)
    rows_mm, columns_mm = acquisition.spacing_mm
    positions = np.array(acquisition.positions_mm)
    voxels, geometry = orient(Stack(folder, acquisition.hu(), across * columns_mm, down * rows_mm, positions))
    return Scan(folder, voxels, geometry)


def draw_ring(centre_mm: tuple[float, float], radius_mm: float, seed: int) -> np.ndarray:
    """An uneven outline around a centre, shape (36, 2): no corner lies on a pixel's centre."""
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    radii = radius_mm * np.random.default_rng(seed).uniform(0.8, 1.2, 36)
    return np.round(np.array(centre_mm) + radii[:, None] * np.c_[np.cos(angles), np.sin(angles)], 4)


OUTLINES = {
    "ICH": [(7, (30, -10), 25, 1), (8, (30, -10), 24, 2), (8, (31, -10), 9, 3), (9, (-20, 20), 13, 4)],
    "IVH": [(8, (2, 5), 4, 5), (9, (3, 5), 12, 6)],
}
"""Slice, centre and radius (mm) and seed of each outline; the third is a hole in the second."""


def draw_outlines(acquisition: Acquisition) -> dict[str, list[np.ndarray]]:
    """Contours (LPS, mm) of the outlines in the planes of the slices, whatever the gantry's tilt."""
    across, down = np.array(acquisition.orientation).reshape(2, 3)
    upright = np.array(Acquisition(acquisition.heights_mm).positions_mm)
    contours: dict[str, list[np.ndarray]] = {}
    for name, outlines in OUTLINES.items():
        contours[name] = []
        for index, centre, radius, seed in outlines:
            in_plane = draw_ring(centre, radius, seed) - upright[index, :2]
            first = np.array(acquisition.positions_mm[index])
            x, width_mm = in_plane[:, 0], (acquisition.columns - 1) * acquisition.spacing_mm[1]
            x = width_mm - x if acquisition.right_to_left else x
            contours[name].append(first + x[:, None] * across + in_plane[:, 1:] * down)
    return contours
