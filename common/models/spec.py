"""A network's architecture as a plan names it and the zoo builds it; no torch, so that plans load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal[
    "resnet101", "resnet152", "densenet121", "densenet201", "resnet18", "resnet10-narrow", "densenet-small"
]
"""The paper's four, and three small siblings for laptops and tests."""

IMAGENET_FAMILIES: frozenset[Family] = frozenset(
    {"resnet18", "resnet101", "resnet152", "densenet121", "densenet201"}
)
"""Families for which torchvision publishes ImageNet weights."""


@dataclass(frozen=True)
class NetworkSpec:
    """The complete architecture of one network.

    Attributes
    ----------
    family : Family
        The family of architectures.
    dimensions : {2, 3}
        2D convolutions, or the same family inflated to 3D.
    channels : {1, 3}
        Input channels: 1 slice, or 3 neighbouring slices.
    dropout : float
        Rate before the head (the paper: 0.5).
    """

    family: Family
    dimensions: Literal[2, 3] = 2
    channels: Literal[1, 3] = 1
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")

    @property
    def smallest_input(self) -> int:
        """Smallest input, in pixels along each axis, that leaves the network something to pool.

        A DenseNet halves its maps four times before the last block, rounding down; a ResNet rounds up.
        """
        return 29 if self.family.startswith("densenet") else 8
