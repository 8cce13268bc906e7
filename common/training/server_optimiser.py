"""Adaptive optimisers at the coordinator: torch.optim on the pseudo-gradient (Reddi et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import ModelError
from common.types import Flags, FlatWeights

ServerOptimiser: TypeAlias = Literal["sgd", "adam", "adagrad"]
"""Optimisers of torch.optim that the coordinator can apply."""

_ADAPTIVITY = 1e-3
"""tau of Reddi et al. (2021), section 5: bounds a step where the pseudo-gradient is tiny."""


class PseudoGradientStep:
    """Moves the global weights along the mean of the sites' updates, by an optimiser that keeps its state.

    Parameters
    ----------
    kind : {"sgd", "adam", "adagrad"}
        Optimiser of torch.optim; "sgd" with learning rate 1 is FedAvg.
    learning_rate : float
        The server's step size.
    trained : bool vector
        True for elements that the optimiser changes; the others (BatchNorm's statistics) take the mean.
    """

    def __init__(self, kind: ServerOptimiser, learning_rate: float, trained: Flags) -> None:
        self._trained = torch.from_numpy(trained.copy())
        self._weights = torch.nn.Parameter(torch.zeros(int(trained.sum())))
        self._optimiser = _make_optimiser(kind, self._weights, learning_rate)

    def apply(self, weights: FlatWeights, mean_update: FlatWeights) -> FlatWeights:
        """The next global weights.

        Parameters
        ----------
        weights, mean_update : float32 vectors
            The global model and the patient-weighted mean of (new - old) over sites.
        """
        result = torch.from_numpy(weights + mean_update)
        with torch.no_grad():
            self._weights.copy_(torch.from_numpy(weights)[self._trained])
        self._weights.grad = -torch.from_numpy(mean_update)[self._trained]
        self._optimiser.step()
        result[self._trained] = self._weights.detach()
        moved: FlatWeights = result.numpy()
        return moved

    def state(self) -> dict[str, NDArray[Any]]:
        """The optimiser's state as arrays by name; empty before the first step."""
        memory = self._optimiser.state.get(self._weights, {})
        return {name: np.asarray(value) for name, value in memory.items() if value is not None}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Restore the state that `state` returned.

        Raises
        ------
        ModelError
            If an array does not fit this network.
        """
        if not arrays:
            return
        memory = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        for name, value in memory.items():
            if value.ndim and value.shape != self._weights.shape:
                raise ModelError(f"the server optimiser's {name} has {tuple(value.shape)} elements")
        self._optimiser.state[self._weights] = memory


def _make_optimiser(kind: ServerOptimiser, weights: torch.nn.Parameter, rate: float) -> torch.optim.Optimizer:
    if kind == "adam":
        return torch.optim.Adam([weights], lr=rate, betas=(0.9, 0.99), eps=_ADAPTIVITY)
    if kind == "adagrad":
        return torch.optim.Adagrad([weights], lr=rate, eps=_ADAPTIVITY)
    return torch.optim.SGD([weights], lr=rate)
