"""The formats of image files, by the suffixes of their names; any other file is read as DICOM."""

from __future__ import annotations

import os
from pathlib import Path

NIFTI = (".nii", ".nii.gz")
"""NIfTI-1, plain and compressed."""

NRRD, METAIMAGE = ".nrrd", ".mha"
"""A header and its data in one file."""

DETACHED_HEADERS = (".nhdr", ".mhd")
"""NRRD and MetaImage headers whose data lie in a file beside them."""

_SELF_CONTAINED = (*NIFTI, NRRD, METAIMAGE)


def is_nifti(path: Path) -> bool:
    """Whether the name is one of a NIfTI file."""
    return path.name.lower().endswith(NIFTI)


def is_volume(path: Path) -> bool:
    """Whether the name is one of a file (or header) that holds a whole volume."""
    return path.name.lower().endswith((*_SELF_CONTAINED, *DETACHED_HEADERS))


def source_files(path: Path) -> tuple[Path, ...]:
    """Every file on which a scan or mask at this path depends; the path itself comes first if it is a file.

    A header may have its data in a file beside it, and a DICOM file stands for its series: for both, all
    files of the folder are listed.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    if path.is_file() and path.name.lower().endswith(_SELF_CONTAINED):
        return (path,)
    first, root = ((), path) if path.is_dir() else ((path,), path.parent)
    files = [Path(folder, name) for folder, _, names in os.walk(root, onerror=_raise) for name in names]
    return (*first, *sorted(files))


def _raise(failure: OSError) -> None:
    raise failure
