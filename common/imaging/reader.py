"""The CT at a path, whatever its format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from common.errors import ScanError
from common.imaging.hounsfield import require_hounsfield
from common.imaging.implausible import find_implausible_extent
from common.imaging.options import NO_CHOICE, ReadingOptions
from common.imaging.scan import Scan
from common.imaging.volumes.formats import is_volume
from common.imaging.volumes.volume import Volume, read_volume


def read_scan(path: Path, options: ReadingOptions = NO_CHOICE) -> Scan:
    """The CT in a NIfTI, NRRD or MetaImage file, a DICOM folder, or the DICOM series that a file belongs to.

    Parameters
    ----------
    path : Path
    options : ReadingOptions
        What the site or the study chose.

    Raises
    ------
    ScanError
        If it is missing, unreadable, not one CT series, not calibrated, or its geometry is ambiguous.
    """
    if not path.exists():
        raise ScanError(f"{path}: no such file or folder -> correct the path in the cohort table")
    if not path.is_file() and not path.is_dir():
        raise ScanError(f"{path}: neither a file nor a folder -> correct the path in the cohort table")
    if path.is_file() and is_volume(path):
        return _judge(_make_scan(read_volume(path)))
    # pydicom is slow to import, and a study of tables alone reads no image
    from common.imaging.dicom.ct_series import read_series

    return _judge(read_series(path, options))


def _make_scan(volume: Volume) -> Scan:
    """The CT in a volume.

    Raises
    ------
    ScanError
        If its geometry cannot be a CT's.
    """
    if volume.flaw:
        raise ScanError(f"{volume.source}: {volume.flaw}")
    return Scan(volume.source, volume.to_hounsfield(), volume.geometry, volume.notes)


def _judge(scan: Scan) -> Scan:
    """The scan with notes on values and extent.

    Raises
    ------
    ScanError
        If its values cannot be HU.
    """
    scan = require_hounsfield(scan)
    return replace(scan, notes=scan.notes + find_implausible_extent(scan))
