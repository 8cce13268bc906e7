"""Headers of MetaImage files (.mha, .mhd) as ITK, elastix and 3D Slicer write them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.volumes.beside import find_data_file
from common.imaging.volumes.integrity import read_beginning
from common.imaging.volumes.volume_header import Packing, Place, VolumeHeader
from common.types import Reals

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
"""NumPy's name of each type; MET_LONG is left out: its size depends on the computer that wrote it."""

_SQUARE = 1e-3
"""Largest difference between a direction's length and 1."""


def read_metaimage_header(path: Path) -> VolumeHeader:
    """The header of a .mha or .mhd file.

    Raises
    ------
    ScanError
        If it is damaged, is not one 3D volume with one number a voxel, or names a file elsewhere.
    """
    fields, end = _read_fields(path)
    size = _read_size(path, fields)
    dtype = _TYPES.get(fields.get("ElementType", ""))
    channels = fields.get("ElementNumberOfChannels", "1")
    if dtype is None or channels != "1":
        shown = f"{channels} values of type {fields.get('ElementType')!r} a voxel"
        raise ScanError(f"{path}: {shown} -> one 3D volume with one value a voxel is needed")
    is_big = _is_true(fields.get("ElementByteOrderMSB", fields.get("BinaryDataByteOrderMSB", "False")))
    steps, origin, notes = _read_grid(path, fields)
    place = _find_place(path, fields, end)
    stored = np.dtype((">" if is_big else "<") + dtype)
    return VolumeHeader(path, size, stored, place, steps, origin, notes=notes)


def _read_fields(path: Path) -> tuple[dict[str, str], int]:
    """The header's fields, and the byte behind the header, which ends with the name of the data file.

    Raises
    ------
    ScanError
        If it is no such header.
    """
    content = read_beginning(path)
    last = re.search(rb"^ElementDataFile[ \t]*=[^\r\n]*(\r?\n|\Z)", content, re.MULTILINE)
    if last is None:
        raise ScanError(f"{path}: no MetaImage file (damaged?) -> copy or export it again")
    fields = {}
    for line in content[: last.end()].decode(errors="backslashreplace").splitlines():
        name, separator, value = line.partition("=")
        if separator:
            fields[name.strip()] = value.strip()
    return fields, last.end()


def _read_size(path: Path, fields: dict[str, str]) -> tuple[int, int, int]:
    """Columns, rows, slices.

    Raises
    ------
    ScanError
        If it is not one volume.
    """
    stated = fields.get("DimSize", "").split()
    if fields.get("NDims") != str(len(stated)) or not all(re.fullmatch(r"\d{1,9}", text) for text in stated):
        shown = f"NDims {fields.get('NDims', '')[:20]}, DimSize {' '.join(stated)[:60]}"
        raise ScanError(f"{path}: {shown} -> copy or export it again")
    sizes = [int(text) for text in stated]
    if len(sizes) not in {3, 4} or any(other != 1 for other in sizes[3:]):
        raise ScanError(f"{path}: size {tuple(sizes)[:8]} -> one 3D volume with one value a voxel is needed")
    return sizes[0], sizes[1], sizes[2]


def _read_grid(path: Path, fields: dict[str, str]) -> tuple[Reals, Reals, tuple[Finding, ...]]:
    """Steps and origin (LPS), and a note if the file does not say which way the patient lies.

    Raises
    ------
    ScanError
        If they are no numbers, or there are none.
    """
    count = int(fields["NDims"])

    def read(*names: str) -> Reals | None:
        text = next((fields[name] for name in names if name in fields), None)
        return None if text is None else np.array([float(number) for number in text.split()])

    try:
        spacing = read("ElementSpacing", "ElementSize")
        origin = read("Offset", "Position", "Origin")
        matrix = read("TransformMatrix", "Rotation", "Orientation")
    except ValueError:
        raise ScanError(f"{path}: its spacing, offset or matrix are no numbers -> export it again") from None
    if spacing is None:
        raise ScanError(f"{path}: does not state its spacing -> export it again from the original series")
    notes: tuple[Finding, ...] = ()
    if matrix is None:
        what = "the file does not say which way the patient lies (no TransformMatrix)"
        notes = (Finding(str(path), what, "check left and right", Level.LOOK),)
        matrix = np.eye(count).ravel()
    origin = np.zeros(count) if origin is None else origin
    if len(spacing) != count or len(origin) != count or len(matrix) != count * count:
        what = f"its spacing, offset or matrix are not of {count} dimensions"
        raise ScanError(f"{path}: {what} -> export it again")
    if not (spacing > 0).all():
        raise ScanError(
            f"{path}: its spacing is {' '.join(f'{step:g}' for step in spacing)} -> export it again"
        )
    directions = matrix.reshape(count, count)[:3, :3].T
    with np.errstate(all="ignore"):
        if not (np.abs(np.linalg.norm(directions, axis=0) - 1) <= _SQUARE).all():
            raise ScanError(f"{path}: its TransformMatrix has no unit vectors -> export it again")
        return directions * spacing[:3], origin[:3], notes


def _find_place(path: Path, fields: dict[str, str], end: int) -> Place:
    """Where the voxels are.

    Raises
    ------
    ScanError
        If they are elsewhere, or stored in a way that is not read.
    """
    if not _is_true(fields.get("BinaryData", "True")) or fields.get("HeaderSize", "0") not in {"0", ""}:
        raise ScanError(f"{path}: its voxels are text, or behind a header of their own -> export it again")
    packing: Packing = "zlib" if _is_true(fields.get("CompressedData", "False")) else ""
    if fields["ElementDataFile"].upper() == "LOCAL":
        return Place(path, end, packing)
    if fields["ElementDataFile"].upper().startswith("LIST"):
        raise ScanError(f"{path}: its voxels lie in many files (LIST) -> export it as one .mha file")
    return Place(find_data_file(path, fields["ElementDataFile"]), 0, packing)


def _is_true(text: str) -> bool:
    return text[:1] in {"T", "t", "1"}
