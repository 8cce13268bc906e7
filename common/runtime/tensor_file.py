"""Arrays as the pieces of a safetensors file, so that a large array is copied once, to where it is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pieces: TypeAlias = "list[bytes | memoryview]"
"""Bytes that follow each other; the memory of an array is not copied."""

_CODES = {
    "u8": "U64",
    "i8": "I64",
    "f8": "F64",
    "c8": "C64",
    "f4": "F32",
    "u4": "U32",
    "i4": "I32",
    "f2": "F16",
    "u2": "U16",
    "i2": "I16",
    "i1": "I8",
    "u1": "U8",
    "b1": "BOOL",
}
"""The format's name of each numpy type, in the order in which the library writes arrays."""
_ORDER = {kind: place for place, kind in enumerate(_CODES)}
_ALIGNMENT = 8


def cut_tensor_file(
    arrays: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str], *, sort_header: bool = False
) -> Pieces:
    """The pieces of the file that `safetensors.numpy.save` would make of the arrays, byte by byte.

    The library copies every array twice, at a seventh of the speed of a copy.

    Parameters
    ----------
    arrays : mapping of str to arrays
        By name; must not change before the pieces are used.
    metadata : mapping of str to str
        The library writes several entries in random order; here they keep theirs.
    sort_header : bool
        Whether to sort all keys of the header. The library does not.

    Raises
    ------
    TypeError
        If the format has no such array.
    """
    kinds = {name: array.dtype.str[1:] for name, array in arrays.items()}
    unknown = sorted(f"{name} of {arrays[name].dtype}" for name, kind in kinds.items() if kind not in _CODES)
    if unknown:
        raise TypeError(f"a safetensors file cannot hold {', '.join(unknown)}")
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    pieces: Pieces = []
    start = 0
    for name, kind in sorted(kinds.items(), key=lambda item: (_ORDER[item[1]], item[0])):
        array = arrays[name]
        end = start + array.nbytes
        header[name] = {"dtype": _CODES[kind], "shape": list(array.shape), "data_offsets": [start, end]}
        little = np.ascontiguousarray(array, dtype=f"<{kind}")
        pieces.append(little.reshape(-1).view(np.uint8).data)
        start = end
    # Without escapes no letter has two spellings, so every altered bit changes the meaning.
    text = json.dumps(header, sort_keys=sort_header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return [len(text).to_bytes(8, "little"), text, *pieces]
