"""Where each vector's words lie in a payload: one after the other, each from a multiple of 16 bytes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.secagg.codes import SecAggError
from common.secagg.crypto.rings import Vector, Words
from common.secagg.wire.frames import Bytes, sha256
from common.secagg.wire.messages import VectorLayout, VectorSpec, read_header

_ALIGNMENT = 16
_LONGEST_LAYOUT = 1 << 20


def count_payload_bytes(vectors: Sequence[Vector]) -> int:
    """Length in bytes of the payload of these vectors."""
    return sum(_room_of(vector) for vector in vectors)


def view_words(vectors: Sequence[Vector], payload: memoryview) -> list[Words]:
    """Each vector's words in the payload, not copied.

    Raises
    ------
    SecAggError
        S_SHAPE if the payload has another length.
    """
    views = []
    for vector, room in zip(vectors, cut_rooms(vectors, payload), strict=True):
        words: Words = np.frombuffer(room, vector.dtype, vector.words)
        views.append(words)
    return views


def cut_rooms(vectors: Sequence[Vector], payload: memoryview) -> list[memoryview]:
    """Each vector's room in the payload, not copied: its words, and zeros up to a multiple of 16 bytes.

    Raises
    ------
    SecAggError
        S_SHAPE if the payload has another length.
    """
    if len(payload) != count_payload_bytes(vectors):
        raise SecAggError("a contribution has another length than its vectors", code="S_SHAPE")
    rooms, start = [], 0
    for vector in vectors:
        rooms.append(payload[start : start + _room_of(vector)])
        start += _room_of(vector)
    return rooms


def digest_iteration(layout: Bytes, parts: Sequence[str]) -> str:
    """SHA-256 of an iteration's payload, from the layout and the SHA-256 of each vector's room.

    Whoever has some vectors' words, and the digests of the others, checks with it what the site signed.
    """
    return sha256(b"SA1/parts\0", bytes.fromhex(sha256(layout) + "".join(parts)))


def layout_of(vectors: Sequence[Vector]) -> bytes:
    """The beginning of an iteration's payload: canonical JSON, padded with spaces to 16 bytes."""
    body = VectorLayout(vectors=tuple(VectorSpec.of(vector) for vector in vectors)).body()
    return body.ljust(_round_up(len(body)))


def read_layout(data: bytes) -> tuple[Vector, ...]:
    """The vectors that `layout_of` wrote.

    Raises
    ------
    ProtocolError
        If the bytes are not a layout.
    """
    layout = read_header(data.rstrip(b" "), _LONGEST_LAYOUT, VectorLayout)
    return tuple(spec.vector() for spec in layout.vectors)


def _room_of(vector: Vector) -> int:
    return _round_up(vector.words * vector.dtype.itemsize)


def _round_up(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
