"""Large arrays with room before them: what a message has in front is written there, and nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

_ROOM = 1 << 16
"""Bytes before the array; those that nobody writes to take no memory."""

_LARGE = 1 << 20
"""Arrays of fewer bytes have no room: they are copied in less time than they are looked at."""


class _Memory(np.ndarray):
    """Room, and an array behind it; as bytes."""

    is_taken = False
    """Whether something stands in the room."""


def make_behind_room(size: int, dtype: DTypeLike) -> NDArray[np.generic]:
    """So many zeros, of which `join_in_place` makes a message without a copy if they are large."""
    length = size * np.dtype(dtype).itemsize
    if length < _LARGE:
        return np.zeros(size, dtype)
    memory = np.zeros(_ROOM + length, dtype=np.uint8).view(_Memory)
    array: NDArray[np.generic] = np.frombuffer(memory.data, dtype, size, _ROOM)
    return array


def join_in_place(pieces: Sequence[bytes | memoryview]) -> bytes | memoryview:
    """The pieces one after the other: in the room before the last, if it has any, otherwise as a copy.

    The room is used once: whoever joins other pieces with the same array gets a copy.

    Parameters
    ----------
    pieces : sequence of bytes
        The last is often the memory of an array; if it is joined in place, nobody may change it any more.
    """
    *front, last = pieces
    memory, length = _find_memory(last), sum(len(piece) for piece in front)
    if memory is None or memory.is_taken or length > _ROOM or len(last) != memory.nbytes - _ROOM:
        return b"".join(pieces)
    memory.is_taken = True
    start = _ROOM - length
    memory.data[start:_ROOM] = b"".join(front)
    return memory.data[start:].toreadonly()


def _find_memory(piece: bytes | memoryview) -> _Memory | None:
    """The memory that the piece lies in, if it has room at its beginning."""
    owner: object = piece
    while not isinstance(owner, _Memory):
        if isinstance(owner, memoryview):
            owner = owner.obj
        elif isinstance(owner, np.ndarray):
            owner = owner.base
        else:
            return None
    return owner
