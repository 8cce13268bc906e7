"""Voxels of a file of which every byte is there and every checksum holds.

The header says how much there is to read: no more is decompressed or kept, whatever the file holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from importlib import import_module
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from common.errors import ScanError
from common.imaging.volumes.volume_header import VolumeHeader

_PIECE_BYTES = 1 << 17
"""Compressed bytes that are read at a time."""

_CHUNK_BYTES = 1 << 18
"""Decompressed bytes that are taken at a time; they stay in the processor's cache."""

_LARGE_PAGE = 1 << 21
"""Bytes of a large page, which the kernel hands out at once."""

_SURPLUS_BYTES = 1 << 20
"""Bytes behind the voxels that are passed over; programs append a little."""

_HIGHEST_RATIO = 1100
"""Decompressed bytes that a compressed byte can stand for, at most (1032 by RFC 1951)."""

_LONGEST_HEADER = 1 << 16
"""Bytes at the beginning of a file that are read for its header."""

_INT16 = np.iinfo(np.int16)
_LARGEST_WHOLE = 1 << 30
"""The product of two, and a third, are exact in int64."""

_GZIP = b"\x1f\x8b"
"""First bytes of a gzip file."""


def read_beginning(path: Path, wanted: int = _LONGEST_HEADER) -> bytes:
    """The first bytes of a file, decompressed if it is a gzip file: so many as are wanted, or more.

    Raises
    ------
    ScanError
        If it is empty, cannot be read, or its compression is damaged.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_LONGEST_HEADER)
        if is_gzip(content):
            content = _inflate_beginning(content, wanted)
    except (OSError, zlib.error) as failure:
        raise ScanError(describe_damage(path, failure)) from None
    if not content:
        raise ScanError(f"{path}: the file is empty -> copy or export it again")
    return content


def _inflate_beginning(content: bytes, wanted: int) -> bytes:
    """As much as a header needs of a gzip file, which may have several members.

    Raises
    ------
    zlib.error
        If it is damaged.
    """
    plain = b""
    while is_gzip(content) and len(plain) < wanted:
        decoder = zlib.decompressobj(31)
        plain += decoder.decompress(content, wanted)
        content = decoder.unused_data
    return plain


def is_gzip(content: bytes) -> bool:
    """Whether the bytes begin as a gzip file does (RFC 1952)."""
    return content.startswith(_GZIP)


def read_stored_numbers(header: VolumeHeader) -> NDArray[Any]:
    """The stored numbers, shape (slices, rows, columns).

    Raises
    ------
    ScanError
        If the file is shorter than its header says, holds far more, or fails its checksum.
    """
    place, count = header.place, header.voxel_bytes
    try:
        with place.file.open("rb") as stream:
            held = stream.seek(0, SEEK_END) - place.start
            stream.seek(place.start)
            if held * (_HIGHEST_RATIO if place.packing else 1) < count:
                content = np.empty(0, dtype=np.uint8)
            elif place.packing:
                content = _inflate(_read_pieces(stream), place.inside + count, gzip=place.packing == "gzip")
            else:
                content = np.fromfile(stream, np.uint8, count)
    except (OSError, EOFError, zlib.error) as failure:
        raise ScanError(describe_damage(place.file, failure)) from None
    content = content[place.inside :]
    if len(content) < count:
        raise ScanError(describe_damage(place.file, EOFError("voxels are missing")))
    stored: NDArray[Any] = content.view(header.dtype).reshape(header.size[::-1])
    return stored


def read_values(header: VolumeHeader) -> NDArray[Any]:
    """The voxels' values, slope and intercept applied, shape (slices, rows, columns).

    Scaled values are int16 where all are whole numbers within its range, else float64.

    Raises
    ------
    ScanError
        As `read_stored_numbers`.
    """
    stored, (slope, intercept) = read_stored_numbers(header), header.scale
    if (slope, intercept) == (1.0, 0.0):
        return stored
    whole = _scale_whole(stored, slope, intercept)
    if whole is not None:
        return whole
    # Values beyond all numbers become infinite; they are refused where values are judged
    with np.errstate(all="ignore"):
        values: NDArray[Any] = stored * slope + intercept
    return values


def _scale_whole(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[np.int16] | None:
    """The scaled values as int16; None where that would not be exact."""
    if stored.dtype.kind not in "iu":
        return None
    numbers = (slope, intercept, float(stored.min()), float(stored.max()))
    if not all(number.is_integer() and abs(number) <= _LARGEST_WHOLE for number in numbers):
        return None
    factor, shift, *ends = (int(number) for number in numbers)
    if not all(_INT16.min <= end * factor + shift <= _INT16.max for end in ends):
        return None
    if factor == 1 and stored.dtype in (np.int16, np.uint16):
        # Modulo 65536, which both may pass on the way: the sum is known to fit
        moved: NDArray[np.int16] = stored.view(np.int16) + np.array(shift % 65536, np.uint16).view(np.int16)
        return moved
    scaled: NDArray[np.int16] = (stored.astype(np.int64) * factor + shift).astype(np.int16)
    return scaled


def _read_pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(_PIECE_BYTES):
        yield piece


def _inflate(pieces: Iterator[bytes], wanted: int, *, gzip: bool) -> NDArray[np.uint8]:
    """The first bytes of compressed data; checksum and length are verified (RFC 1950, RFC 1952).

    Raises
    ------
    EOFError
        If the data end too early.
    zlib.error
        If they fail their checksum, or hold far more than is wanted.
    """
    # Two and a half times as fast as zlib; a third of a case's preparation is decompression all the same
    igzip: Any = import_module("isal.igzip_lib")
    kind = igzip.DECOMP_GZIP if gzip else igzip.DECOMP_ZLIB
    content, done, surplus = _reserve(wanted), 0, 0
    decoder, piece = igzip.IgzipDecompressor(kind), b""
    while True:
        if decoder.eof:
            # A gzip file may have several members
            piece = decoder.unused_data
            if len(piece) < len(_GZIP):
                piece += next(pieces, b"")
            if done == wanted or not (gzip and is_gzip(piece)):
                break
            decoder = igzip.IgzipDecompressor(kind)
        elif decoder.needs_input:
            piece = next(pieces, b"")
            if not piece:
                raise EOFError("compressed data are cut")
        try:
            chunk = decoder.decompress(piece, _CHUNK_BYTES)
        except igzip.error as failure:
            raise zlib.error(str(failure)) from None
        piece = b""
        part = np.frombuffer(chunk, np.uint8, min(len(chunk), wanted - done))
        content[done : done + len(part)] = part
        done, surplus = done + len(part), surplus + len(chunk) - len(part)
        if surplus > _SURPLUS_BYTES:
            raise zlib.error("more data than the header states")
    return content[:done]


def _reserve(count: int) -> NDArray[np.uint8]:
    """So many bytes of any content, from where a large page begins: else hundreds of small ones are taken."""
    space = np.empty(count if count < _LARGE_PAGE else count + 2 * _LARGE_PAGE, dtype=np.uint8)
    start = -space.ctypes.data % _LARGE_PAGE if count >= _LARGE_PAGE else 0
    return space[start : start + count]


def describe_damage(path: Path, failure: Exception) -> str:
    """What the refusal of a damaged file says."""
    if isinstance(failure, OSError) and not isinstance(failure, EOFError):
        return f"{path}: cannot be read ({failure.strerror or type(failure).__name__}) -> check the file"
    reason = f"{failure}" or "its compressed data are cut or fail their checksum"
    return f"{path}: the file is truncated or damaged ({reason}) -> copy or export it again"
