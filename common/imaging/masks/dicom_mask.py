"""The segmentation in a DICOM file or folder, and whose it is: SEG (PS3.3 A.51) or RTSTRUCT (A.19)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom

from common.errors import Finding, Level, ScanError
from common.imaging.dicom.dicom_values import Tags
from common.imaging.dicom.instance import (
    UNREADABLE,
    complete_meta,
    describe_failure,
    open_instance,
    silence_pydicom,
)
from common.imaging.masks.dicom_seg import read_seg
from common.imaging.masks.labels import MaskLabels
from common.imaging.masks.rtstruct import read_rtstruct
from common.imaging.scan import Scan
from common.imaging.volumes.volume import Volume

_SEG = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""

_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"

_FORMATS = "a NIfTI, NRRD or MetaImage file, a DICOM SEG or an RTSTRUCT"


def read_dicom_mask(path: Path, scan: Scan, labels: MaskLabels) -> Volume:
    """ICH (1), IVH (2) and neither (0) of the only segmentation in a file or folder.

    Raises
    ------
    ScanError
        If there is none or several, it is damaged, its segments are not known, or it lies between the CT's
        slices.
    """
    with silence_pydicom():
        file, kind = _find_object(path)
        tags = Tags(file, _read(file))
        volume = read_rtstruct(tags, scan, labels) if kind == _RTSTRUCT else read_seg(tags, scan, labels)
        notes = _compare_with_scan(path, tags, scan)
        return Volume(path, volume.voxels, volume.geometry, (*volume.notes, *notes))


def _find_object(path: Path) -> tuple[Path, str]:
    """The segmentation's file and its SOP class.

    Raises
    ------
    ScanError
        If there is none, or several.
    """
    if not path.is_file() and not path.is_dir():
        # Reading a pipe that nobody writes into waits for ever
        what = "neither a file nor a folder" if path.exists() else "no such file"
        raise ScanError(f"{path}: {what} -> correct the path in the cohort table")
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    classes = {file: _read_class(file) for file in files}
    found = [(file, kind) for file, kind in classes.items() if kind in {*_SEG, _RTSTRUCT}]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(file.relative_to(path)) for file, _ in found[:5])
        raise ScanError(f"{path}: holds {len(found)} segmentations ({names}) -> name the file of one of them")
    held = {kind for kind in classes.values() if kind} if files else set()
    kinds = ", ".join(sorted({pydicom.uid.UID(kind).name[:60] for kind in held})) or "nothing in DICOM"
    raise ScanError(f"{path}: holds {kinds}; a mask must be {_FORMATS} -> export the segmentation as one")


def _read_class(file: Path) -> str:
    """The SOP class of a file; empty if it is not DICOM.

    Raises
    ------
    ScanError
        If it is DICOM, and damaged.
    """
    instance = open_instance(file)
    return instance.text("SOPClassUID") if instance else ""


def _read(file: Path) -> Any:
    """The whole file.

    Raises
    ------
    ScanError
        If it is damaged.
    """
    try:
        # Known to be DICOM by now, with or without its preamble
        dataset = pydicom.dcmread(file, force=True)
        complete_meta(dataset)
    except UNREADABLE as failure:
        raise ScanError(describe_failure(file, failure)) from None
    return dataset


def _compare_with_scan(path: Path, tags: Tags, scan: Scan) -> tuple[Finding, ...]:
    """Notes if the segmentation says that it belongs to another patient or another frame of reference."""
    headers = scan.headers
    if headers is None:
        return ()
    notes = []
    patient = tags.text("PatientID")
    if patient and headers.patient_id and patient != headers.patient_id:
        what = "the segmentation and its CT have different patient IDs (0010,0020)"
        notes.append(Finding(str(path), what, "check that the mask belongs to this CT", Level.LOOK))
    frame = _find_frame_of_reference(tags)
    if frame and headers.frame_of_reference and frame != headers.frame_of_reference:
        what = "the segmentation names another frame of reference than its CT (0020,0052)"
        remedy = (
            "nothing to do: its positions are those of this CT's space; other notes say if they do not fit"
        )
        notes.append(Finding(str(path), what, remedy, Level.KNOW))
    return tuple(notes)


def _find_frame_of_reference(tags: Tags) -> str:
    inner = tags.first("StructureSetROISequence")
    return tags.text("FrameOfReferenceUID") or (inner.text("ReferencedFrameOfReferenceUID") if inner else "")
