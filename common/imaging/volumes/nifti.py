"""Headers of NIfTI-1 and NIfTI-2 files, of one file or a pair (nifti1.h, 2007; nifti2.h, 2011)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import ScanError
from common.imaging.volumes.integrity import is_gzip, read_beginning
from common.imaging.volumes.nifti_grid import StoredGrid, choose_grid
from common.imaging.volumes.volume_header import Place, VolumeHeader

NIFTI_PAIR = {".hdr": ".img", ".img": ".hdr", ".hdr.gz": ".img.gz", ".img.gz": ".hdr.gz"}
"""NIfTI in two files of one name: each suffix, and that of the other file."""

_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
"""NumPy's name of each NIfTI datatype that is one number."""

_UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres in each unit of length: unknown, metre, millimetre, micrometre."""

_FARTHEST_OFFSET = 1 << 24
"""Header extensions may lie before the voxels; more than this is a damaged number."""


@dataclass(frozen=True)
class _Layout:
    """Where a version of the header keeps its numbers: each a format of `struct` and an offset in bytes."""

    size: tuple[str, int]
    datatype: tuple[str, int]
    pixdim: tuple[str, int]
    offset: tuple[str, int]
    scale: tuple[str, int]
    units: tuple[str, int]
    codes: tuple[str, int]
    quaternion: tuple[str, int]
    sform: tuple[str, int]
    magic: tuple[str, int]
    first_voxel: int


_LAYOUTS = {
    348: _Layout(
        ("8h", 40), ("h", 70), ("8f", 76), ("f", 108), ("2f", 112), ("B", 123), ("2h", 252), ("6f", 256),
        ("12f", 280), ("4s", 344), 352,
    ),
    540: _Layout(
        ("8q", 16), ("h", 12), ("8d", 104), ("q", 168), ("2d", 176), ("i", 500), ("2i", 344), ("6d", 352),
        ("12d", 400), ("4s", 4), 544,
    ),
}  # fmt: skip
"""By the header's size, which is its first number."""

_HEADER_BYTES = max(_LAYOUTS)
"""Longer than this no header is; what may follow it says nothing of the grid."""

_ONE_FILE, _PAIR = (b"n+1\0", b"n+2\0"), (b"ni1\0", b"ni2\0")


def read_nifti_header(path: Path) -> VolumeHeader:
    """The header of a .nii, .nii.gz or .hdr file, or of the .hdr file beside an .img file.

    Raises
    ------
    ScanError
        If it is damaged, is not one 3D volume with one number a voxel, or does not say where voxels lie.
    """
    head, data = find_pair(path) or (path, path)
    if not head.is_file():
        raise ScanError(f"{path}: no {head.name} beside it -> copy both files of the pair")
    content = read_beginning(head, _HEADER_BYTES)
    try:
        order, length = _find_order(content)
        return _parse(path, (head, data), content, _LAYOUTS[length], order)
    except struct.error:
        what = "the file is truncated or damaged (no NIfTI header)"
        raise ScanError(f"{path}: {what} -> copy or export it again") from None


def find_pair(path: Path) -> tuple[Path, Path] | None:
    """Header and data of the NIfTI pair to which a file belongs by its name; they need not exist."""
    name = path.name.lower()
    suffix = next((suffix for suffix in NIFTI_PAIR if name.endswith(suffix)), None)
    if suffix is None:
        return None
    other = NIFTI_PAIR[suffix].upper() if path.name[-1].isupper() else NIFTI_PAIR[suffix]
    beside = path.with_name(path.name[: -len(suffix)] + other)
    return (path, beside) if suffix.startswith(".hdr") else (beside, path)


def _find_order(content: bytes) -> tuple[str, int]:
    """Byte order and length of the header.

    Raises
    ------
    struct.error
        If it is no NIfTI header.
    """
    for order in "<>":
        (length,) = struct.unpack_from(f"{order}i", content)
        if length in _LAYOUTS:
            return order, int(length)
    raise struct.error("no NIfTI header")


