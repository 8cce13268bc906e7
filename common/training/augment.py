"""Random flips, crops and shifts of a batch on its own device, in 2D and 3D by one resampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import affine_grid, grid_sample

if TYPE_CHECKING:
    from common.training.settings import TrainingSettings


def augments(settings: TrainingSettings) -> bool:
    """Whether the settings ask for any augmentation at all."""
    return settings.flip or settings.crop_fraction > 0 or settings.translation_fraction > 0


def draw_transforms(
    count: int, dimensions: int, settings: TrainingSettings, source: torch.Generator
) -> torch.Tensor:
    """Affine maps from output to input coordinates, shape (count, dimensions, dimensions + 1), on the CPU.

    Of each sample, a random part of every side (at least 1 - crop_fraction of it, anywhere) is enlarged to
    the full size, then shifted by up to translation_fraction of each side; half of all samples are mirrored
    left to right. The numbers are drawn on the CPU, so that every device uses the same transforms.

    Parameters
    ----------
    count : int
        Number of samples.
    dimensions : {2, 3}
        Dimensions of the images.
    settings : TrainingSettings
        The strength of each augmentation.
    source : torch.Generator
        Source of random numbers; the same number is drawn whichever augmentations are switched off.
    """
    uniform = torch.rand(count, 3, dimensions, generator=source)
    mirrored = torch.rand(count, generator=source) < 0.5
    kept = 1 - settings.crop_fraction * uniform[:, 0]
    # In coordinates where a side runs from -1 to 1, a part `kept` wide can lie up to 1 - kept off the centre.
    place = (1 - kept) * (2 * uniform[:, 1] - 1)
    shift = 2 * settings.translation_fraction * (2 * uniform[:, 2] - 1)
    scale = torch.diag_embed(kept)
    if settings.flip:
        # torch orders coordinates x, y, z: the first is left-right.
        scale[mirrored, 0, 0] *= -1
    return torch.cat([scale, (place + shift).unsqueeze(-1)], dim=-1)


def warp(images: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
    """The images resampled linearly; voxels from outside are 0, the lower end of the window.

    Parameters
    ----------
    images : float32 tensor, shape (n, channels, [z,] y, x)
        In [0, 1].
    transforms : float32 tensor, shape (n, d, d + 1), on the same device
        From `draw_transforms`.
    """
    grid = affine_grid(transforms, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
