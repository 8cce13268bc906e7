"""Models on disk as safetensors: named arrays with metadata, no pickle, written completely or not at all.

The file holds a tensor for every entry of the layout, so that any safetensors reader shows a state dict.
Integer counters are stored as float32, because their average need not be an integer and a resumed study must
continue from the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from common.errors import ModelError, StorageError
from common.models.layout import Layout
from common.runtime.array_digest import digest_array, freeze_array
from common.runtime.storage import write_pieces_atomically
from common.runtime.tensor_file import cut_tensor_file
from common.types import FlatWeights

Array: TypeAlias = NDArray[Any]
"""Any array that safetensors can hold."""

_FORMAT = "rhe-checkpoint-2"
_FIRST_FORMAT = "rhe-checkpoint-1"
"""Is read, too: its digest is of all bytes, so that weights are hashed for it alone."""
_RESERVED = "rhe."
"""Prefix of the metadata that this module adds."""
_MODEL = "model/"
_REMEDY = "restore it from a copy; a study run with --resume trains anew what was removed from its folder"
_EXTRA = "extra/"


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights and what must be stored beside them.

    Attributes
    ----------
    weights : FlatWeights
        float32, shape (layout.size,).
    layout : Layout
        The tensors that the weights hold, in order.
    metadata : mapping of str to str
        For instance the plan's hash, the model's name and the round.
    extras : mapping of str to arrays
        For instance the state of the server's optimiser.

    Raises
    ------
    ModelError
        If the weights do not fit the layout, or a key of the metadata begins with "rhe.".
    """

    weights: FlatWeights
    layout: Layout
    metadata: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.weights.dtype != np.float32 or self.weights.shape != (self.layout.size,):
            raise ModelError(
                f"{self.weights.dtype} weights {self.weights.shape} do not fit a layout of {self.layout.size}"
            )
        reserved = [key for key in self.metadata if key.startswith(_RESERVED)]
        if reserved:
            raise ModelError(
                f"metadata {reserved} begin with {_RESERVED!r}, which is reserved -> rename them"
            )
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        object.__setattr__(self, "extras", MappingProxyType(dict(self.extras)))


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file atomically: at every moment the old or the new file exists, complete.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written to; the old file stays.
    """
    tensors = _collect_tensors(checkpoint)
    metadata = {
        **checkpoint.metadata,
        f"{_RESERVED}format": _FORMAT,
        f"{_RESERVED}layout": checkpoint.layout.to_json(),
        f"{_RESERVED}digest": _digest(checkpoint),
    }
    write_pieces_atomically(path, cut_tensor_file(tensors, metadata, sort_header=True))


def load(path: Path, layout: Layout | None = None) -> Checkpoint:
    """The checkpoint in a file that `save` wrote.

    Parameters
    ----------
    path : Path
        The file.
    layout : Layout, optional
        Refuse a model of any other layout.

    Raises
    ------
    StorageError
        If the file cannot be read.
    ModelError
        If it is truncated, altered, not such a file, or of another layout.
    """
    metadata, tensors = _read(path)
    written = metadata.get(f"{_RESERVED}format")
    if written not in {_FORMAT, _FIRST_FORMAT}:
        raise ModelError(f"{path} is no {_FORMAT} file -> use a model that this version of rhe wrote")
    stored = Layout.from_json(metadata[f"{_RESERVED}layout"]) if f"{_RESERVED}layout" in metadata else None
    public = {key: value for key, value in metadata.items() if not key.startswith(_RESERVED)}
    checkpoint = None if stored is None else _join_tensors(tensors, public, stored)
    if checkpoint is not None:
        is_first = written == _FIRST_FORMAT
        digest = _digest_whole(tensors, public, checkpoint.layout) if is_first else _digest(checkpoint)
    if checkpoint is None or digest != metadata.get(f"{_RESERVED}digest"):
        raise ModelError(f"{path} has been altered since it was written -> {_REMEDY}")
    if layout is not None and checkpoint.layout != layout:
        found, needed = checkpoint.layout.digest[:8], layout.digest[:8]
        raise ModelError(f"{path} holds a model of layout {found}, needed is {needed}")
    return checkpoint


def _join_tensors(
    tensors: Mapping[str, Array], metadata: Mapping[str, str], layout: Layout
) -> Checkpoint | None:
    """The checkpoint that a file's tensors make; None if they are not those of its own layout."""
    shapes = {f"{_MODEL}{entry.name}": entry.shape for entry in layout.entries}
    extras = {name.removeprefix(_EXTRA): array for name, array in tensors.items() if name.startswith(_EXTRA)}
    found = {name: array.shape for name, array in tensors.items() if not name.startswith(_EXTRA)}
    if found != shapes or any(tensors[name].dtype != np.float32 for name in shapes):
        return None
    weights = np.concatenate([np.empty(0, np.float32), *(tensors[name].reshape(-1) for name in shapes)])
    return Checkpoint(freeze_array(weights), layout, metadata, extras)


def _collect_tensors(checkpoint: Checkpoint) -> dict[str, Array]:
    slices = checkpoint.layout.slices
    model = {
        f"{_MODEL}{entry.name}": checkpoint.weights[slices[entry.name]].reshape(entry.shape)
        for entry in checkpoint.layout.entries
    }
    return {**model, **{f"{_EXTRA}{name}": np.asarray(a, order="C") for name, a in checkpoint.extras.items()}}


def _digest(checkpoint: Checkpoint) -> str:
    """SHA-256 over metadata, layout, and the digests of the weights and of each extra array."""
    described: list[object] = [dict(checkpoint.metadata), checkpoint.layout.to_json()]
    described.append(digest_array(checkpoint.weights))
    for name, array in sorted(checkpoint.extras.items()):
        described.append([name, array.dtype.str, list(array.shape), digest_array(array)])
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _digest_whole(tensors: Mapping[str, Array], metadata: Mapping[str, str], layout: Layout) -> str:
    """The same of the first format: SHA-256 over the file's metadata, layout and tensors."""
    digest = hashlib.sha256(json.dumps([dict(metadata), layout.to_json()], sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in names}
    except (SafetensorError, UnicodeDecodeError) as failure:
        raise ModelError(f"{path} is damaged or no safetensors file ({failure}) -> {_REMEDY}") from None
    except OSError as failure:
        raise StorageError(f"{path} cannot be read: {failure}") from None
