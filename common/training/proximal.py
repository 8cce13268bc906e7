"""FedProx' penalty on a site's training (Li et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from common.models.weights import Layout, check_weights

if TYPE_CHECKING:
    from torch import nn

    from common.types import FlatWeights


class Proximal:
    """FedProx' penalty: mu/2 times the squared distance of the trained weights from an anchor.

    Only its gradient is needed. It acts on what an optimiser changes, not on BatchNorm's buffers.

    Parameters
    ----------
    network : nn.Module
        On the device where it trains.
    mu : float
        Strength of the penalty.
    anchor : FlatWeights or None
        In the network's layout, shape (layout.size,); None takes the network's present weights.

    Raises
    ------
    ModelError
        If the anchor does not fit the network.
    NonFiniteError
        If the anchor holds a value that is not finite.

    References
    ----------
    Li et al. (2020), Federated optimization in heterogeneous networks, equation 2.
    """

    def __init__(self, network: nn.Module, mu: float, anchor: FlatWeights | None) -> None:
        self._mu = mu
        self._parameters = list(network.parameters())
        self._anchor = [parameter.detach().clone() for parameter in self._parameters]
        if anchor is not None:
            self._move_anchor(network, anchor)

    def add_gradient(self) -> None:
        """Add mu (w - anchor) to the gradients of a step."""
        with torch.no_grad():
            for parameter, anchor in zip(self._parameters, self._anchor, strict=True):
                if parameter.grad is not None:
                    parameter.grad.add_(parameter - anchor, alpha=self._mu)

    def _move_anchor(self, network: nn.Module, flat: FlatWeights) -> None:
        layout = Layout.of(network)
        check_weights(flat, layout)
        for (name, parameter), target in zip(network.named_parameters(), self._anchor, strict=True):
            target.copy_(torch.tensor(flat[layout.slices[name]].reshape(tuple(parameter.shape))))
