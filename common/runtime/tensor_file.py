"""Arrays as the pieces of a safetensors file, and back, so that a large array is not copied on its way."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

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
_KINDS = {code: kind for kind, code in _CODES.items()}
_ALIGNMENT = 8
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_LARGE = 1 << 16
"""Arrays of fewer bytes are copied, as the library does; of larger ones the memory is shared."""


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
    header: dict[str, object] = {_METADATA: dict(metadata)}
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


def read_tensor_file(
    content: bytes | bytearray | memoryview,
) -> tuple[dict[str, str], dict[str, NDArray[np.generic]]]:
    """Metadata and arrays of such a file; a large array is read-only, and shares the content's memory.

    Raises
    ------
    ValueError
        If the content is no such file: a name occurs twice, an array has another length than its shape, or
        the arrays leave a gap, overlap, or end before or after the content.
    """
    view = memoryview(content).cast("B").toreadonly()
    header, data = _read_header(view)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("metadata are no texts")
    places = {name: _read_place(name, entry) for name, entry in header.items()}
    end = 0
    for _, _, start, stop in sorted(places.values(), key=lambda place: place[2:]):
        if start != end:
            raise ValueError("arrays leave a gap or overlap")
        end = stop
    if end != len(data):
        raise ValueError("arrays end before or after the content")
    return metadata, {name: _view_array(data, place) for name, place in places.items()}


def read_metadata(content: bytes | bytearray | memoryview) -> dict[str, str]:
    """Metadata of such a file, whatever its arrays are; raises as `read_tensor_file`."""
    header, _ = _read_header(memoryview(content).cast("B"))
    metadata: dict[str, str] = header.get(_METADATA, {})
    return metadata


_Place: TypeAlias = tuple[str, tuple[int, ...], int, int]
"""An array's type, shape, and where it begins and ends in the data."""


def _read_header(view: memoryview) -> tuple[dict[str, Any], memoryview]:
    """The header, and the data behind it.

    Raises
    ------
    ValueError
        If it is no header.
    """
    start = _LENGTH_BYTES + int.from_bytes(view[:_LENGTH_BYTES], "little")
    if not _LENGTH_BYTES < start <= len(view):
        raise ValueError("a header ends behind the content")
    text = str(view[_LENGTH_BYTES:start], "utf-8")
    try:
        header = json.loads(text, object_pairs_hook=_refuse_twice)
    except RecursionError:
        raise ValueError("a header is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("a header is no object")  # noqa: TRY004 - of the file's content, not of an argument
    return header, view[start:]


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _read_place(name: str, entry: object) -> _Place:
    """Type and place of the array of this name.

    Raises
    ------
    ValueError
        If the header's entry is not of an array.
    """
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name!r} is described by {entry!r}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not all(isinstance(numbers, list) for numbers in (shape, offsets)) or len(offsets) != 2:
        raise ValueError(f"{name!r} is described by {entry!r}")
    is_plain = all(type(number) is int and number >= 0 for number in (*shape, *offsets))
    kind = _KINDS.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if kind is None or not is_plain:
        raise ValueError(f"{name!r} is described by {entry!r}")
    start, stop = offsets
    if stop - start != math.prod(shape) * int(kind[1:]):
        raise ValueError(f"{name!r} has another length than its shape")
    return f"<{kind}", tuple(shape), start, stop


def _view_array(data: memoryview, place: _Place) -> NDArray[np.generic]:
    kind, shape, start, stop = place
    array: NDArray[np.generic] = np.frombuffer(data[start:stop], dtype=kind).reshape(shape)
    # A plan's transcripts before the message may leave it at any place; not all readers take such memory
    return array if array.nbytes >= _LARGE and array.flags.aligned else array.copy()
