"""The study's networks, 2D and 3D by one builder over MONAI; each ends in one logit of expansion.

The settings that make MONAI's networks equal torchvision's (stride 2 in the stem, no bias in the shortcuts,
projection shortcuts) are fixed here. With MONAI's defaults the published ImageNet weights load without an
error but give other logits.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from monai.networks.nets.densenet import DenseNet, _DenseLayer, _Transition
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from torch import nn

from common.errors import ModelError

if TYPE_CHECKING:
    from common.models.spec import Family, NetworkSpec


@dataclass(frozen=True)
class _ResNetShape:
    """One member of the family of He et al. (2016), Table 1."""

    block: Literal["basic", "bottleneck"]
    depths: tuple[int, int, int, int]
    planes: tuple[int, int, int, int] = (64, 128, 256, 512)

    def build(self, spec: NetworkSpec) -> nn.Module:
        """The network, with dropout before its head."""
        network: nn.Module = ResNet(
            block=self.block,
            layers=list(self.depths),
            block_inplanes=list(self.planes),
            spatial_dims=spec.dimensions,
            n_input_channels=spec.channels,
            conv1_t_stride=2,
            shortcut_type="B",
            bias_downsample=False,
            num_classes=1,
        )
        head = OrderedDict(out=network.get_submodule("fc"))
        network.register_module("fc", _add_dropout(head, spec.dropout))
        return network


@dataclass(frozen=True)
class _DenseNetShape:
    """One member of the family of Huang et al. (2017), Table 1."""

    depths: tuple[int, int, int, int]
    initial_planes: int = 64
    growth: int = 32

    def build(self, spec: NetworkSpec) -> nn.Module:
        """The network, with dropout before its head."""
        network: nn.Module = DenseNet(
            spatial_dims=spec.dimensions,
            in_channels=spec.channels,
            out_channels=1,
            init_features=self.initial_planes,
            growth_rate=self.growth,
            block_config=self.depths,
        )
        head = OrderedDict(network.get_submodule("class_layers").named_children())
        network.register_module("class_layers", _add_dropout(head, spec.dropout))
        return network


_SHAPES: dict[Family, _ResNetShape | _DenseNetShape] = {
    "resnet10-narrow": _ResNetShape("basic", (1, 1, 1, 1), (16, 32, 64, 128)),
    "resnet18": _ResNetShape("basic", (2, 2, 2, 2)),
    "resnet101": _ResNetShape("bottleneck", (3, 4, 23, 3)),
    "resnet152": _ResNetShape("bottleneck", (3, 8, 36, 3)),
    "densenet-small": _DenseNetShape((2, 2, 2, 2), initial_planes=16, growth=8),
    "densenet121": _DenseNetShape((6, 12, 24, 16)),
    "densenet201": _DenseNetShape((6, 12, 48, 32)),
}

_FEATURE_MAPS: dict[type[nn.Module], tuple[str, ...]] = {
    ResNet: ("layer4", "layer3", "layer2", "layer1"),
    DenseNet: ("class_layers.relu", *(f"features.transition{stage}.relu" for stage in (3, 2, 1))),
}
"""Each family's submodules that end a stage, from the last, whose outputs the global pooling averages."""

_BLOCKS = (ResNetBlock, ResNetBottleneck, _DenseLayer, _Transition)


def build(spec: NetworkSpec, seed: int = 0) -> nn.Module:
    """A network with random initial weights that maps (n, channels, [z,] y, x) to logits (n, 1).

    Batch normalisation follows every convolution; dropout precedes the head.

    Parameters
    ----------
    spec : NetworkSpec
        Family, dimensions, channels and dropout.
    seed : int
        Seed of the initial weights: the same seed gives the same bits, whatever was drawn before.

    References
    ----------
    He et al. (2016), Deep residual learning for image recognition.
    Huang et al. (2017), Densely connected convolutional networks.
    """
    with torch.random.fork_rng(devices=[]):
        # The processor's generator draws them; seeding absent accelerators, too, formats the stack each time
        torch.default_generator.manual_seed(seed)
        return _SHAPES[spec.family].build(spec)


def last_convolution(network: nn.Module) -> nn.Module:
    """The module whose outputs are the last convolutional feature maps, which the global pooling averages.

    It is the last residual stage of a ResNet, and the rectified last normalisation of a DenseNet. At this
    place Grad-CAM equals the class activation map, because pooling and head are linear.

    Raises
    ------
    ModelError
        If the network is not one of `build`.
    """
    return network.get_submodule(list_feature_maps(network)[0])


def list_feature_maps(network: nn.Module) -> tuple[str, ...]:
    """The submodules whose outputs end a stage, from the last stage to the first, which is the finest.

    Nothing changes these outputs in place afterwards; a DenseNet's are the rectified maps before a pooling.

    Raises
    ------
    ModelError
        If the network is not one of `build`.
    """
    for kind, names in _FEATURE_MAPS.items():
        if isinstance(network, kind):
            return names
    raise ModelError(
        f"{type(network).__name__} is none of the study's networks -> build it from a NetworkSpec"
    )


def list_blocks(network: nn.Module) -> list[nn.Module]:
    """The parts that one after the other make nearly all of a network: blocks, layers, transitions."""
    return [module for module in network.modules() if isinstance(module, _BLOCKS)]


def _add_dropout(head: OrderedDict[str, nn.Module], rate: float) -> nn.Sequential:
    head["dropout"] = nn.Dropout(rate)
    head.move_to_end("out")
    return nn.Sequential(head)
