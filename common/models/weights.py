"""A module's whole state as one float32 vector, and back: what travels, is summed, and is checkpointed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from common.errors import ModelError, NonFiniteError
from common.models.layout import BATCHNORM, TRAINED, Layout, StateTensor, TensorKind
from common.runtime.front_room import make_behind_room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from common.types import FlatWeights

__all__ = [
    "BATCHNORM",
    "TRAINED",
    "Layout",
    "StateTensor",
    "TensorKind",
    "check_weights",
    "flatten",
    "flatten_change",
    "load_flat",
    "overwrite",
]

_ROUNDING = 1e-3
"""Averaging can turn a variance of 0 into one this much below 0; it is then set to 0."""

_EXACT_IN_FLOAT32 = 2**24
"""Integers up to this one are exact in float32: 16 million batches."""


def flatten(module: nn.Module) -> FlatWeights:
    """The module's state in the order of its layout, shape (size,), as a copy on the CPU.

    BatchNorm's integer counters become float32, exactly.

    Raises
    ------
    ModelError
        If a counter is too large to be exact.
    """
    # Numpy's memory, which comes in large pages
    flat: FlatWeights = np.empty(sum(tensor.numel() for tensor in module.state_dict().values()), np.float32)
    for place, values in _list_states(module):
        flat[place] = values
    return flat


def flatten_change(module: nn.Module, before: FlatWeights) -> FlatWeights:
    """The module's state as `flatten` gives it, less the weights before: in one vector, without a second.

    Raises
    ------
    ModelError
        If a counter is too large to be exact.
    """
    # A site that sends it in the clear then makes its answer of it without a copy
    change: FlatWeights = make_behind_room(before.size, np.float32).astype(np.float32, copy=False)
    for place, values in _list_states(module):
        np.subtract(values, before[place], out=change[place])
    return change


def _list_states(module: nn.Module) -> Iterator[tuple[slice, FlatWeights]]:
    """Each tensor of the module's state as a flat array on the CPU, and where it lies in the flat weights.

    Raises
    ------
    ModelError
        If a counter is too large to be exact.
    """
    start = 0
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point() and tensor.numel() and int(tensor.max()) > _EXACT_IN_FLOAT32:
            raise ModelError(f"{name} = {int(tensor.max())} is too large to be exact in float32")
        values = tensor.detach().to("cpu", torch.float32).reshape(-1).numpy()
        yield slice(start, start + values.size), values
        start += values.size


def load_flat(module: nn.Module, flat: FlatWeights, layout: Layout) -> None:
    """Overwrite the module's state; averaged counters are rounded to the nearest integer.

    Parameters
    ----------
    module : nn.Module
        Changed in place, on its own device; unchanged if anything is refused.
    flat : FlatWeights
        Shape (layout.size,).
    layout : Layout
        Layout of the flat weights; must equal the module's.

    Raises
    ------
    ModelError
        If layout, type or length do not fit, or a running variance is negative.
    NonFiniteError
        If a value is NaN or infinite.
    """
    if layout != Layout.of(module):
        raise ModelError(
            f"weights of layout {layout.digest[:8]} do not fit this network -> use the plan's own model"
        )
    overwrite(module, flat, layout)


def overwrite(module: nn.Module, flat: FlatWeights, layout: Layout) -> None:
    """Overwrite the module's state without checking its layout (the check takes as long as the loading).

    Raises
    ------
    ModelError
        If type or length do not fit, or a running variance is negative.
    NonFiniteError
        If a value is NaN or infinite.
    """
    check_weights(flat, layout)
    with torch.no_grad():
        for entry, target in zip(layout.entries, module.state_dict().values(), strict=True):
            values = flat[layout.slices[entry.name]].reshape(entry.shape)
            if entry.kind == "counter":
                values = np.rint(values)
            elif entry.is_variance:
                values = np.maximum(values, 0)
            if target.device.type == "cpu" and target.dtype is torch.float32:
                # A tensor of the values would be one more copy
                np.copyto(target.detach().numpy(), values)
            else:
                target.copy_(torch.tensor(values))


def check_weights(flat: FlatWeights, layout: Layout) -> None:
    """Refuse flat weights that no network could hold.

    Raises
    ------
    ModelError
        If they are not float32, not of the layout's length, or a running variance is negative.
    NonFiniteError
        If a value is NaN or infinite; the message names the first such tensor.
    """
    if flat.dtype != np.float32 or flat.shape != (layout.size,):
        raise ModelError(
            f"flat weights are {flat.dtype} {flat.shape}, the layout needs float32 ({layout.size},)"
        )
    finite = np.isfinite(flat)
    if not finite.all():
        name = _find_owner(int(np.argmin(finite)), layout)
        raise NonFiniteError(f"{int((~finite).sum())} weight(s) are NaN or infinite, the first in {name}")
    for entry in layout.entries:
        if entry.is_variance and flat[layout.slices[entry.name]].min(initial=0) < -_ROUNDING:
            raise ModelError(
                f"{entry.name}: a running variance is negative -> average BatchNorm's buffers, nothing else"
            )


def _find_owner(position: int, layout: Layout) -> str:
    return next(name for name, place in layout.slices.items() if place.start <= position < place.stop)
