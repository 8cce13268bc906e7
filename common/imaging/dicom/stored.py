"""The numbers that a DICOM file stores for one slice, before their rescale (PS3.3 C.7.6.3, PS3.5 8).

Uncompressed pixels of 16 bits, as most scanners write them, are taken from the file without a copy in
between; pydicom decodes all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from common.errors import ScanError
from common.imaging.dicom.instance import TAGS, UNREADABLE, Instance, log_failure

LARGEST_SIDE = 4096
"""Most rows or columns that are believed, before any memory is taken for them."""

_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
"""Transfer syntaxes without compression, whose numbers lie in the file one after the other."""

_GREYSCALE = ("MONOCHROME2", "MONOCHROME1")
"""Both say how numbers are displayed, low ones dark or bright, and not what they mean (PS3.3 C.7.6.3.1.2)."""

_DESCRIBING = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
)


@dataclass(frozen=True)
class PixelLayout:
    """How a file stores its pixels.

    Attributes
    ----------
    rows, columns : int
        Of a slice.
    bits : int
        Bits of a number that count; the others may hold anything.
    plain_bits : bool
        Whether a number takes 16 bits.
    signed : bool
        Whether numbers have a sign.
    padding : tuple of 2 floats or None
        Lowest and highest stored number that stands for no measurement.
    """

    rows: int
    columns: int
    bits: int
    plain_bits: bool
    signed: bool
    padding: tuple[float, float] | None

    @cached_property
    def bytes_of_frame(self) -> int:
        """Size of an uncompressed frame of 16 bits."""
        return 2 * self.rows * self.columns


class StoredPixels:
    """The numbers that a series' files store: equal layouts are described once, memory is used again."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], PixelLayout] = {}
        self._buffer = bytearray()

    def find(self, instance: Instance) -> PixelLayout:
        """The layout of a file.

        Raises
        ------
        ScanError
            If it is not that of a greyscale image of believable size.
        """
        stored = (instance.raw.get(TAGS[keyword]) for keyword in _DESCRIBING)
        key = tuple(value if isinstance(value, bytes) else repr(value) for value in stored)
        if key not in self._known:
            self._known[key] = _read_layout(instance)
        return self._known[key]

    def read(self, instance: Instance, frame: int) -> NDArray[Any]:
        """The stored numbers of one slice, shape (rows, columns); the next call may overwrite them.

        Raises
        ------
        ScanError
            If they are not all there, or cannot be decoded.
        """
        layout = self.find(instance)
        if len(self._buffer) != layout.bytes_of_frame:
            self._buffer = bytearray(layout.bytes_of_frame)
        return _read_stored(instance, frame, layout, self._buffer)


def _read_layout(instance: Instance) -> PixelLayout:
    interpretation = instance.text("PhotometricInterpretation")
    if interpretation not in _GREYSCALE:
        raise ScanError(
            f"{instance.path}: pixels are {interpretation or 'unspecified'}, not {' or '.join(_GREYSCALE)} "
            "-> export the CT's own images, no screenshots"
        )
    rows, columns = instance.count("Rows"), instance.count("Columns")
    if not 1 <= min(rows, columns) <= max(rows, columns) <= LARGEST_SIDE:
        raise ScanError(f"{instance.path}: impossible size of {rows} x {columns} pixels -> export it again")
    allocated, stored = instance.count("BitsAllocated"), instance.count("BitsStored")
    return PixelLayout(
        rows,
        columns,
        bits=stored,
        plain_bits=allocated == 16 and 1 <= stored <= 16 and instance.number("SamplesPerPixel") == 1,
        signed=instance.number("PixelRepresentation") == 1,
        padding=_read_padding(instance),
    )


