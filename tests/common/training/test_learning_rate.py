"""Learning rates over a training are torch's, epoch by epoch, wherever the training stands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sites.noise import noise_samples
from torch import nn
from torch.optim import lr_scheduler

from common.models.weights import flatten
from common.training.learning_rate import LearningRateSchedule, list_rates
from common.training.loop import Schedule, train
from common.training.settings import TrainingSettings

EPOCHS, RATE = 20, 0.05
SHAPES = {
    "constant": (LearningRateSchedule(), lambda sgd, _: lr_scheduler.ConstantLR(sgd, 1.0, 0)),
    "cosine": (
        LearningRateSchedule("cosine"),
        lr_scheduler.CosineAnnealingLR,
    ),
    "cosine to a tenth": (
        LearningRateSchedule("cosine", lowest=0.1),
        lambda sgd, epochs: lr_scheduler.CosineAnnealingLR(sgd, epochs, eta_min=RATE / 10),
    ),
    "step": (
        LearningRateSchedule("step", factor=0.3, every_epochs=6),
        lambda sgd, _: lr_scheduler.StepLR(sgd, 6, 0.3),
    ),
    "exponential": (
        LearningRateSchedule("exponential", factor=0.9),
        lambda sgd, _: lr_scheduler.ExponentialLR(sgd, 0.9),
    ),
}


def rates_of_torch(make, warm_up, epochs=EPOCHS):
    """The rate in each epoch as torch's schedulers have it."""
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=RATE)
    falling = make(sgd, epochs - warm_up)
    if warm_up:
        sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=RATE)
        rising = lr_scheduler.LinearLR(sgd, 1 / (warm_up + 1), total_iters=warm_up)
        falling = lr_scheduler.SequentialLR(sgd, [rising, make(sgd, epochs - warm_up)], [warm_up])
    rates = []
    for _ in range(epochs):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        falling.step()
    return rates


@pytest.mark.parametrize("warm_up", [0, 1, 5])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_rates_are_those_of_torchs_schedulers(shape, warm_up):
    schedule, make = SHAPES[shape]
    planned = LearningRateSchedule(
        schedule.shape, warm_up, schedule.factor, schedule.every_epochs, schedule.lowest
    )

    rates = list_rates(planned, RATE, range(1, EPOCHS + 1), EPOCHS)

    np.testing.assert_allclose(rates, rates_of_torch(make, warm_up), rtol=1e-12)
    assert len(set(rates)) > 1 or (shape, warm_up) == ("constant", 0)


def test_an_epochs_rate_does_not_depend_on_where_the_training_begins():
    schedule = LearningRateSchedule("cosine", 3)

    whole = list_rates(schedule, RATE, range(1, EPOCHS + 1), EPOCHS)
    parts = [list_rates(schedule, RATE, range(first, first + 4), EPOCHS) for first in (1, 5, 9, 13, 17)]

    assert sum(parts, ()) == whole
    assert list_rates(None, RATE, range(1, 3), EPOCHS) == ()
    with pytest.raises(ValueError, match="epoch 21 is not one of 1 to 20"):
        schedule.find_share(21, EPOCHS)


def test_a_training_takes_the_rates_as_torch_takes_its_schedulers():
    settings = TrainingSettings(
        learning_rate=RATE, batch_size=5, flip=False, crop_fraction=0.0, translation_fraction=0.0
    )
    schedule, make = LearningRateSchedule("cosine", 2), SHAPES["cosine"][1]
    samples = noise_samples()

    def network() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 1))

    def trained(rates):
        model = network()
        train(model, samples, settings, Schedule(epochs=6, seed=5, rates=rates))
        return flatten(model)

    bare = network()
    adam = torch.optim.Adam(bare.parameters(), lr=RATE, fused=True)
    rising = lr_scheduler.LinearLR(adam, 1 / 3, total_iters=2)
    falling = lr_scheduler.SequentialLR(adam, [rising, make(adam, 4)], [2])
    order = torch.Generator().manual_seed(5)
    for _ in range(6):
        for part in torch.randperm(len(samples), generator=order).split(5):
            adam.zero_grad()
            images = samples.images[part].to(memory_format=torch.channels_last, copy=True)
            logits = bare(images).squeeze(1)
            nn.functional.binary_cross_entropy_with_logits(logits, samples.labels[part]).backward()
            adam.step()
        falling.step()

    rates = list_rates(schedule, RATE, range(1, 7), 6)
    np.testing.assert_allclose(trained(rates), flatten(bare), atol=1e-6)
    assert np.abs(trained(()) - flatten(bare)).max() > 1e-3
    assert trained((RATE,) * 6).tobytes() == trained(()).tobytes()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"shape": "step", "factor": 0.1}, 'shape "step" needs every_epochs'),
        ({"shape": "step"}, 'shape "step" needs every_epochs and factor'),
        ({"shape": "exponential"}, 'shape "exponential" needs factor'),
        ({"shape": "cosine", "factor": 0.5}, 'shape "cosine" has no factor -> remove it'),
        ({"lowest": 0.5, "every_epochs": 3}, 'shape "constant" has no every_epochs or lowest'),
        ({"shape": "exponential", "factor": float("nan")}, "factor must be above 0"),
        ({"shape": "exponential", "factor": 1.5}, "factor must be above 0 and at most 1, not 1.5"),
        ({"shape": "step", "factor": 0.5, "every_epochs": 0}, "every_epochs must be at least 1"),
        ({"shape": "cosine", "lowest": 1.0}, r"lowest must be in \[0, 1\), not 1.0"),
        ({"warm_up_epochs": -1}, "warm_up_epochs must not be negative"),
    ],
)
def test_settings_of_another_shape_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        LearningRateSchedule(**wrong)


def test_each_epoch_needs_its_rate():
    with pytest.raises(ValueError, match="2 learning rates for 3 epochs"):
        Schedule(epochs=3, seed=1, rates=(0.1, 0.2))
