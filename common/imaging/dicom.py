"""One CT series from DICOM files, ordered by true positions, in Hounsfield units (PS3.3 C.8.2)."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from common.errors import Finding, ScanError
from common.imaging.hounsfield import AIR_HU
from common.imaging.orientation import Stack, orient
from common.imaging.scan import Hounsfield, Scan
from common.imaging.slices import SlicePosition, order_slices
from common.imaging.tags import find_identifying_tags, find_series_notes
from common.types import Reals

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
"""PS3.4 B.5: the SOP class of single-slice CT."""

_MULTI_FRAME_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")

_IGNORED_NAMES = frozenset({"dicomdir", "thumbs.db", "desktop.ini", ".ds_store"})
"""Files that CD writers and operating systems add to folders."""


_UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
    *(RuntimeError, NotImplementedError, BytesLengthException, struct.error, zlib.error),
)
"""What pydicom and its decoders raise on damaged files; tags are decoded only when they are read."""


@dataclass(frozen=True)
class Instance:
    """One DICOM file and its contents.

    Attributes
    ----------
    path : Path
        The file.
    dataset : pydicom Dataset
        Its tags; pixels are decoded on access.
    """

    path: Path
    dataset: Dataset


@dataclass(frozen=True)
class SeriesFolder:
    """The CT series in a folder of DICOM files.

    Attributes
    ----------
    series : tuple of tuples of Instance
        CT images, one tuple for each series, in the order of the series' UIDs.
    dropped : tuple of str
        One sentence for each reason for which files were left out, with their number.
    """

    series: tuple[tuple[Instance, ...], ...]
    dropped: tuple[str, ...]


def read_series(path: Path) -> Scan:
    """The only CT series in a folder, or the series to which a file belongs.

    Raises
    ------
    ScanError
        If there is none or several, a slice is missing, doubled or unreadable, or pixels are not HU.
    """
    try:
        with _silence_pydicom():
            return _read_series(path)
    except _UNREADABLE as failure:
        raise ScanError(_describe_failure(path, failure)) from None


@contextmanager
def _silence_pydicom() -> Iterator[None]:
    """Silence pydicom's warnings about values that violate the standard, because they quote headers."""
    logger = logging.getLogger("pydicom")
    before = logger.level
    try:
        logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _describe_failure(path: Path, failure: Exception) -> str:
    # The failure's own text may quote a header or pixels
    return f"{path}: unreadable DICOM ({type(failure).__name__}) -> copy or export it again"


def _read_series(path: Path) -> Scan:
    folder = _sort_by_series(path)
    chosen = _choose_series(path, folder)
    across, down = _read_in_plane_steps(path, chosen)
    positions = [_read_position(instance) for instance in chosen]
    normal = np.cross(across, down) / np.linalg.norm(np.cross(across, down))
    try:
        order, notes = order_slices(path, positions, normal)
    except ScanError as refusal:
        # A damaged file that is no longer DICOM is the likeliest missing slice
        left_out = f" ({'; '.join(folder.dropped)})" if folder.dropped else ""
        raise ScanError(f"{refusal}{left_out}") from None
    ordered = [chosen[index] for index in order]
    voxels = _stack([_read_hounsfield(instance) for instance in ordered])
    places = np.array([positions[index].position_mm for index in order])
    oriented, geometry = orient(Stack(path, voxels, across, down, places))
    datasets = [instance.dataset for instance in ordered]
    notes += tuple(Finding(str(path), text, "nothing to do") for text in folder.dropped)
    notes += tuple(
        find_series_notes(path, datasets, geometry.tilt_degrees) + find_identifying_tags(path, datasets)
    )
    return Scan(path, oriented, geometry, notes)


def _sort_by_series(path: Path) -> SeriesFolder:
    root = path if path.is_dir() else path.parent
    files = sorted(
        file for file in root.rglob("*") if file.is_file() and file.name.lower() not in _IGNORED_NAMES
    )
    series: dict[str, list[Instance]] = defaultdict(list)
    dropped: dict[str, int] = defaultdict(int)
    for file in files:
        try:
            dataset = pydicom.dcmread(file)
            reason = _explain_exclusion(dataset)
        except InvalidDicomError:
            reason = "not DICOM"
        except _UNREADABLE as failure:
            raise ScanError(_describe_failure(file, failure)) from None
        if reason:
            dropped[reason] += 1
        else:
            series[str(dataset.SeriesInstanceUID)].append(Instance(file, dataset))
    left_out = tuple(f"{count} file(s) left out: {reason}" for reason, count in sorted(dropped.items()))
    return SeriesFolder(tuple(tuple(instances) for _, instances in sorted(series.items())), left_out)


def _explain_exclusion(dataset: Dataset) -> str:
    """Why this file is not a slice of a CT; empty if it is one."""
    modality = str(dataset.get("Modality", "")) or "none"
    sop_class = str(dataset.get("SOPClassUID", ""))
    image_type = [str(part).upper() for part in dataset.get("ImageType", [])]
    if sop_class in _MULTI_FRAME_CT:
        return "enhanced multi-frame CT, which is not supported (export single-slice CT)"
    if modality != "CT":
        return f"modality {modality}, not CT"
    if sop_class != CT_IMAGE_STORAGE:
        return f"not a CT image but {pydicom.uid.UID(sop_class).name or 'without SOP class'}"
    if "LOCALIZER" in image_type:
        return "localizer"
    if not dataset.get("SeriesInstanceUID"):
        return "CT without Series Instance UID"
    return ""


