"""A site's patients as tensors for training and scoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from common.errors import ModelError, NonFiniteError

if TYPE_CHECKING:
    from common.types import Flags, Pixels

_FLAT, _SOLID = 4, 5
"""Axes of a batch in 2D and 3D."""


@dataclass(frozen=True)
class Samples:
    """Inputs and outcomes of one part of a site's patients, in memory on one device.

    Attributes
    ----------
    images : float32 tensor, shape (n, channels, [z,] y, x)
        In [0, 1].
    labels : float32 tensor, shape (n,)
        1 for expansion, 0 for none.

    Raises
    ------
    ModelError
        If shapes or types do not fit, or a label is neither 0 nor 1.
    NonFiniteError
        If a pixel is NaN or infinite.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.float32 or images.ndim not in {_FLAT, _SOLID}:
            raise ModelError(
                f"images are {images.dtype} {tuple(images.shape)}; needed: float32 (n, channels, [z,] y, x)"
            )
        if labels.dtype != torch.float32 or labels.shape != images.shape[:1]:
            raise ModelError(
                f"{len(images)} images with labels {labels.dtype} {tuple(labels.shape)}; needed: float32 (n,)"
            )
        if not bool(((labels == 0) | (labels == 1)).all()):
            raise ModelError("a label is neither 0 (no expansion) nor 1 (expansion)")
        if not bool(torch.isfinite(images).all()):
            raise NonFiniteError("an image holds NaN or infinite pixels -> prepare the scans again")

    @classmethod
    def of(cls, images: Pixels, positives: Flags) -> Samples:
        """Samples on the CPU; they share memory with `images` where it is writable.

        Parameters
        ----------
        images : float32 array, shape (n, channels, [z,] y, x)
        positives : bool array, shape (n,)
        """
        pixels = np.require(images, np.float32, ["C", "W"])
        return cls(torch.from_numpy(pixels), torch.from_numpy(np.asarray(positives, dtype=np.float32)))

    def __len__(self) -> int:
        """Number of patients."""
        return len(self.labels)

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return self.images.ndim - 2

    @property
    def positives(self) -> int:
        """Number of patients with expansion."""
        return int(self.labels.sum())

    def to(self, device: torch.device) -> Samples:
        """The same samples on a device; this object itself if they are there already."""
        if self.images.device == device:
            return self
        return Samples(self.images.to(device), self.labels.to(device))
