"""The formats of image files, by the suffixes of their names; any other file is read as DICOM."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from common.errors import ScanError
from common.imaging.volumes.metaimage import read_metaimage_header
from common.imaging.volumes.nifti import NIFTI_PAIR, find_pair, read_nifti_header
from common.imaging.volumes.nrrd import read_nrrd_header
from common.imaging.volumes.volume_header import VolumeHeader

NRRD = (".nrrd", ".nhdr")
"""A header with its data, and one whose data lie in a file beside it."""

_READERS: dict[str, Callable[[Path], VolumeHeader]] = {
    **dict.fromkeys((".nii", ".nii.gz", *NIFTI_PAIR), read_nifti_header),
    **dict.fromkeys(NRRD, read_nrrd_header),
    **dict.fromkeys((".mha", ".mhd"), read_metaimage_header),
}
"""What reads a file's header, by the suffix of its name."""

DETACHED_HEADERS = (".nhdr", ".mhd", ".hdr")
"""Headers whose data lie in a file beside them; alike for all patients of one scanner."""


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether the file's name ends with one of these, in capitals or not."""
    return path.name.lower().endswith(suffixes)


def is_volume(path: Path) -> bool:
    """Whether the name is one of a file (or header) that holds a whole volume, in capitals or not."""
    return has_suffix(path, tuple(_READERS))


def read_volume_header(path: Path) -> VolumeHeader:
    """The header of a volume.

    Raises
    ------
    ScanError
        If it is damaged, or cannot be that of a scan or a mask.
    """
    for suffix, read in _READERS.items():
        if has_suffix(path, (suffix,)):
            return read(path)
    raise ScanError(f"{path}: its name has none of the endings {', '.join(_READERS)} -> convert the file")


def source_files(path: Path) -> tuple[Path, ...]:
    """Every file on which a scan or mask at this path depends; the path itself comes first if it is a file.

    A header may have its data in a file beside it. A DICOM file stands for its series: all files of its
    folder are listed. What is no file (a pipe, a device) is left out.

    Raises
    ------
    OSError
        If a folder cannot be listed, or the path is neither a file nor a folder.
    """
    if path.is_file() and is_volume(path):
        return (path, *(file for file in _find_parts(path) if file != path and file.is_file()))
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "neither a file nor a folder", str(path))
    first, root = ((), path) if path.is_dir() else ((path,), path.parent)
    files = [Path(folder, name) for folder, _, names in os.walk(root, onerror=_raise) for name in names]
    return (*first, *sorted(file for file in files if file.is_file()))


def list_mask_files(path: Path) -> tuple[Path, ...]:
    """Every file on which a mask depends: a DICOM object is one file, whatever lies beside it.

    Raises
    ------
    OSError
        If a folder cannot be listed, or the path is neither a file nor a folder.
    """
    return (path,) if path.is_file() and not is_volume(path) else source_files(path)


def _find_parts(path: Path) -> tuple[Path, ...]:
    """The files of a volume; of one that is refused they need not be known."""
    pair = find_pair(path)
    if pair:
        return pair
    try:
        return (read_volume_header(path).place.file,)
    except ScanError:
        return ()


def _raise(failure: OSError) -> None:
    raise failure
