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
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "complex64": "C64",
    "float32": "F32",
    "uint32": "U32",
    "int32": "I32",
    "float16": "F16",
    "uint16": "U16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
"""The format's name of each numpy type, in the order in which the library writes arrays."""
_ORDER = {name: place for place, name in enumerate(_CODES)}
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
    unknown = sorted(
        f"{name} of {array.dtype}" for name, array in arrays.items() if array.dtype.name not in _CODES
    )
    if unknown:
        raise TypeError(f"a safetensors file cannot hold {', '.join(unknown)}")
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    pieces: Pieces = []
    start = 0
    for name in sorted(arrays, key=lambda name: (_ORDER[arrays[name].dtype.name], name)):
        array = arrays[name]
        end = start + array.nbytes
        code = _CODES[array.dtype.name]
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        pieces.append(little.reshape(-1).view(np.uint8).data)
        start = end
    # Without escapes no letter has two spellings, so every altered bit changes the meaning.
    text = json.dumps(header, sort_keys=sort_header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return [len(text).to_bytes(8, "little"), text, *pieces]
