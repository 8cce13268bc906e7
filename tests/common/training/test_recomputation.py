"""A memory that does not suffice for a step costs time and no bit."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import torch

from common.errors import MemoryShortageError
from common.models.spec import NetworkSpec
from common.models.zoo import build, list_blocks
from common.training import recomputation
from common.training.dataset import Samples
from common.training.loop import Schedule, score, train
from common.training.settings import TrainingSettings

SETTINGS = TrainingSettings(batch_size=4, learning_rate=0.003)
SCHEDULE = Schedule(epochs=2, seed=3)
FAMILIES = [("resnet10-narrow", 2, 16), ("densenet-small", 2, 32), ("resnet10-narrow", 3, 16)]


@pytest.fixture(autouse=True)
def _forget():
    yield
    recomputation._short.clear()


def make_samples(dimensions, size, patients=10):
    images = np.random.default_rng(0).random((patients, 1, *[size] * dimensions), dtype=np.float32)
    return Samples.of(images, np.arange(patients) % 3 == 0)


def be_short(network, times, *, at, backward=False):
    """Let the memory be too small from the given pass of the last block on, so many times."""
    passes, left = 0, [times]

    def fail(*_):
        nonlocal passes
        passes += 1
        if passes >= at and left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    block = list_blocks(network)[-1]
    block.register_full_backward_hook(fail) if backward else block.register_forward_hook(fail)


def state_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("case", FAMILIES)
@pytest.mark.parametrize(("at", "backward"), [(1, False), (4, True)])
def test_a_step_that_ran_out_of_memory_has_the_same_bits(case, at, backward, caplog):
    family, dimensions, size = case
    samples = make_samples(dimensions, size)
    plenty, short = (build(NetworkSpec(family, dimensions)) for _ in range(2))
    log = train(plenty, samples, SETTINGS, SCHEDULE)
    be_short(short, 1, at=at, backward=backward)

    with caplog.at_level(logging.WARNING, logger="common.training"):
        again = train(short, samples, SETTINGS, SCHEDULE)

    assert again == log
    assert_same(state_of(plenty), state_of(short))
    assert [record.message for record in caplog.records].count(
        "the memory does not suffice: each block is computed twice, which takes longer"
    ) == 1


def test_blocks_are_forgotten_and_computed_again():
    network = build(NetworkSpec("resnet10-narrow"))
    passes = []
    for block in list_blocks(network):
        block.conv1.register_forward_hook(lambda *_: passes.append(1))
    recomputation._short.add(network)

    log = train(network, make_samples(2, 16), SETTINGS, Schedule(epochs=1, seed=3))

    assert len(passes) == 2 * log.steps * len(list_blocks(network))


def test_the_network_is_left_as_it_was_and_remembered():
    network, samples = build(NetworkSpec("resnet10-narrow")), make_samples(2, 16)
    be_short(network, 1, at=1)
    train(network, samples, SETTINGS, SCHEDULE)

    assert all("forward" not in vars(block) for block in list_blocks(network))
    assert network in recomputation._short
    other = copy.deepcopy(network)
    assert np.array_equal(
        score(other, samples.images, torch.device("cpu")), score(network, samples.images, torch.device("cpu"))
    )


def test_a_memory_that_does_not_suffice_for_that_either_is_told():
    network = build(NetworkSpec("resnet10-narrow"))
    be_short(network, 2, at=1)

    with pytest.raises(MemoryShortageError, match="plan smaller batches"):
        train(network, make_samples(2, 16), SETTINGS, SCHEDULE)

    assert all("forward" not in vars(block) for block in list_blocks(network))


def test_another_failure_is_not_tried_again():
    network = build(NetworkSpec("resnet10-narrow"))
    calls = []

    def fail(*_):
        calls.append(1)
        raise RuntimeError("a kernel failed")

    list_blocks(network)[0].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="a kernel failed"):
        train(network, make_samples(2, 16), SETTINGS, SCHEDULE)
    assert len(calls) == 1


def test_every_block_of_every_family_is_listed():
    """What lies outside blocks is kept: a stem and a head."""
    for family in ("resnet10-narrow", "densenet-small", "resnet101"):
        network = build(NetworkSpec(family))
        inside = sum(p.numel() for block in list_blocks(network) for p in block.parameters())
        assert inside > 0.9 * sum(p.numel() for p in network.parameters())
