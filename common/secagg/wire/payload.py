"""Where each vector's words lie in a payload: one after the other, each from a multiple of 16 bytes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.secagg.codes import SecAggError
from common.secagg.crypto.rings import Vector, Words
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
    if len(payload) != count_payload_bytes(vectors):
        raise SecAggError("a contribution has another length than its vectors", code="S_SHAPE")
    views, start = [], 0
    for vector in vectors:
        words: Words = np.frombuffer(payload, vector.dtype, vector.words, start)
        views.append(words)
        start += _room_of(vector)
    return views


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
