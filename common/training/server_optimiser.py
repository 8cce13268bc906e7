"""Adaptive optimisers of the global weights, on the pseudo-gradient (Reddi et al. 2021).

The coordinator takes each step, and every site that trains takes it, too, to check the next weights. So it
is made of single sums, products, quotients and roots in float32, which every processor rounds alike; torch's
own optimisers fuse some of them where the processor can. The formulas are torch's: Adam with the moments as
it interpolates them, Adagrad without decay.

References
----------
Reddi et al. 2021, Adaptive federated optimization, algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.errors import ModelError
from common.types import Flags, FlatWeights

ServerOptimiser: TypeAlias = Literal["sgd", "adam", "adagrad"]
"""How the global weights follow the pseudo-gradient."""

_ADAPTIVITY = np.float32(1e-3)
"""tau of Reddi et al. (2021), section 5: bounds a step where the pseudo-gradient is tiny."""
_FIRST_DECAY, _SECOND_DECAY = 0.9, 0.99
"""Of Adam's moments; the same section."""
_MEMORY: Mapping[ServerOptimiser, tuple[str, ...]] = {
    "sgd": (),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adagrad": ("sum",),
}
"""Names of the arrays that an optimiser keeps for each trained element, as torch calls them."""


class PseudoGradientStep:
    """Moves the global weights along the mean of the sites' updates, by an optimiser that keeps its state.

    Parameters
    ----------
    kind : {"sgd", "adam", "adagrad"}
        "sgd" with learning rate 1 is FedAvg.
    learning_rate : float
        The server's step size.
    trained : bool vector
        True for elements that the optimiser changes; the others (BatchNorm's statistics) take the mean.
    """

    def __init__(self, kind: ServerOptimiser, learning_rate: float, trained: Flags) -> None:
        self._kind = kind
        self._rate = learning_rate
        self._trained = trained
        self._size = int(trained.sum())
        self._steps = 0
        self._memory: dict[str, FlatWeights] = {}

    def apply(self, weights: FlatWeights, mean_update: FlatWeights) -> FlatWeights:
        """The next global weights.

        Parameters
        ----------
        weights, mean_update : float32 vectors
            The global model and the patient-weighted mean of (new - old) over sites.
        """
        self.begin()
        result: FlatWeights = weights + mean_update
        moved = self.move(slice(0, self._size), weights[self._trained], mean_update[self._trained])
        result[self._trained] = moved
        return result

    def begin(self) -> None:
        """Begin a step, which `move` then takes for some trained elements after the others."""
        self._steps += 1
        for name in _MEMORY[self._kind]:
            self._memory.setdefault(name, np.zeros(self._size, dtype=np.float32))

    def move(self, place: slice, weights: FlatWeights, mean_update: FlatWeights) -> FlatWeights:
        """The next weights of some trained elements; `place` says which of all trained ones they are."""
        gradient = -mean_update
        if self._kind == "adam":
            return self._move_by_adam(place, weights, gradient)
        if self._kind == "adagrad":
            squares = self._memory["sum"][place]
            squares += gradient * gradient
            bound = np.sqrt(squares) + _ADAPTIVITY
            adapted: FlatWeights = np.divide(np.float32(-self._rate) * gradient, bound, dtype=np.float32)
            return weights + adapted
        return weights + np.float32(-self._rate) * gradient

    def _move_by_adam(self, place: slice, weights: FlatWeights, gradient: FlatWeights) -> FlatWeights:
        first, second = self._memory["exp_avg"][place], self._memory["exp_avg_sq"][place]
        first += np.float32(1 - _FIRST_DECAY) * (gradient - first)
        second *= np.float32(_SECOND_DECAY)
        second += np.float32(1 - _SECOND_DECAY) * gradient * gradient
        rate = np.float32(-self._rate / (1 - _FIRST_DECAY**self._steps))
        correction = np.float32(math.sqrt(1 - _SECOND_DECAY**self._steps))
        bound = np.sqrt(second) / correction + _ADAPTIVITY
        step: FlatWeights = np.divide(rate * first, bound, dtype=np.float32)
        return weights + step

    def state(self) -> dict[str, NDArray[Any]]:
        """The optimiser's state as arrays by name; empty before the first step, or if it keeps none."""
        return {"step": np.array(self._steps, dtype=np.float32), **self._memory} if self._memory else {}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Restore the state that `state` returned.

        Raises
        ------
        ModelError
            If an array does not fit this network.
        """
        if not arrays:
            return
        for name in _MEMORY[self._kind]:
            if name not in arrays or arrays[name].shape != (self._size,):
                raise ModelError(f"the server optimiser's {name} is not of {self._size} elements")
        self._memory = {name: np.array(arrays[name], dtype=np.float32) for name in _MEMORY[self._kind]}
        self._steps = int(arrays["step"])
