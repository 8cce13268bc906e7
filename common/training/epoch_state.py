"""Where a training stands at an epoch's end: all that the bits of the next epoch depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

_NETWORK, _ADAM, _DRAWN = "network/", "adam/", "drawn/"
_PLANAR = 4
"""Axes of a 2D convolution's kernels."""


@dataclass(frozen=True)
class EpochState:
    """A training after an epoch.

    Attributes
    ----------
    losses : tuple of float
        Mean loss of each epoch that is done.
    steps : int
        Steps of the optimiser so far.
    arrays : mapping of str to arrays
        Weights, the optimiser's memory, and the states of all random generators. They may share memory with
        the network: whoever keeps them copies or writes them at once.
    """

    losses: tuple[float, ...]
    steps: int
    arrays: Mapping[str, NDArray[Any]]


class EpochMemory(Protocol):
    """Keeps where a training stands, so that a process that dies does not lose its epochs."""

    @property
    def start(self) -> EpochState | None:
        """Where the training was when its process ended; None if it begins."""

    def keep(self, collect: Callable[[], EpochState]) -> None:
        """Keep what `collect` gives, or do not: an epoch has ended."""


def collect_arrays(
    network: nn.Module, adam: torch.optim.Optimizer, source: torch.Generator, device: torch.device
) -> dict[str, NDArray[Any]]:
    """What the next epoch starts from, as arrays; see `EpochState`."""
    arrays = {f"{_NETWORK}{name}": _to_array(tensor) for name, tensor in network.state_dict().items()}
    for place, parameter in enumerate(_list_parameters(adam)):
        for name, tensor in adam.state.get(parameter, {}).items():
            arrays[f"{_ADAM}{place}/{name}"] = _to_array(tensor)
    arrays[f"{_DRAWN}source"] = source.get_state().numpy()
    arrays[f"{_DRAWN}cpu"] = torch.get_rng_state().numpy()
    if device.type == "cuda":
        arrays[f"{_DRAWN}device"] = torch.cuda.get_rng_state(device).numpy()
    return arrays


def restore_arrays(
    arrays: Mapping[str, NDArray[Any]],
    network: nn.Module,
    adam: torch.optim.Optimizer,
    source: torch.Generator,
    device: torch.device,
) -> None:
    """Put network, optimiser and generators where they were; they are those of the same training, begun anew.

    Raises
    ------
    KeyError, RuntimeError
        If the arrays are of another training.
    """
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            _fill(tensor, arrays[f"{_NETWORK}{name}"])
        for place, parameter in enumerate(_list_parameters(adam)):
            start = f"{_ADAM}{place}/"
            names = [name.removeprefix(start) for name in arrays if name.startswith(start)]
            for name in names:
                array = arrays[start + name]
                # The memory has the strides of its parameter: fused steps walk through both alike
                room = torch.empty_like(parameter) if array.ndim else torch.empty((), device=device)
                _fill(room, array)
                adam.state[parameter][name] = room
    source.set_state(torch.from_numpy(arrays[f"{_DRAWN}source"].copy()))
    torch.set_rng_state(torch.from_numpy(arrays[f"{_DRAWN}cpu"].copy()))
    if device.type == "cuda":
        torch.cuda.set_rng_state(torch.from_numpy(arrays[f"{_DRAWN}device"].copy()), device)


def _list_parameters(adam: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in adam.param_groups for parameter in group["params"]]


def _to_array(tensor: torch.Tensor) -> NDArray[Any]:
    """The tensor's values; kernels with channels last keep their order in memory, which saves a copy."""
    values = tensor.detach().cpu()
    array: NDArray[Any] = (values.permute(0, 2, 3, 1) if _has_channels_last(values) else values).numpy()
    return array


def _fill(tensor: torch.Tensor, array: NDArray[Any]) -> None:
    values = torch.from_numpy(array.copy())
    tensor.copy_(values.permute(0, 3, 1, 2) if _has_channels_last(tensor) else values)


def _has_channels_last(tensor: torch.Tensor) -> bool:
    return (
        tensor.ndim == _PLANAR
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )
