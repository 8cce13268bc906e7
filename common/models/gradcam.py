"""Which parts of an image speak for a network's decision: Grad-CAM on its convolutional feature maps."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.visualize.class_activation_maps import GradCAM
from torch import nn

from common.errors import ModelError, NonFiniteError
from common.models.zoo import list_feature_maps

if TYPE_CHECKING:
    from common.types import Flags, Pixels

FEWEST_CELLS = 4
"""A feature map with fewer cells along a side says nothing about where: it colours the whole image."""


class _Decision(nn.Module):
    """A copy of a network whose logits grow with the decisions that are explained."""

    def __init__(self, network: nn.Module, signs: torch.Tensor) -> None:
        super().__init__()
        # Of the gradients, none but the images' and the maps' is needed
        self.network = deepcopy(network).requires_grad_(requires_grad=False).eval()
        self._signs = signs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The logit of expansion, or of no expansion, shape (n, 1)."""
        logits: torch.Tensor = self.network(images)
        return self._signs * logits


def attention(
    network: nn.Module, image: Pixels, *, layer: nn.Module | None = None, against: bool = False
) -> Pixels:
    """The attention map of one patient in [0, 1], shape ([z,] y, x) of the input's grid.

    The largest value is 1, unless nothing speaks for the decision: then the map is 0 everywhere.

    Parameters
    ----------
    network : nn.Module
        Gives one logit; left as it was, gradients included.
    image : float32 array, shape (channels, [z,] y, x)
        As in training.
    layer : nn.Module, optional
        Whose output is explained, by default the network's last feature maps that have at least 4 cells
        along each side. Nothing may change that output in place afterwards.
    against : bool
        Whether the map shows what speaks for "no expansion".

    Raises
    ------
    ModelError
        If the image is not one 2D or 3D image, or the layer takes no part in the network's logit.
    NonFiniteError
        If the map is not made of numbers.

    References
    ----------
    Selvaraju et al. (2017), Grad-CAM: visual explanations from deep networks via gradient-based
    localization, equations 1 and 2; of "no expansion" as in their section 3.2 (negated gradients).
    """
    if image.ndim not in {3, 4}:
        raise ModelError(f"an image has the shape (channels, [z,] y, x), not {image.shape}")
    heat: Pixels = attend_to_several(network, image[None], np.array([against]), layer)[0]
    return heat


def attend_to_several(
    network: nn.Module, images: Pixels, against: Flags, layer: nn.Module | None = None
) -> Pixels:
    """The attention maps of several patients at once, shape (n, [z,] y, x); each as that of `attention`.

    Parameters
    ----------
    network, layer
        As of `attention`.
    images : float32 array, shape (n, channels, [z,] y, x)
        As in training; together in memory.
    against : bool array, shape (n,)
        Of whom the map shows what speaks for "no expansion".

    Raises
    ------
    ModelError
        If the layer takes no part in the network's logit.
    NonFiniteError
        If a map is not made of numbers.
    """
    device = next(network.parameters()).device
    batch = torch.tensor(np.ascontiguousarray(images), dtype=torch.float32, device=device)
    signs = torch.tensor(np.where(against, -1.0, 1.0), dtype=torch.float32, device=device)[:, None]
    # MONAI leaves its hooks in the network, so a copy is explained
    decision = _Decision(network, signs)
    name = _choose_layer(decision.network, batch) if layer is None else _find_name(network, layer)
    explainer = GradCAM(decision, f"network.{name}", postprocessing=_scale_to_peak)
    try:
        with torch.enable_grad():
            heat = explainer(batch.requires_grad_(), class_idx=0)
    except KeyError:
        # MONAI looks for the layer's maps, which the network has not made
        raise ModelError(f"the layer {name} takes no part in the network's logit") from None
    # The copy's hooks hold the explainer: while it held the copy, only a garbage collection would free both
    explainer.nn_module.model = nn.Identity()
    pixels: Pixels = heat[:, 0].cpu().numpy()
    return pixels


def _find_name(network: nn.Module, layer: nn.Module) -> str:
    """The layer's name in the network.

    Raises
    ------
    ModelError
        If it has none.
    """
    for name, module in network.named_modules():
        if module is layer:
            return str(name)
    raise ModelError(f"the layer {type(layer).__name__} takes no part in the network's logit")


def _choose_layer(network: nn.Module, batch: torch.Tensor) -> str:
    """The last feature maps with enough cells along each side, or the finest that there are."""
    names, sides = list_feature_maps(network), dict[str, int]()

    def note_side(name: str, maps: torch.Tensor) -> None:
        sides[name] = min(maps.shape[2:])

    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _images, maps, name=name: note_side(name, maps)
        )
        for name in names
    ]
    try:
        with torch.no_grad():
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return next((name for name in names if sides[name] >= FEWEST_CELLS), names[-1])


def _scale_to_peak(heat: torch.Tensor) -> torch.Tensor:
    """Each map divided by its largest value; 0 everywhere where that is 0.

    Raises
    ------
    NonFiniteError
        If one holds NaN or infinity.
    """
    fine = heat.detach()
    peaks = fine.amax(dim=tuple(range(1, fine.ndim)), keepdim=True)
    if not bool(torch.isfinite(peaks).all()):
        raise NonFiniteError("the attention map is NaN or infinite -> the weights or the image are damaged")
    return torch.where(peaks > 0, fine / peaks.where(peaks > 0, torch.ones_like(peaks)), 0.0)
