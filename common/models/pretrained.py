"""ImageNet weights from torchvision's published files: found, verified, and mapped onto our 2D networks.

Nothing is downloaded. A file's name ends in the first eight hexadecimal digits of its own SHA-256, for
instance ``resnet101-63fe2227.pth``; the file is verified against them.

The published weights were trained on normalised colour images. A grey image has the same values in all three
channels. So a network with one input channel gets the first convolution summed over its input channels, which
gives the same response. A network of three slices takes the three channels unchanged. The head is not used:
it has 1000 classes, ours one.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from typing import TYPE_CHECKING

import torch

from common.errors import ModelError, StorageError
from common.models.spec import IMAGENET_FAMILIES
from common.runtime.regular_file import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from common.models.spec import Family, NetworkSpec

_NAME = re.compile(r"(?P<family>[a-z]+[0-9]+)-(?P<digits>[0-9a-f]{8})\.pth")
_DENSE_LAYER = re.compile(r"(denselayer\d+)\.(norm|conv)\.?([12])\.")
_HEADS = ("fc.", "classifier.", "class_layers.out.")
_FIRST_CONVOLUTIONS = ("conv1.weight", "features.conv0.weight")
_COUNTER = "num_batches_tracked"


def find_pretrained(family: Family, place: Path) -> Path:
    """The published file of this family: the given file, or the only matching one in a folder.

    Raises
    ------
    ModelError
        If there is none, there are several, or the name is not one of torchvision's for this family.
    """
    if family not in IMAGENET_FAMILIES:
        raise ModelError(
            f'torchvision publishes no ImageNet weights for {family} -> initialisation = "random"'
        )
    if place.is_dir():
        files = sorted(path for path in place.iterdir() if _is_file_of(path, family))
        if len(files) > 1:
            names = ", ".join(path.name for path in files)
            raise ModelError(f"{place} holds several files for {family} ({names}) -> give the one to use")
        if not files:
            raise ModelError(
                f"{place} holds no file {family}-XXXXXXXX.pth -> put torchvision's own file there"
            )
        return files[0]
    if not place.is_file():
        raise ModelError(f"{place}: no such file -> put torchvision's {family}-XXXXXXXX.pth there")
    if not _is_file_of(place, family):
        raise ModelError(
            f"{place.name} is not named {family}-XXXXXXXX.pth -> use torchvision's file and name"
        )
    return place


def load_pretrained(network: nn.Module, spec: NetworkSpec, place: Path) -> None:
    """Overwrite all tensors of a 2D network except its head with torchvision's weights.

    Parameters
    ----------
    network : nn.Module
        Built from `spec`; unchanged if anything is refused.
    spec : NetworkSpec
        The network's architecture.
    place : Path
        The published file, or a folder that holds it.

    Raises
    ------
    ModelError
        If the network is 3D, or the file is not found, is not what its name says, or does not fit exactly.
    """
    if spec.dimensions != 2:
        raise ModelError(f'no ImageNet weights exist for {spec.family} in 3D -> initialisation = "random"')
    path = find_pretrained(spec.family, place)
    state = translate(_read_verified(path), spec)
    expected = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(_HEADS)}
    wrong = sorted(
        name
        for name in expected.keys() | state.keys()
        if not name.endswith(_COUNTER)
        and (name not in expected or name not in state or expected[name].shape != state[name].shape)
    )
    if wrong:
        raise ModelError(
            f"{path.name} does not fit {spec.family}: {len(wrong)} tensor(s) differ, first {wrong[0]}"
        )
    with torch.no_grad():
        for name, target in expected.items():
            if name in state:
                target.copy_(state[name])


def translate(published: Mapping[str, torch.Tensor], spec: NetworkSpec) -> dict[str, torch.Tensor]:
    """Torchvision's state dict in our networks' names, with their input channels and without the head."""
    state: dict[str, torch.Tensor] = {}
    for name, tensor in published.items():
        if name.startswith(_HEADS):
            continue
        our_name = _DENSE_LAYER.sub(r"\1.layers.\2\3.", name)
        grey = our_name in _FIRST_CONVOLUTIONS and spec.channels == 1
        state[our_name] = tensor.sum(dim=1, keepdim=True) if grey else tensor
    return state


def _is_file_of(path: Path, family: Family) -> bool:
    match = _NAME.fullmatch(path.name)
    return match is not None and match["family"] == family


def _read_verified(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = read_regular(path)
    except OSError as failure:
        raise StorageError(f"{path} cannot be read: {failure.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    match = _NAME.fullmatch(path.name)
    if match is None or not digest.startswith(match["digits"]):
        raise ModelError(
            f"{path.name} has the SHA-256 {digest[:8]}..., not that of its name -> fetch it again"
        )
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as failure:
        raise ModelError(f"{path.name} is no state dict of weights: {str(failure)[:120]}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"{path.name} is no state dict of weights")
    return {str(name): tensor for name, tensor in state.items()}
