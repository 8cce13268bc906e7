"""SCAFFOLD: a site's steps without what its own patients alone pull them aside.

A control variate is a mean gradient along a round's steps: c_i of a site's own, c of all sites'. By the
algorithm's option II, c_i becomes c_i - c + (x - y_i) / (K lr), where x are the weights with which a round
of K steps begins and y_i the site's after it, and c becomes the sites' mean of these. Where every site takes
as many steps and is in every round, the c_i - c cancel in that mean, and it is (x - x') / (K lr) with x' the
next global weights. So it follows from the update's sum and need not travel: each site derives c itself.

With other numbers of steps at each site it would have to travel, and must not: sums of the updates and of
the updates by step mix the same vectors twice, and the coordinator could compute the updates of two sites.

References
----------
Karimireddy et al. (2020), SCAFFOLD: stochastic controlled averaging for federated learning, Algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from common.models.weights import Layout

if TYPE_CHECKING:
    from torch import nn

    from common.types import FlatWeights


@dataclass(frozen=True)
class ControlVariates:
    """What a site knows of gradients when a round begins; of running statistics the elements mean nothing.

    Attributes
    ----------
    own : float32 vector, shape (weights,)
        c_i: the mean gradient along the site's last steps; 0 before its first round.
    mean : float32 vector, shape (weights,)
        c: the mean of all sites' own, each with the weight that its updates have.
    """

    own: FlatWeights
    mean: FlatWeights

    @classmethod
    def of_first_round(cls, size: int) -> ControlVariates:
        """Nothing is known yet: the first round is one of FedAvg."""
        nothing: FlatWeights = np.zeros(size, dtype=np.float32)
        return cls(nothing, nothing)

    @classmethod
    def of_round(
        cls, own: FlatWeights, models: tuple[FlatWeights, FlatWeights], rates: float
    ) -> ControlVariates:
        """Of any later round.

        Parameters
        ----------
        own : float32 vector, shape (weights,)
            As the site's round before left it.
        models : two float32 vectors, shape (weights,)
            The global weights with which the round before began, and those with which this one begins.
        rates : float
            Sum of the learning rates of the steps of the round before, times the server's learning rate.
        """
        before, now = models
        mean: FlatWeights = before - now
        mean /= np.float32(rates)
        return cls(own, mean)

    @property
    def correction(self) -> FlatWeights:
        """What is added to the gradient of each of the site's steps: c - c_i."""
        difference: FlatWeights = self.mean - self.own
        return difference

    def renew(self, change: FlatWeights, rates: float) -> FlatWeights:
        """The site's own after the round, by option II: c_i - c + (x - y_i) / (sum of the learning rates).

        Parameters
        ----------
        change : float32 vector, shape (weights,)
            y_i - x: by how much the site's steps have moved the weights, as it is in the sites' sum: what is
            rounded away there would stay in all later corrections, and add up.
        rates : float
            Sum of the learning rates of these steps; K times the rate where all have the same.
        """
        renewed: FlatWeights = change / np.float32(-rates)
        renewed -= self.correction
        return renewed


class GradientCorrection:
    """Adds the same vector to the gradient of each step.

    Parameters
    ----------
    network : nn.Module
        On the device where it trains.
    correction : float32 vector, shape (weights,)
        In the network's layout; what no optimiser changes is not used.

    Raises
    ------
    ValueError
        If it has another size.
    """

    def __init__(self, network: nn.Module, correction: FlatWeights) -> None:
        layout = Layout.of(network)
        if correction.shape != (layout.size,):
            raise ValueError(f"a correction of shape {correction.shape} for {layout.size} weights")
        self._pairs = [
            (parameter, _place_part(correction[layout.slices[name]], parameter))
            for name, parameter in network.named_parameters()
        ]

    def add_gradient(self) -> None:
        """Add it to the gradients of a step."""
        with torch.no_grad():
            for parameter, part in self._pairs:
                if parameter.grad is not None:
                    parameter.grad.add_(part)


def _place_part(part: FlatWeights, parameter: torch.Tensor) -> torch.Tensor:
    """A part of the vector on the parameter's device, with its shape and its order in memory."""
    room = torch.empty_like(parameter, requires_grad=False)
    return room.copy_(torch.from_numpy(part.reshape(tuple(parameter.shape)).copy()))
