"""The CT at a path, whatever its format."""

from __future__ import annotations

from pathlib import Path

from common.errors import ScanError
from common.imaging.formats import is_volume
from common.imaging.hounsfield import require_hounsfield
from common.imaging.nifti import read_volume
from common.imaging.scan import Scan


def read_scan(path: Path) -> Scan:
    """The CT in a NIfTI, NRRD or MetaImage file, a DICOM folder, or the DICOM series that a file belongs to.

    Raises
    ------
    ScanError
        If it is missing, unreadable, not one CT series, not calibrated, or its geometry is ambiguous.
    """
    if not path.exists():
        raise ScanError(f"{path}: no such file or folder -> correct the path in the cohort table")
    if path.is_file() and is_volume(path):
        volume = read_volume(path)
        return require_hounsfield(Scan(path, volume.to_hounsfield(), volume.geometry))
    # pydicom is slow to import, and a study of tables alone reads no image
    from common.imaging.dicom import read_series

    return require_hounsfield(read_series(path))
