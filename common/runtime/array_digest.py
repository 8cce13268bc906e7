"""SHA-256 of arrays that cannot change: a large model is hashed once, wherever its digest is needed."""

from __future__ import annotations

import hashlib
import threading
import weakref
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

AnyArray = TypeVar("AnyArray", bound=NDArray[np.generic])

_known: dict[int, tuple[weakref.ref[NDArray[np.generic]], str]] = {}
"""By the array's identity; an array that is gone takes its entry with it."""
_lock = threading.Lock()


def freeze_array(array: AnyArray) -> AnyArray:
    """The array, which nobody can change from now on: its digest is then computed once."""
    array.setflags(write=False)
    return array


def digest_array(array: NDArray[np.generic]) -> str:
    """SHA-256 of the array's bytes, row by row, least byte first; 64 hexadecimal digits.

    It is remembered as long as the array lives, if nobody can change the array or the memory that it shares.
    """
    with _lock:
        kept = _known.get(id(array))
    if kept is not None and kept[0]() is array:
        return kept[1]
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(little.reshape(-1).view(np.uint8).data).hexdigest()
    remember_digest(array, digest)
    return digest


def remember_digest(array: NDArray[np.generic], digest: str) -> None:
    """Remember what was computed of an array's bytes elsewhere, if they cannot be changed."""
    if not _is_frozen(array):
        return
    key = id(array)

    def forget(gone: weakref.ref[NDArray[np.generic]]) -> None:
        # Another array may have the number by now
        if key in _known and _known[key][0] is gone:
            del _known[key]

    with _lock:
        _known[key] = weakref.ref(array, forget), digest


def _is_frozen(array: NDArray[np.generic]) -> bool:
    """Whether the memory is this array's own, or that of bytes, and nobody can change it."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    return owner is None or isinstance(owner, bytes)
