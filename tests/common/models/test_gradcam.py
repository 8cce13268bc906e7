from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import ModelError, NonFiniteError
from common.models.gradcam import attend_to_several, attention
from common.models.spec import NetworkSpec
from common.models.weights import flatten
from common.models.zoo import build, last_convolution, list_feature_maps


class ByHand(nn.Module):
    """One convolution with given kernels, global mean, linear head: Grad-CAM can be done with a pencil."""

    def __init__(self, kernels: torch.Tensor, head: list[float], stride: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if kernels.ndim == 4 else nn.Conv3d
        size = kernels.shape[2]
        self.convolution = convolution(kernels.shape[1], kernels.shape[0], size, stride=stride, bias=False)
        self.convolution.weight = nn.Parameter(kernels)
        self.head = nn.Linear(len(head), 1)
        self.head.weight = nn.Parameter(torch.tensor([head]))

    def forward(self, images):
        return self.head(self.convolution(images).flatten(2).mean(dim=2))


def points(dimensions: int, channels: list[float]) -> torch.Tensor:
    return torch.tensor(channels).reshape(-1, 1, *[1] * dimensions)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_single_positive_map_is_the_attention_itself(dimensions):
    network = ByHand(points(dimensions, [2.0]), [3.0], stride=1)
    image = np.arange(4**dimensions, dtype=np.float32).reshape(1, *[4] * dimensions)
    result = attention(network, image, layer=network.convolution)
    assert result.dtype == np.float32
    assert result.shape == image.shape[1:]
    np.testing.assert_allclose(result, image[0] / image.max(), rtol=1e-6)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_maps_are_weighed_by_their_gradients_and_rectified(dimensions):
    # Maps x and -x with head weights 1 and 4: their sum x - 4x = -3x is nothing for expansion, x against it.
    network = ByHand(points(dimensions, [1.0, -1.0]), [1.0, 4.0], stride=1)
    image = np.zeros((1, *[3] * dimensions), dtype=np.float32)
    image[(0, *[1] * dimensions)] = 0.5
    image[(0, *[0] * dimensions)] = 0.25
    assert not attention(network, image, layer=network.convolution).any()
    opposite = ByHand(points(dimensions, [1.0, -1.0]), [-1.0, -4.0], stride=1)
    against = attention(opposite, image, layer=opposite.convolution)
    np.testing.assert_allclose(against, image[0] * 2, rtol=1e-6)


def test_the_decision_against_expansion_has_a_map_of_its_own():
    # The map x speaks for expansion where it is positive, and against it where it is negative.
    network = ByHand(points(2, [1.0]), [2.0], stride=1)
    image = np.array([[[-1.0, 0.5], [0.25, -0.5]]], dtype=np.float32)
    of_expansion = attention(network, image, layer=network.convolution)
    of_the_other = attention(network, image, layer=network.convolution, against=True)
    np.testing.assert_allclose(of_expansion, [[0, 1], [0.5, 0]], rtol=1e-6)
    np.testing.assert_allclose(of_the_other, [[1, 0], [0, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_several_patients_have_the_maps_that_each_has_alone(dimensions):
    network = build(NetworkSpec("resnet10-narrow", dimensions), seed=3).eval()
    images = np.random.default_rng(4).random((4, 1, *[32] * dimensions), dtype=np.float32)
    images[3] = 0
    against = np.array([False, True, False, True])

    together = attend_to_several(network, images, against)

    for image, is_against, heat in zip(images, against.tolist(), together, strict=True):
        np.testing.assert_allclose(heat, attention(network, image, against=is_against), atol=1e-4)
    assert {float(heat.max()) for heat in together} <= {0.0, 1.0}


class Rectified(ByHand):
    def forward(self, images):
        return self.head(torch.relu(self.convolution(images)).flatten(2).mean(dim=2))


def test_importance_is_the_mean_gradient():
    # Maps x and -x, rectified afterwards; x is positive at 3 of 4 positions. So the gradients of the
    # maps average to 1 * 3/16 and 2 * 1/16, and their weighted sum is (3x - 2x)/16.
    network = Rectified(points(2, [1.0, -1.0]), [1.0, 2.0], stride=1)
    image = np.array([[[-1.0, 0.5], [0.75, 2.0]]], dtype=np.float32)
    result = attention(network, image, layer=network.convolution)
    np.testing.assert_allclose(result, [[0, 0.25], [0.375, 1]], rtol=1e-6)


def test_coarse_maps_are_interpolated_to_the_grid_of_the_input_in_2d():
    # A 4 x 4 image averaged over 2 x 2 fields gives the map [[1, 0], [0, 0]]; the inner pixels lie at 1/4 and
    # 3/4 of the way between the fields' centres.
    network = ByHand(torch.full((1, 1, 2, 2), 0.25), [1.0], stride=2)
    image = np.zeros((1, 4, 4), dtype=np.float32)
    image[0, :2, :2] = 1
    side = np.array([1, 0.75, 0.25, 0])
    result = attention(network, image, layer=network.convolution)
    np.testing.assert_allclose(result, np.outer(side, side), atol=1e-6)


def test_coarse_maps_are_interpolated_to_the_grid_of_the_input_in_3d():
    network = ByHand(torch.full((1, 1, 2, 2, 2), 0.125), [1.0], stride=2)
    image = np.zeros((1, 4, 4, 6), dtype=np.float32)
    image[0, 2:, :2, :2] = 1
    z, y, x = np.array([0, 0.25, 0.75, 1]), np.array([1, 0.75, 0.25, 0]), np.array([1, 0.75, 0.25, 0, 0, 0])
    result = attention(network, image, layer=network.convolution)
    np.testing.assert_allclose(result, np.einsum("i,j,k->ijk", z, y, x), atol=1e-6)


@pytest.mark.parametrize("family", ["resnet10-narrow", "densenet-small"])
@pytest.mark.parametrize(("dimensions", "size"), [(2, 96), (3, 64)])
def test_on_the_studys_networks_it_is_the_class_activation_map(family, dimensions, size):
    # Pooling and head are linear, so the gradient of map k is its head weight over the number of positions
    # (Zhou et al. 2016): no derivative is needed to know the answer.
    network = build(NetworkSpec(family, dimensions), seed=3).eval()
    image = np.random.default_rng(4).random((1, *[size] * dimensions), dtype=np.float32)
    maps = []
    handle = last_convolution(network).register_forward_hook(
        lambda _m, _i, output: maps.append(output.clone())
    )
    with torch.no_grad():
        network(torch.from_numpy(image[None]))
    handle.remove()
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    mode = "bilinear" if dimensions == 2 else "trilinear"
    spread = 0.0
    for sign in (1, -1):
        linear.weight.data *= sign
        class_map = torch.relu(torch.einsum("k,k...->...", linear.weight[0].detach(), maps[0][0]))
        fine = nn.functional.interpolate(class_map[None, None], size=image.shape[1:], mode=mode)[0, 0]
        expected = fine / fine.max().clamp(min=1e-30)
        found = attention(network, image, layer=last_convolution(network))
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
        spread += float(expected.std())
    assert spread > 0


@pytest.mark.parametrize(
    ("family", "dimensions", "size", "stage"),
    [
        ("resnet10-narrow", 2, 128, "layer4"),
        ("resnet10-narrow", 2, 96, "layer3"),
        ("resnet10-narrow", 3, 32, "layer2"),
        ("densenet-small", 2, 128, "class_layers.relu"),
        ("densenet-small", 2, 96, "features.transition3.relu"),
        ("densenet-small", 3, 32, "features.transition2.relu"),
    ],
)
def test_a_map_has_at_least_four_cells_a_side(family, dimensions, size, stage):
    # The last maps of a 3D network of 32 voxels a side have one cell, which colours the whole image.
    network = build(NetworkSpec(family, dimensions), seed=3).eval()
    image = np.random.default_rng(4).random((1, *[size] * dimensions), dtype=np.float32)

    def explain_both(layer=None):
        return np.stack(
            [attention(network, image, layer=layer, against=against) for against in (False, True)]
        )

    by_stage = {name: explain_both(network.get_submodule(name)) for name in list_feature_maps(network)}
    chosen = explain_both()
    same = [name for name, maps in by_stage.items() if np.abs(maps - chosen).max() < 1e-4]
    assert same == [stage]


def blobs(count):
    """Noise, of which every second image has a bright square in its upper left quarter, and which have it."""
    images = np.random.default_rng(0).normal(0, 0.1, (count, 1, 32, 32)).astype(np.float32)
    images[::2, :, 4:12, 4:12] += 1
    return images, np.arange(count) % 2 == 0


def learn_blobs(seed):
    """A network that has learnt to tell the bright squares."""
    images, labels = (torch.from_numpy(array) for array in blobs(32))
    network = build(NetworkSpec("resnet10-narrow"), seed=seed).train()
    optimiser = torch.optim.Adam(network.parameters(), 0.003)
    for _ in range(60):
        logits = network(images)[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def randomise(network, seed):
    """The same network with random weights in all layers, and in its last alone."""
    fresh = build(NetworkSpec("resnet10-narrow"), seed=100 + seed).eval()
    headless = build(NetworkSpec("resnet10-narrow")).eval()
    headless.load_state_dict(network.state_dict() | {f"fc.{k}": v for k, v in fresh.fc.state_dict().items()})
    return fresh, headless


def test_the_map_depends_on_what_the_network_learned():
    """A map that random weights give too would be an edge detector (Adebayo et al. 2018, section 3).

    Trainings end apart on processors of different makes: means over a quarter and over four networks do not.
    """
    image = blobs(1)[0][0]
    upper_left = np.zeros((32, 32), bool)
    upper_left[:16, :16] = True
    inside, outside, likeness = [], [], []
    for seed in range(1, 5):
        network = learn_blobs(seed)
        learned = attention(network, image)
        inside.append(learned[upper_left].mean())
        outside.append(learned[~upper_left].mean())
        others = [attention(random, image) for trial in range(3) for random in randomise(network, trial)]
        likeness += [np.corrcoef(learned.ravel(), m.ravel())[0, 1] if m.any() else 0.0 for m in others]

    assert np.mean(inside) > 1.5 * np.mean(outside), (inside, outside)
    assert np.mean(likeness) < 0.6, likeness


def test_the_network_is_left_as_it_was():
    network = build(NetworkSpec("densenet-small"), seed=1).train()
    network.features.conv0.weight.requires_grad_(requires_grad=False)
    before = flatten(network)
    attention(network, np.random.default_rng(0).random((1, 64, 64), dtype=np.float32))
    assert network.training
    assert flatten(network).tobytes() == before.tobytes()
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.features.conv0.weight.requires_grad
    assert not any(module._forward_hooks for module in network.modules())


def test_frozen_networks_and_callers_without_gradients_are_explained_too():
    network = build(NetworkSpec("resnet10-narrow"), seed=1)
    image = np.random.default_rng(0).random((1, 64, 64), dtype=np.float32)
    free = attention(network, image)
    network.requires_grad_(requires_grad=False)
    with torch.no_grad():
        np.testing.assert_allclose(attention(network, image), free, atol=1e-5)


def test_refusals():
    network = build(NetworkSpec("resnet10-narrow"), seed=1)
    with pytest.raises(ModelError, match=r"not \(64, 64\)"):
        attention(network, np.zeros((64, 64), np.float32))
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        attention(network, np.full((1, 64, 64), np.nan, np.float32))
    with pytest.raises(ModelError, match="takes no part"):
        attention(network, np.zeros((1, 64, 64), np.float32), layer=nn.Identity())
    network.unused = nn.Identity()
    with pytest.raises(ModelError, match="unused takes no part"):
        attention(network, np.zeros((1, 64, 64), np.float32), layer=network.unused)
    assert not any(module._forward_hooks for module in network.modules())