def _parse(path: Path, files: tuple[Path, Path], content: bytes, layout: _Layout, order: str) -> VolumeHeader:
    """The header's meaning.

    Raises
    ------
    struct.error
        If the header is cut.
    ScanError
        If it cannot be that of a scan.
    """

    def unpack(field: tuple[str, int]) -> tuple[Any, ...]:
        return struct.unpack_from(f"{order}{field[0]}", content, field[1])

    (magic,), (datatype,), (units,) = unpack(layout.magic), unpack(layout.datatype), unpack(layout.units)
    place = _find_place(path, files, magic, unpack(layout.offset)[0], layout.first_voxel)
    size = _read_size(path, unpack(layout.size))
    if datatype not in _TYPES:
        raise ScanError(f"{path}: datatype {datatype} -> one 3D volume with one value a voxel is needed")
    if units & 7 not in _UNITS_MM:
        raise ScanError(f"{path}: its unit of length has the unknown code {units & 7} -> export it again")
    qform_code, sform_code = unpack(layout.codes)
    stored = StoredGrid(
        path,
        size,
        np.array(unpack(layout.pixdim)[:4]),
        np.array(unpack(layout.quaternion)) if qform_code > 0 else None,
        np.array(unpack(layout.sform)).reshape(3, 4) if sform_code > 0 else None,
        _UNITS_MM[units & 7],
        in_template=sform_code > 2,
    )
    dtype = np.dtype(order + _TYPES[datatype])
    # Damaged numbers overflow; what comes out of them is refused
    with np.errstate(all="ignore"):
        grid = choose_grid(stored)
    scale = _read_scale(path, unpack(layout.scale))
    return VolumeHeader(path, size, dtype, place, grid.steps_mm, grid.origin_mm, scale, grid.notes, grid.flaw)


def _find_place(path: Path, files: tuple[Path, Path], magic: bytes, offset: float, first_voxel: int) -> Place:
    """Where the voxels are.

    Raises
    ------
    ScanError
        If the file is Analyze, its other file is not there, or the voxels' offset is impossible.
    """
    header, data = files
    if magic not in (*_ONE_FILE, *_PAIR):
        raise ScanError(
            f"{path}: an Analyze file does not say where left and right are -> convert the DICOM series to "
            "NIfTI, or use the DICOM folder itself"
        )
    if magic in _PAIR and header == data:
        raise ScanError(f"{path}: is the header of a pair, without voxels -> name it .hdr, beside its .img")
    if not isfinite(offset) or not 0 <= offset <= _FARTHEST_OFFSET:
        what = f"the file is truncated or damaged (voxels at byte {offset:g})"
        raise ScanError(f"{path}: {what} -> copy or export it again")
    if magic in _ONE_FILE:
        data, offset = header, max(offset, first_voxel)
    if not data.is_file():
        raise ScanError(f"{path}: no {data.name} beside it -> copy both files of the pair")
    if is_gzip(_read_first(data)):
        return Place(data, 0, "gzip", int(offset))
    return Place(data, int(offset))


def _read_first(path: Path) -> bytes:
    """Two bytes of a file.

    Raises
    ------
    ScanError
        If it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(2)
    except OSError as failure:
        raise ScanError(f"{path}: cannot be read ({failure.strerror}) -> check the file") from None


def _read_size(path: Path, stored: tuple[int, ...]) -> tuple[int, int, int]:
    """Columns, rows, slices.

    Raises
    ------
    ScanError
        If it is not one 3D volume.
    """
    count, *size = stored
    if not 3 <= count <= 7 or min(size[:3]) < 1 or any(other > 1 for other in size[3:count]):
        shown = tuple(size[: max(1, min(count, 7))])
        raise ScanError(f"{path}: size {shown} -> one 3D volume with one value a voxel is needed")
    return size[0], size[1], size[2]


def _read_scale(path: Path, stored: tuple[float, float]) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or none stands for the stored numbers themselves.

    Raises
    ------
    ScanError
        If there is a slope, but no intercept.
    """
    slope, intercept = stored
    if not slope or not isfinite(slope):
        return 1.0, 0.0
    if not isfinite(intercept):
        raise ScanError(f"{path}: scl_inter is {intercept:g} -> export it again")
    return slope, intercept
