from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from common.errors import ModelError, NonFiniteError
from common.models.spec import NetworkSpec
from common.models.weights import BATCHNORM, Layout, check_weights, flatten, load_flat
from common.models.zoo import build


def tiny() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


LAYOUT = Layout.of(tiny())
COUNTER = LAYOUT.slices["1.num_batches_tracked"].start
VARIANCES = LAYOUT.slices["1.running_var"]


def test_the_flat_weights_of_a_module_written_by_hand():
    module = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 2.0]]))
        module[0].bias.fill_(3)
        module[1].weight.fill_(4)
        module[1].bias.fill_(5)
        module[1].running_mean.fill_(6)
        module[1].running_var.fill_(7)
        module[1].num_batches_tracked.fill_(8)
    flat = flatten(module)
    assert flat.dtype == np.float32
    assert flat.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@given(
    hnp.arrays(np.float32, LAYOUT.size, elements=st.floats(-(2.0**90), 2.0**90, width=32)),
    st.integers(0, 2**24),
)
def test_every_finite_vector_comes_back_bit_for_bit(flat, count):
    flat[VARIANCES] = np.abs(flat[VARIANCES])
    flat[COUNTER] = count
    module = tiny()
    load_flat(module, flat, LAYOUT)
    assert flatten(module).tobytes() == flat.tobytes()
    assert int(module[1].num_batches_tracked) == count
    assert module[1].num_batches_tracked.dtype == torch.int64


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("family", ["resnet10-narrow", "densenet-small"])
def test_a_network_restored_from_its_vector_answers_the_same(family, dimensions):
    spec = NetworkSpec(family, dimensions)
    images = torch.rand(2, 1, *[32] * dimensions)
    first, second = build(spec, 1), build(spec, 2)
    first(images)
    load_flat(second, flatten(first), Layout.of(first))
    assert torch.equal(first.eval()(images), second.eval()(images))


def test_the_vector_is_a_copy():
    module = tiny()
    flat = flatten(module)
    before = module[0].weight.detach().clone()
    flat += 1
    assert torch.equal(module[0].weight, before)
    load_flat(module, np.abs(flat), LAYOUT)
    kept = flatten(module)
    flat += 1
    assert np.array_equal(flatten(module), kept)


def test_memory_format_does_not_change_the_vector():
    network = build(NetworkSpec("resnet10-narrow"), 3)
    flat = flatten(network)
    network.to(memory_format=torch.channels_last)
    assert flatten(network).tobytes() == flat.tobytes()
    load_flat(network, flat, Layout.of(network))
    assert flatten(network).tobytes() == flat.tobytes()


def test_an_averaged_counter_is_rounded():
    module, flat = tiny(), flatten(tiny())
    flat[COUNTER] = 7.6
    load_flat(module, flat, LAYOUT)
    assert int(module[1].num_batches_tracked) == 8


def test_a_variance_that_rounding_made_negative_is_zero():
    module, flat = tiny(), flatten(tiny())
    flat[VARIANCES] = [-1e-7, 0.0, 2.0]
    load_flat(module, flat, LAYOUT)
    assert module[1].running_var.tolist() == [0, 0, 2]


def test_a_counter_that_float32_cannot_hold_is_refused():
    module = tiny()
    module[1].num_batches_tracked.fill_(2**24 + 1)
    with pytest.raises(ModelError, match=r"num_batches_tracked = 16777217"):
        flatten(module)


def test_keeping_ones_own_batch_normalisation():
    own, average = build(NetworkSpec("densenet-small"), 1), build(NetworkSpec("densenet-small"), 2)
    own(torch.rand(4, 1, 32, 32))
    layout = Layout.of(own)
    mixed = np.where(layout.mask(BATCHNORM), flatten(own), flatten(average))
    load_flat(average, mixed, layout)
    for (name, mine), received in zip(own.state_dict().items(), average.state_dict().values(), strict=True):
        is_norm = ".norm" in name
        assert torch.equal(mine, received) == is_norm or "bias" in name


def replaced(flat: np.ndarray, where: slice, value: float) -> np.ndarray:
    flat[where] = value
    return flat


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda flat: flat[:-1], ModelError, r"\(25,\).*\(26,\)"),
        (lambda flat: flat.astype(np.float64), ModelError, "float64"),
        (lambda flat: flat.reshape(2, -1), ModelError, r"\(2, 13\)"),
        (lambda flat: replaced(flat, slice(10, 11), np.nan), NonFiniteError, r"1 weight\(s\).*1\.weight"),
        (lambda flat: replaced(flat, slice(23, None), np.inf), NonFiniteError, r"3 weight\(s\).*2\.weight"),
        (lambda flat: replaced(flat, VARIANCES, -1), ModelError, r"1\.running_var.*negative"),
    ],
)
def test_damaged_vectors_are_refused_and_change_nothing(damage, error, message):
    module = tiny()
    before = flatten(module)
    damaged = damage(before.copy())
    with pytest.raises(error, match=message):
        load_flat(module, damaged, LAYOUT)
    with pytest.raises(error, match=message):
        check_weights(damaged, LAYOUT)
    assert flatten(module).tobytes() == before.tobytes()


@settings(max_examples=30)
@given(st.integers(0, LAYOUT.size - 1), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_no_place_is_overlooked(position, value):
    flat = np.ones(LAYOUT.size, dtype=np.float32)
    flat[position] = value
    with pytest.raises(NonFiniteError):
        load_flat(tiny(), flat, LAYOUT)


def test_another_networks_layout_is_refused():
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(3), nn.Linear(3, 1))
    with pytest.raises(ModelError, match="do not fit this network"):
        load_flat(other, flatten(other), LAYOUT)
