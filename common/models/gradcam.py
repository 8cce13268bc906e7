"""Which parts of an image speak for expansion: Grad-CAM on the last convolutional feature maps."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.visualize.class_activation_maps import GradCAM
from torch import nn

from common.errors import ModelError, NonFiniteError
from common.models.zoo import last_convolution

if TYPE_CHECKING:
    from common.types import Pixels


def attention(network: nn.Module, image: Pixels, *, layer: nn.Module | None = None) -> Pixels:
    """The attention map of one patient in [0, 1], shape ([z,] y, x) of the input's grid.

    The largest value is 1, unless nothing speaks for expansion: then the map is 0 everywhere.

    Parameters
    ----------
    network : nn.Module
        Gives one logit; left as it was, gradients included.
    image : float32 array, shape (channels, [z,] y, x)
        As in training.
    layer : nn.Module, optional
        Whose output is explained, the network's last convolutional feature maps by default. Nothing may
        change that output in place afterwards.

    Raises
    ------
    ModelError
        If the image is not one 2D or 3D image, or the layer takes no part in the network's logit.
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
    name = next((name for name, module in network.named_modules() if module is target), None)
    if name is None:
        raise ModelError(f"the layer {type(target).__name__} takes no part in the network's logit")
    device = next(network.parameters()).device
    batch = torch.tensor(np.ascontiguousarray(image[None]), dtype=torch.float32, device=device)
    # MONAI leaves its hooks in the network; of the gradients, none but the image's and the maps' is needed
    explainer = GradCAM(
        deepcopy(network).requires_grad_(requires_grad=False), name, postprocessing=_scale_to_peak
    )
    try:
        with torch.enable_grad():
            heat = explainer(batch.requires_grad_(), class_idx=0)
    except KeyError:
        # MONAI looks for the layer's maps, which the network has not made
        raise ModelError(f"the layer {name} takes no part in the network's logit") from None
    # The copy's hooks hold the explainer: while it held the copy, only a garbage collection would free both
    explainer.nn_module.model = nn.Identity()
    pixels: Pixels = heat[0, 0].cpu().numpy()
    return pixels


def _scale_to_peak(heat: torch.Tensor) -> torch.Tensor:
    """The map divided by its largest value.

    Raises
    ------
    NonFiniteError
        If it holds NaN or infinity.
    """
    fine = heat.detach()
    peak = fine.max()
    if not bool(torch.isfinite(peak)):
        raise NonFiniteError("the attention map is NaN or infinite -> the weights or the image are damaged")
    return fine / peak if float(peak) > 0 else torch.zeros_like(fine)
