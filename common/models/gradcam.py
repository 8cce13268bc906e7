"""Which parts of an image speak for expansion: Grad-CAM on the last convolutional feature maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from common.errors import ModelError, NonFiniteError
from common.models.zoo import last_convolution

if TYPE_CHECKING:
    from torch import nn

    from common.types import Pixels


def attention(
    network: nn.Module, image: Pixels, *, layer: nn.Module | None = None, expansion: bool = True
) -> Pixels:
    """The attention map of one patient in [0, 1], shape ([z,] y, x) of the input's grid.

    The largest value is 1, unless nothing speaks for the class: then the map is 0 everywhere.

    Parameters
    ----------
    network : nn.Module
        Gives one logit; left as it was, gradients included.
    image : float32 array, shape (channels, [z,] y, x)
        As in training.
    layer : nn.Module, optional
        Whose output is explained; by default the network's last convolutional feature maps.
    expansion : bool
        True for what speaks for expansion, False for what speaks against it.

    Raises
    ------
    ModelError
        If the image is not one 2D or 3D image, or the layer takes no part in the logit.
    NonFiniteError
        If the map is not made of numbers.

    References
    ----------
    Selvaraju et al. (2017), Grad-CAM: visual explanations from deep networks via gradient-based
    localization, equations 1 and 2.
    """
    if image.ndim not in {3, 4}:
        raise ModelError(f"an image has the shape (channels, [z,] y, x), not {image.shape}")
    target = last_convolution(network) if layer is None else layer
    activations, gradients = _activations_and_gradients(network, target, image)
    grid = tuple(range(2, activations.ndim))
    importance = (gradients if expansion else -gradients).mean(dim=grid, keepdim=True)
    coarse = torch.relu((importance * activations).sum(dim=1, keepdim=True))
    mode = "bilinear" if len(grid) == 2 else "trilinear"
    fine = interpolate(coarse, size=image.shape[1:], mode=mode, align_corners=False)[0, 0]
    peak = fine.max()
    if not bool(torch.isfinite(peak)):
        raise NonFiniteError("the attention map is NaN or infinite -> the weights or the image are damaged")
    scaled: Pixels = (fine / peak if float(peak) > 0 else torch.zeros_like(fine)).cpu().numpy()
    return scaled


def _activations_and_gradients(
    network: nn.Module, layer: nn.Module, image: Pixels
) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer's output and the logit's gradient in it, shapes (1, k, [z,] y, x)."""
    seen: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        seen.append(output)
        # What follows may work in place; what was kept must not change under it.
        return output.clone()

    device = next(network.parameters()).device
    batch = torch.tensor(np.ascontiguousarray(image[None]), dtype=torch.float32, device=device)
    training = network.training
    network.eval()
    handle = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            # With the image as a leaf the graph exists even where the weights are frozen.
            logit = network(batch.requires_grad_()).sum()
    finally:
        handle.remove()
        network.train(training)
    if not seen:
        raise ModelError(f"the layer {type(layer).__name__} takes no part in the network's logit")
    (gradient,) = torch.autograd.grad(logit, seen[-1])
    return seen[-1].detach(), gradient
