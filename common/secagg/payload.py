"""Where each vector's words lie in a payload: one after the other, each from a multiple of 16 bytes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.secagg.errors import SecAggError
from common.secagg.messages import Layout, VectorSpec, read_header
from common.secagg.vectors import Vector, Words

_ALIGNMENT = 16
_LONGEST_LAYOUT = 1 << 20


def payload_bytes(vectors: Sequence[Vector]) -> int:
    """How long the payload of these vectors is."""
    return sum(_room(vector) for vector in vectors)


def views(vectors: Sequence[Vector], payload: memoryview) -> list[Words]:
    """Each vector's words in the payload, not copied.

    Raises
    ------
    SecAggError
        S_SHAPE if the payload has another length.
    """
    if len(payload) != payload_bytes(vectors):
        raise SecAggError("a contribution has another length than its vectors", code="S_SHAPE")
    found, start = [], 0
    for vector in vectors:
        words: Words = np.frombuffer(payload, vector.dtype, vector.words, start)
        found.append(words)
        start += _room(vector)
    return found


def layout_of(vectors: Sequence[Vector]) -> bytes:
    """How an iteration's payload begins, padded to a multiple of 16 with spaces."""
    body = Layout(vectors=tuple(VectorSpec.of(vector) for vector in vectors)).body()
    return body.ljust(_rounded(len(body)))


def read_layout(data: bytes) -> tuple[Vector, ...]:
    """The vectors that `layout_of` wrote.

    Raises
    ------
    ProtocolError
        If it is something else.
    """
    layout = read_header(data.rstrip(b" "), _LONGEST_LAYOUT, Layout)
    return tuple(spec.vector() for spec in layout.vectors)


def _room(vector: Vector) -> int:
    return _rounded(vector.words * vector.dtype.itemsize)


def _rounded(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
