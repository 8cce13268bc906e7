"""Headers of NRRD files (teem.sourceforge.net/nrrd/format.html), as 3D Slicer, ITK and MITK write them."""

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
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
"""NRRD's names of each of NumPy's types."""

_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names.split(", ")}

_SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
"""Signs that turn each of the patient's spaces to left, posterior, superior."""

_ENCODINGS: dict[str, Packing] = {"raw": "", "gzip": "gzip", "gz": "gzip"}

_MOST_LAYERS = 256

_LAYERS = (
    "holds {count} layers, as 3D Slicer writes segments that overlap -> export the segmentation as one "
    "labelmap, or let its segments not overlap"
)


def read_nrrd_header(path: Path, *, layered: bool = False) -> VolumeHeader:
    """The header of a .nrrd or .nhdr file.

    Parameters
    ----------
    path : Path
    layered : bool
        Whether a voxel may be a list of numbers; the header's dtype then is a record of one field, "layers".

    Raises
    ------
    ScanError
        If it is damaged, is not one 3D volume with one number a voxel, or names a file elsewhere.
    """
    fields, end = _read_fields(path)
    axes, size, layers = _find_axes(path, fields)
    if layers and not layered:
        raise ScanError(f"{path}: {_LAYERS.format(count=layers)}")
    dtype = _DTYPES.get(fields.get("type", "").lower())
    if dtype is None:
        raise ScanError(f"{path}: values of type {fields.get('type')!r} -> one number a voxel is needed")
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    if dtype[1] != "1" and fields.get("endian", "").lower() not in {"little", "big"}:
        raise ScanError(f"{path}: does not state its byte order ('endian') -> export it again")
    steps, origin, notes = _read_grid(path, fields, axes)
    place = _find_place(path, fields, end)
    voxel = np.dtype([("layers", order + dtype, (max(layers, 1),))] if layered else order + dtype)
    return VolumeHeader(path, size, voxel, place, steps, origin, notes=notes)


def _read_fields(path: Path) -> tuple[dict[str, str], int]:
    """The header's fields, names in small letters without spaces, and the byte behind the header.

    Raises
    ------
    ScanError
        If it is no such header.
    """
    content = read_beginning(path)
    if not re.match(rb"NRRD000\d\r?\n", content):
        raise ScanError(f"{path}: no NRRD file (damaged?) -> copy or export it again")
    blank = re.search(rb"\r?\n\r?\n", content)
    end = blank.end() if blank else len(content)
    fields: dict[str, str] = {}
    for line in content[: blank.start() if blank else end].decode(errors="backslashreplace").splitlines()[1:]:
        name, separator, value = line.partition(": ")
        # key:=value is for applications alone
        if separator and not line.startswith("#") and ":=" not in name:
            fields[name.strip().lower().replace(" ", "")] = value.strip()
    if not blank and "datafile" not in fields:
        raise ScanError(f"{path}: the file is truncated or damaged (its header has no end) -> copy it again")
    return fields, end


def _find_axes(path: Path, fields: dict[str, str]) -> tuple[slice, tuple[int, int, int], int]:
    """Which of the file's axes are those of space, their sizes, and the number of layers; 0 without such.

    Raises
    ------
    ScanError
        If it is not one volume.
    """
    stated = fields.get("sizes", "").split()
    if not all(re.fullmatch(r"\d{1,9}", number) for number in stated):
        raise ScanError(f"{path}: sizes {' '.join(stated)[:60]!r} -> copy or export it again")
    sizes = [int(number) for number in stated]
    kinds, layers = fields.get("kinds", "").lower().split(), 0
    if len(sizes) == 4 and sizes[0] == 1:
        first = 1
    elif len(sizes) == 3 or (len(sizes) == 4 and sizes[3] == 1):
        first = 0
    elif len(sizes) == 4 and kinds[:1] == ["list"] and 1 < sizes[0] <= _MOST_LAYERS:
        first, layers = 1, sizes[0]
    else:
        raise ScanError(f"{path}: size {tuple(sizes)} -> one 3D volume with one value a voxel is needed")
    columns, rows, slices = sizes[first : first + 3]
    return slice(first, first + 3), (columns, rows, slices), layers


def _read_grid(path: Path, fields: dict[str, str], axes: slice) -> tuple[Reals, Reals, tuple[Finding, ...]]:
    """Steps and origin (LPS), and a note if the file does not say which way the patient lies.

    Raises
    ------
    ScanError
        If they are no numbers, there are none, or their unit is not mm.
    """
    space, units = fields.get("space", "").lower(), set(fields.get("spaceunits", "mm").split())
    if not units <= {"mm", '"mm"', '""'}:
        raise ScanError(f"{path}: its unit of length is not mm ({' '.join(units)[:40]!r}) -> export it in mm")
    directions = re.findall(r"\([^()]*\)|none", fields.get("spacedirections", ""))
    try:
        if directions:
            vectors = [text for text in directions if text != "none"]
            steps = np.array([_read_vector(text) for text in vectors]).T
            origin = _read_vector(fields["spaceorigin"]) if "spaceorigin" in fields else np.zeros(3)
        else:
            steps = np.diag([abs(float(text)) for text in fields.get("spacings", "").split()[axes]])
            origin = np.zeros(3)
    except ValueError:
        raise ScanError(f"{path}: its space directions or origin are no numbers -> export it again") from None
    if steps.shape != (3, 3) or origin.shape != (3,):
        raise ScanError(f"{path}: does not state its spacing in three directions -> export it again")
    if space in _SPACES:
        signs = np.array(_SPACES[space], dtype=np.float64)
        return steps * signs[:, None], origin * signs, ()
    what = f"the file does not say which way the patient lies (its space is {space!r})"
    return steps, origin, (Finding(str(path), what, "check left and right", Level.LOOK),)


def _read_vector(text: str) -> Reals:
    return np.array([float(number) for number in text.strip("() ").split(",")])


def _find_place(path: Path, fields: dict[str, str], end: int) -> Place:
    """Where the voxels are.

    Raises
    ------
    ScanError
        If they are elsewhere, or stored in a way that is not read.
    """
    encoding = fields.get("encoding", "").lower()
    if encoding not in _ENCODINGS:
        raise ScanError(f"{path}: encoding {encoding!r} is not read -> save it with encoding raw or gzip")
    if any(fields.get(name, "0") != "0" for name in ("lineskip", "byteskip")):
        raise ScanError(f"{path}: skips a part of its data file -> export it again as .nrrd")
    packing = _ENCODINGS[encoding]
    if "datafile" in fields:
        return Place(find_data_file(path, fields["datafile"]), 0, packing)
    return Place(path, end, packing)
