from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from common.errors import ModelError
from common.models.spec import Family, NetworkSpec
from common.models.zoo import build, last_convolution

# Parameters with 1000 classes and colour input, as torchvision's documentation of each model states them.
PUBLISHED_PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "densenet121": 7_978_856,
    "densenet201": 20_013_928,
}
HEAD_INPUTS = {
    "resnet18": 512,
    "resnet101": 2048,
    "resnet152": 2048,
    "densenet121": 1024,
    "densenet201": 1920,
}
ONE_OF_EACH = ("resnet10-narrow", "densenet-small")
"""A small member of each kind, cheap enough to be built with its weights."""


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(spec: NetworkSpec) -> nn.Module:
    """The network without memory for its weights: shapes only, at once."""
    with torch.device("meta"):
        return build(spec)


@pytest.mark.parametrize("family", PUBLISHED_PARAMETERS)
def test_2d_networks_have_torchvisions_number_of_parameters_but_for_the_head(family):
    features = HEAD_INPUTS[family]
    expected = PUBLISHED_PARAMETERS[family] - 1000 * (features + 1) + (features + 1)
    assert parameters(on_meta(NetworkSpec(family, channels=3))) == expected


@pytest.mark.parametrize(
    ("family", "millions"),
    [("resnet101", 85.2), ("resnet152", 117.4), ("densenet121", 11.2), ("densenet201", 25.3)],
)
def test_3d_networks_have_the_number_of_parameters_that_the_specification_states(family, millions):
    assert parameters(on_meta(NetworkSpec(family, 3))) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("family", get_args(Family))
@pytest.mark.parametrize(("dimensions", "size", "coarse"), [(2, 224, 7), (3, 112, None)])
def test_every_network_gives_one_logit_a_patient_from_the_papers_inputs(family, dimensions, size, coarse):
    network = on_meta(NetworkSpec(family, dimensions))
    maps = []
    last_convolution(network).register_forward_hook(lambda _m, _i, output: maps.append(output.shape))
    logits = network(torch.empty(2, 1, *[size] * dimensions, device="meta"))
    assert logits.shape == (2, 1)
    # 112 halves to 56, 28, 14, 7 and then 4 where a convolution does it, 3 where DenseNet's pooling does.
    expected = coarse or (3 if family.startswith("densenet") else 4)
    assert maps[0][2:] == torch.Size([expected] * dimensions)


@pytest.mark.parametrize("family", ONE_OF_EACH)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_last_convolution_is_what_the_head_sees_averaged(family, dimensions):
    network = build(NetworkSpec(family, dimensions)).eval()
    seen = {}
    last_convolution(network).register_forward_hook(lambda _m, _i, output: seen.update(maps=output.clone()))
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    head.register_forward_pre_hook(lambda _m, inputs: seen.update(pooled=inputs[0].clone()))
    with torch.no_grad():
        network(torch.rand(2, 1, *[64] * dimensions))
    averaged = seen["maps"].flatten(2).mean(dim=2)
    assert seen["maps"][0, 0].numel() > 1
    assert torch.allclose(averaged, seen["pooled"], atol=1e-6)


@pytest.mark.parametrize("family", ONE_OF_EACH)
def test_dropout_precedes_the_head_and_only_trains(family):
    network = build(NetworkSpec(family, dropout=0.5))
    modules = list(network.modules())
    dropouts = [index for index, module in enumerate(modules) if isinstance(module, nn.Dropout)]
    assert len(dropouts) == 1
    assert modules[dropouts[0]].p == 0.5
    assert isinstance(modules[dropouts[0] + 1], nn.Linear)
    images = torch.rand(2, 1, 32, 32)
    network.eval()
    assert torch.equal(network(images), network(images))
    for module in modules:
        if isinstance(module, nn.Dropout):
            module.train()
    assert not torch.equal(network(images), network(images))


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before():
    spec = NetworkSpec("densenet-small")
    first = build(spec, seed=7).state_dict()
    torch.rand(11)
    state_before = torch.random.get_rng_state()
    second = build(spec, seed=7).state_dict()
    other = build(spec, seed=8).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["features.conv0.weight"], other["features.conv0.weight"])
    assert torch.equal(torch.random.get_rng_state(), state_before)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("family", ONE_OF_EACH)
def test_channels_are_the_first_convolutions_inputs(family, channels):
    network = build(NetworkSpec(family, channels=channels)).eval()
    assert network(torch.rand(1, channels, 32, 32)).shape == (1, 1)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("family", get_args(Family))
def test_the_smallest_input_is_the_smallest_that_works(family, dimensions):
    spec = NetworkSpec(family, dimensions)
    network = on_meta(spec)
    smallest = spec.smallest_input
    assert network(torch.empty(2, 1, *[smallest] * dimensions, device="meta")).shape == (2, 1)
    if smallest > 8:
        with pytest.raises(RuntimeError, match=r"too small|smaller than kernel"):
            network(torch.empty(2, 1, *[smallest - 1] * dimensions, device="meta"))


def test_a_foreign_network_has_no_known_last_convolution():
    with pytest.raises(ModelError, match="Linear is none of the study's networks"):
        last_convolution(nn.Linear(2, 1))
