"""Small pictures of slices with the mask's outline, for pages: PNG with a palette, without a plotter."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from common.imaging.masks.mask import ICH, IVH
from common.imaging.overview import Overview
from common.types import Flags, Labels

ICH_COLOUR, IVH_COLOUR = "#e4572e", "#2e86de"

_GREYS = 253
"""Grey levels of the palette; the outlines' colours follow."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def draw_thumbnail(view: Overview) -> str:
    """The slice around the head with outlines of ICH and IVH, as a data URI."""
    shown = (view.pixels.astype(np.uint16) * (_GREYS - 1) // 255).astype(np.uint8)
    for label, index in ((ICH, _GREYS), (IVH, _GREYS + 1)):
        shown[_find_outline(view.labels == label)] = index
    rows, columns = _find_head(view)
    encoded = base64.b64encode(_encode_png(shown[rows, columns])).decode()
    return f"data:image/png;base64,{encoded}"


def _find_outline(region: Flags) -> Flags:
    """The region's pixels that touch another, or the picture's edge."""
    padded = np.pad(region, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return region & ~inner


def _find_head(view: Overview) -> tuple[slice, slice]:
    """Rows and columns that hold anything but air and background."""
    filled = (view.pixels > 0) | (view.labels > 0)
    bounds = [np.flatnonzero(filled.any(axis=axis)) for axis in (1, 0)]
    if not len(bounds[0]):
        return slice(None), slice(None)
    rows, columns = (slice(int(indices[0]), int(indices[-1]) + 1) for indices in bounds)
    return rows, columns


def _encode_png(indices: Labels) -> bytes:
    """An 8-bit palette PNG (ISO 15948) of these palette indices, shape (rows, columns)."""
    rows, columns = indices.shape
    greys = np.repeat(np.linspace(0, 255, _GREYS).round().astype(np.uint8), 3).tobytes()
    colours = b"".join(bytes.fromhex(colour[1:]) for colour in (ICH_COLOUR, IVH_COLOUR))
    lines = np.zeros((rows, columns + 1), dtype=np.uint8)
    lines[:, 1:] = indices
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", greys + colours), (b"IDAT", zlib.compress(lines.tobytes(), 9)))
    return _SIGNATURE + b"".join(_make_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def _make_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
