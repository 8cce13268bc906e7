"""Whether a volume's file is whole; ITK itself fills what is missing with zeros, without a word.

Seen with SimpleITK 2.5: a truncated .nii or .nii.gz ends in zeros, a damaged compressed .mha in noise.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

from common.errors import ScanError

_TRAILER_BYTES = 4
_LONGEST_HEADER = 4096


def refuse_damaged(path: Path) -> None:
    """Nothing, if the file has all the bytes that its header announces.

    Raises
    ------
    ScanError
        If bytes are missing, or compressed data contradict their checksum.
    """
    name = path.name.lower()
    try:
        if name.endswith(".nii.gz"):
            whole = _compressed_nifti_is_whole(path)
        elif name.endswith(".nii"):
            with path.open("rb") as stream:
                whole = path.stat().st_size >= _nifti_bytes(stream.read(_LONGEST_HEADER))
        else:
            whole = not name.endswith(".mha") or _meta_image_is_whole(path)
    except (OSError, EOFError, zlib.error, struct.error, ValueError):
        whole = False
    if not whole:
        raise ScanError(f"{path}: the file is truncated or damaged -> copy or export it again")


def _nifti_bytes(header: bytes) -> int:
    """Bytes up to the last voxel, from a NIfTI-1 or NIfTI-2 header of either byte order."""
    for order in "<>":
        size = struct.unpack_from(f"{order}i", header)[0]
        if size == 348:
            dims = struct.unpack_from(f"{order}8h", header, 40)
            bits, offset = (
                struct.unpack_from(f"{order}h", header, 72)[0],
                struct.unpack_from(f"{order}f", header, 108)[0],
            )
        elif size == 540:
            bits, dims = (
                struct.unpack_from(f"{order}h", header, 14)[0],
                struct.unpack_from(f"{order}8q", header, 16),
            )
            offset = struct.unpack_from(f"{order}q", header, 168)[0]
        else:
            continue
        voxels: int = 1
        for extent in dims[1 : dims[0] + 1]:
            voxels *= extent
        return int(offset) + voxels * int(bits) // 8
    raise ValueError("not a NIfTI header")


def _compressed_nifti_is_whole(path: Path) -> bool:
    """By the size in gzip's trailer (RFC 1952); only if it differs, by decompressing everything."""
    with gzip.open(path) as stream:
        expected = _nifti_bytes(stream.read(_LONGEST_HEADER))
    with path.open("rb") as stream:
        stream.seek(-_TRAILER_BYTES, 2)
        stated = int.from_bytes(stream.read(), "little")
    if stated == expected % 2**32:
        return True
    with gzip.open(path) as stream:
        return len(stream.read()) >= expected


def _meta_image_is_whole(path: Path) -> bool:
    content = path.read_bytes()
    header, separator, data = content.partition(b"ElementDataFile = LOCAL")
    if not separator or b"CompressedData = True" not in header:
        return True  # ITK refuses uncompressed data that are too short
    stream = zlib.decompressobj()
    stream.decompress(data.partition(b"\n")[2])
    return stream.eof
