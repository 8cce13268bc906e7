"""Steps of an epoch as many as the plan says, SGD's, and what SCAFFOLD adds to their gradients."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from sites.noise import noise_samples
from torch import nn

from common.models.spec import NetworkSpec
from common.models.weights import Layout, flatten
from common.models.zoo import build
from common.training.control_variates import GradientCorrection
from common.training.loop import Schedule, _Run, train
from common.training.settings import TrainingSettings

SGD = TrainingSettings(
    learning_rate=0.1, batch_size=4, flip=False, crop_fraction=0.0, translation_fraction=0.0, optimiser="sgd"
)


def smooth() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 8), nn.Tanh(), nn.Linear(8, 1))


@pytest.fixture
def batches(monkeypatch):
    """The patients of each step."""
    seen = []
    step = _Run._step
    monkeypatch.setattr(
        _Run, "_step", lambda run, part, chosen: seen.append(part.tolist()) or step(run, part, chosen)
    )
    return seen


def test_few_patients_come_again_in_a_new_order_and_of_many_some(batches):
    log = train(smooth(), noise_samples(10), SGD, Schedule(epochs=2, seed=5, steps=5))

    assert log.steps == len(batches) == 10
    # Batches of 4, 4 and 2 are all patients once; then two more of a new order
    for first in (0, 5):
        assert sorted(chain(*batches[first : first + 3])) == list(range(10))
        assert len({*chain(*batches[first + 3 : first + 5])}) == 8
    assert len({tuple(part) for part in batches}) == 10
    batches.clear()
    train(smooth(), noise_samples(10), SGD, Schedule(epochs=4, seed=5, steps=1))
    assert [len(set(part)) for part in batches] == [4] * 4
    assert len({tuple(part) for part in batches}) == 4


def test_as_many_steps_as_there_are_batches_are_the_same_epoch():
    settings = TrainingSettings(batch_size=4)
    one, other = (build(NetworkSpec("resnet10-narrow"), 1) for _ in range(2))
    train(one, noise_samples(10), settings, Schedule(epochs=2, seed=5))
    train(other, noise_samples(10), settings, Schedule(epochs=2, seed=5, steps=3))

    assert flatten(one).tobytes() == flatten(other).tobytes()


def test_a_corrected_step_of_sgd_is_the_formula():
    samples, model = noise_samples(4), smooth()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    logits = model(samples.images).squeeze(1)
    nn.functional.binary_cross_entropy_with_logits(logits, samples.labels).backward()
    correction = np.random.default_rng(3).normal(size=Layout.of(model).size).astype(np.float32)
    added = torch.split(torch.from_numpy(correction), [parameter.numel() for parameter in before])
    expected = [
        start - 0.1 * (parameter.grad + part.reshape(start.shape))
        for start, parameter, part in zip(before, model.parameters(), added, strict=True)
    ]

    trained = smooth()
    train(trained, samples, SGD, Schedule(epochs=1, seed=5, correction=correction))

    for ours, theirs in zip(trained.parameters(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_statistics_are_not_corrected():
    model = build(NetworkSpec("resnet10-narrow"), 1)
    layout = Layout.of(model)
    trained = layout.mask({"weight", "batchnorm-parameter"})
    ones, rubbish = np.zeros(layout.size, np.float32), np.where(trained, 0, np.nan).astype(np.float32)
    other = build(NetworkSpec("resnet10-narrow"), 1)
    train(model, noise_samples(6), SGD, Schedule(epochs=1, seed=5, correction=ones))
    train(other, noise_samples(6), SGD, Schedule(epochs=1, seed=5, correction=rubbish))

    assert flatten(model).tobytes() == flatten(other).tobytes()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="steps must be at least 1, not 0"):
        Schedule(epochs=1, seed=5, steps=0)
    with pytest.raises(ValueError, match=r"a correction of shape \(3,\) for 8209 weights"):
        GradientCorrection(smooth(), np.zeros(3, np.float32))
