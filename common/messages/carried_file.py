"""A model's file on its way to the sites: its bytes travel in place of a network's weights."""

from __future__ import annotations

import numpy as np

from common.errors import ProtocolError
from common.types import FlatWeights

_WORD = 4


def pack_file(content: bytes) -> FlatWeights:
    """The bytes as the vector that a request carries, filled up with zeros to whole words."""
    filled = content + bytes(-len(content) % _WORD)
    return np.frombuffer(filled, dtype="<f4").astype(np.float32, copy=False)


def unpack_file(carried: FlatWeights, length: int) -> bytes:
    """The bytes that were packed, of which there are so many.

    Raises
    ------
    ProtocolError
        If so many bytes do not make so long a vector.
    """
    if carried.size != (length + _WORD - 1) // _WORD:
        raise ProtocolError(f"a file of {_WORD * carried.size} bytes came, the plan's has {length}")
    return np.ascontiguousarray(carried, dtype="<f4").tobytes()[:length]
