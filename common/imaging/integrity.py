"""Voxels of a file of which every byte is there and every checksum holds.

ITK asks for neither. Seen with SimpleITK 2.5: a truncated .nii or .nii.gz ends in zeros; a flipped bit in
compressed data becomes other voxels; and asked for x.nii.gz it reads x.nii if that lies in the same folder.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from importlib import import_module
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ScanError
from common.imaging.formats import METAIMAGE, NRRD

_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
"""NumPy's name of each NIfTI datatype that is one number."""

_GZIP = 31
"""zlib's `wbits` for gzip's format."""

_LARGEST_BYTES = 1 << 30
"""Largest buffer that is allocated because a trailer states it; the trailer may be damaged."""


@dataclass(frozen=True)
class _Header:
    """What a NIfTI header says about the voxels behind it.

    Attributes
    ----------
    size : tuple of int
        Number of voxels along each dimension, columns first.
    dtype : dtype
        NumPy's type of one stored voxel, with its byte order.
    offset : int
        Where the voxels begin, in bytes.
    slope, intercept : float
        Value = stored number x slope + intercept; slope 0 or NaN: the stored number itself.
    """

    size: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float


def read_nifti_voxels(path: Path) -> NDArray[Any]:
    """The voxels of a .nii or .nii.gz file, slope and intercept applied, shape (slices, rows, columns).

    Raises
    ------
    ScanError
        If the file is truncated or damaged, or is not one 3D volume with one number a voxel.
    """
    try:
        content = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            content = _decompress(content)
        header = _parse_header(content)
        counts = header.size
        if len(counts) < 3 or prod(counts[3:]) != 1:
            raise ScanError(f"{path}: size {counts} -> one 3D volume with one value a voxel is needed")
        flat = np.frombuffer(content, header.dtype, prod(counts[:3]), header.offset)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as failure:
        raise ScanError(_describe_damage(path, failure)) from None
    stored = flat.reshape(counts[2], counts[1], counts[0])
    if (header.slope, header.intercept) in {(1.0, 0.0), (0.0, 0.0)} or not isfinite(header.slope):
        return stored
    scaled: NDArray[Any] = stored * header.slope + header.intercept
    return scaled


def _parse_header(content: bytes) -> _Header:
    """The NIfTI-1 header, in either byte order.

    Raises
    ------
    ValueError
        If it is no such header, or its voxels are not of one number each.
    """
    order = next((order for order in "<>" if content[:4] == struct.pack(f"{order}i", 348)), None)
    if order is None:
        raise ValueError("no NIfTI-1 header")
    size = struct.unpack_from(f"{order}8h", content, 40)
    datatype = struct.unpack_from(f"{order}h", content, 70)[0]
    offset, slope, intercept = struct.unpack_from(f"{order}3f", content, 108)
    if datatype not in _TYPES or min(size) < 0 or not 1 <= size[0] <= 7 or not isfinite(offset):
        raise ValueError(f"datatype {datatype} or size {size}")
    return _Header(size[1 : size[0] + 1], np.dtype(order + _TYPES[datatype]), int(offset), slope, intercept)


def refuse_damaged(path: Path) -> None:
    """Refuse a .nrrd or .mha file whose compressed data do not agree with their checksum.

    Raises
    ------
    ScanError
        If they do not agree; uncompressed files that are too short are refused by ITK itself.
    """
    content = path.read_bytes()
    try:
        if path.suffix.lower() == NRRD:
            end = content.replace(b"\r", b"\n", 1000).find(b"\n\n")
            if b"encoding: gz" in content[:end]:
                _decompress(content[end:].lstrip(b"\r\n"))
        elif path.suffix.lower() == METAIMAGE:
            header, separator, data = content.partition(b"ElementDataFile = LOCAL")
            if separator and b"CompressedData = True" in header:
                zlib.decompress(data.partition(b"\n")[2])
    except (OSError, EOFError, zlib.error, ValueError) as failure:
        raise ScanError(_describe_damage(path, failure)) from None


def _decompress(content: bytes) -> bytes:
    """The decompressed content; checksum and length are verified (RFC 1952).

    Raises
    ------
    zlib.error
        If the content is cut or fails its checksum.
    """
    # Two and a half times as fast as zlib; a third of a case's preparation is decompression all the same
    isal: Any = import_module("isal.isal_zlib")
    stated = int.from_bytes(content[-4:], "little")
    try:
        # Into one buffer of the size that the trailer states; only a file of several members is longer
        plain: bytes = isal.decompress(content, _GZIP, min(stated, _LARGEST_BYTES) + 1)
        if len(plain) != stated:
            plain = import_module("isal.igzip").decompress(content)
    except isal.IsalError as failure:
        raise zlib.error(str(failure)) from None
    return plain


def _describe_damage(path: Path, failure: Exception) -> str:
    """What the refusal of a damaged file says."""
    compressed = isinstance(failure, EOFError | zlib.error)
    reason = "its compressed data are cut or fail their checksum" if compressed else type(failure).__name__
    return f"{path}: the file is truncated or damaged ({reason}) -> copy or export it again"