def _choose_series(path: Path, folder: SeriesFolder) -> tuple[Instance, ...]:
    if path.is_file():
        for series in folder.series:
            if any(instance.path == path for instance in series):
                return series
        raise ScanError(f"{path}: not a slice of a CT ({'; '.join(folder.dropped)}) -> choose the CT series")
    if not folder.series:
        reasons = "; ".join(folder.dropped) or "the folder is empty"
        raise ScanError(f"{path}: holds no CT series ({reasons}) -> correct the path in the cohort table")
    if len(folder.series) > 1:
        described = "; ".join(_describe(series) for series in folder.series)
        raise ScanError(
            f"{path}: holds {len(folder.series)} CT series: {described} -> let the cohort table point to one "
            "series' folder, or to one file of the series"
        )
    return folder.series[0]


def _describe(series: tuple[Instance, ...]) -> str:
    first = series[0].dataset
    return (
        f"{first.get('SeriesDescription', 'no description')!r} ({len(series)} slices of "
        f"{first.get('SliceThickness', '?')} mm, kernel {first.get('ConvolutionKernel', '?')}, "
        f"e.g. {series[0].path.name})"
    )


def _read_in_plane_steps(path: Path, series: tuple[Instance, ...]) -> tuple[Reals, Reals]:
    """The vectors (mm) from column to column and from row to row, which all slices must share.

    Raises
    ------
    ScanError
        If a tag is missing, slices differ, or orientation or spacing is impossible.
    """
    planes = {}
    for instance in series:
        dataset = instance.dataset
        for tag in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "Rows", "Columns"):
            if dataset.get(tag) in (None, ""):
                raise ScanError(f"{instance.path}: {tag} is missing -> export the original series")
        orientation = tuple(round(float(value), 4) for value in dataset.ImageOrientationPatient)
        spacing = tuple(round(float(value), 5) for value in dataset.PixelSpacing)
        planes[(orientation, spacing, int(dataset.Rows), int(dataset.Columns))] = instance.path.name
    if len(planes) > 1:
        differing = "; ".join(f"{name}: {plane}" for plane, name in list(planes.items())[:2])
        raise ScanError(
            f"{path}: slices differ in orientation, spacing or size ({differing}) -> separate the series"
        )
    dataset = series[0].dataset
    cosines = np.array([float(value) for value in dataset.ImageOrientationPatient])
    row_mm, column_mm = (float(value) for value in dataset.PixelSpacing)
    if not np.isfinite(cosines).all() or min(row_mm, column_mm) <= 0:
        raise ScanError(f"{path}: impossible orientation {cosines} or spacing {row_mm}, {column_mm} mm")
    norms = np.linalg.norm(cosines.reshape(2, 3), axis=1)
    if np.abs(norms - 1).max() > 1e-3:
        raise ScanError(
            f"{path}: Image Orientation (Patient) has no unit vectors: {cosines} -> export it again"
        )
    return cosines[:3] / norms[0] * column_mm, cosines[3:] / norms[1] * row_mm


def _read_position(instance: Instance) -> SlicePosition:
    dataset = instance.dataset
    position = np.array([float(value) for value in dataset.ImagePositionPatient])
    thickness = dataset.get("SliceThickness")
    return SlicePosition(
        instance.path.name, position, float(thickness) if thickness not in (None, "") else None
    )


def _read_hounsfield(instance: Instance) -> Reals:
    """The slice's HU: stored values times slope plus intercept (PS3.3 C.11.1.1.2); padding becomes air.

    Raises
    ------
    ScanError
        If the pixels cannot be decoded or are not HU of a greyscale image.
    """
    dataset, path = instance.dataset, instance.path
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope in (None, "") or intercept in (None, ""):
        raise ScanError(
            f"{path}: has no rescale slope or intercept, so no Hounsfield units -> export the original"
        )
    if str(dataset.get("RescaleType", "HU")).upper() not in {"HU", "US", ""}:
        raise ScanError(
            f"{path}: pixels are {dataset.RescaleType}, not HU -> export the conventional CT series"
        )
    if dataset.get("PhotometricInterpretation") != "MONOCHROME2":
        raise ScanError(f"{path}: pixels are {dataset.get('PhotometricInterpretation')}, not MONOCHROME2")
    try:
        stored = dataset.pixel_array
    except _UNREADABLE as failure:
        what = (
            f"pixels cannot be decoded ({type(failure).__name__}; {dataset.file_meta.TransferSyntaxUID.name})"
        )
        raise ScanError(f"{path}: {what} -> copy or export it again") from None
    if stored.ndim != 2:
        raise ScanError(f"{path}: pixels have shape {stored.shape}, not rows and columns")
    values: Reals = stored * float(slope) + float(intercept)
    padding = dataset.get("PixelPaddingValue")
    if padding is not None:
        values[stored == int(padding)] = AIR_HU
    return values


def _stack(slices: list[Reals]) -> Hounsfield:
    """The slices as one volume: int16 if all values are whole numbers, else float32."""
    volume = np.stack(slices)
    integers = volume.astype(np.int16)
    return integers if np.array_equal(integers, volume) else volume.astype(np.float32)