def _read_padding(instance: Instance) -> tuple[float, float] | None:
    """Bounds of the numbers that stand for no measurement (PS3.3 C.7.5.1.1.2); None if there are none."""
    try:
        value = instance.number("PixelPaddingValue")
        limit = instance.number("PixelPaddingRangeLimit")
    except ScanError:
        # A malformed value names no number of the pixels
        return None
    if value is None:
        return None
    return min(value, value if limit is None else limit), max(value, value if limit is None else limit)


def _read_stored(instance: Instance, frame: int, layout: PixelLayout, buffer: bytearray) -> NDArray[Any]:
    plain = layout.plain_bits and instance.transfer_syntax in _PLAIN
    stored = _read_plain(instance, frame, layout, buffer) if plain else None
    if stored is None:
        stored = _decode(instance, frame)
    if stored.shape != (layout.rows, layout.columns):
        raise ScanError(f"{instance.path}: pixels have shape {stored.shape}, not rows and columns")
    return stored


def _read_plain(
    instance: Instance, frame: int, layout: PixelLayout, content: bytearray
) -> NDArray[Any] | None:
    """The numbers as they lie in the file; None where the element is none of plain pixels.

    Raises
    ------
    ScanError
        If they are not all there.
    """
    try:
        element: Any = instance.dataset.get_item(TAGS["PixelData"], keep_deferred=True)
    except UNREADABLE as failure:
        raise ScanError(_describe_undecoded(instance, failure)) from None
    if not isinstance(element, RawDataElement) or element.length == 0xFFFFFFFF:
        return None
    start, size = frame * layout.bytes_of_frame, layout.bytes_of_frame
    if element.length < start + size:
        raise ScanError(f"{instance.path}: pixels are cut short -> copy or export it again")
    if element.value is None:
        read = _read_part(instance, element.value_tell + start, content)
    else:
        part = element.value[start : start + size]
        read = len(part)
        content[:read] = part
    if read != size:
        raise ScanError(
            f"{instance.path}: the file is truncated within its pixels -> copy or export it again"
        )
    stored = np.frombuffer(content, "<i2" if layout.signed else "<u2").reshape(layout.rows, layout.columns)
    return _drop_unused_bits(stored, layout)


def _read_part(instance: Instance, start: int, content: bytearray) -> int:
    """Fill the buffer from a place in the file; the number of bytes that are there.

    Raises
    ------
    ScanError
        If the file cannot be read.
    """
    try:
        with instance.path.open("rb", buffering=0) as file:
            file.seek(start)
            return file.readinto(content) or 0
    except OSError as failure:
        raise ScanError(_describe_undecoded(instance, failure)) from None


def _drop_unused_bits(stored: NDArray[Any], layout: PixelLayout) -> NDArray[Any]:
    """The numbers without the bits above those that count; in place (PS3.5 8.1.1)."""
    unused = 16 - layout.bits
    if layout.signed and unused:
        stored <<= unused
        stored >>= unused
    elif unused and stored.max() >> layout.bits:
        stored &= (1 << layout.bits) - 1
    return stored


def _decode(instance: Instance, frame: int) -> NDArray[Any]:
    """The numbers by pydicom and its decoders.

    Raises
    ------
    ScanError
        If they cannot decode it.
    """
    try:
        decoded: NDArray[Any] = pixel_array(instance.dataset, index=frame)
    except UNREADABLE as failure:
        raise ScanError(_describe_undecoded(instance, failure)) from None
    except BaseException as failure:
        # The decoder of RLE is written in Rust; its panic at a damaged frame is no Exception
        if type(failure).__name__ != "PanicException":
            raise
        raise ScanError(_describe_undecoded(instance, failure)) from None
    return decoded


def _describe_undecoded(instance: Instance, failure: BaseException) -> str:
    """What the refusal says; logged at the site."""
    log_failure(instance.path, failure)
    syntax = UID(instance.transfer_syntax).name or "no transfer syntax"
    what = f"pixels cannot be decoded ({type(failure).__name__}; {syntax})"
    return f"{instance.path}: {what} -> copy or export it again"
