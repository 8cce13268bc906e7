"""Learning rates at a site: the same in its rounds as in a model of its own, epoch by epoch."""

from __future__ import annotations

import pytest
import torch
from sites.noise import noise_samples
from sites.plans import NETWORK, plan_of
from torch.optim import lr_scheduler

from client.answers.trainer import Trainer
from common.models.weights import flatten

RATE = 0.02


@pytest.fixture
def taken(monkeypatch):
    """The learning rate of each step of the optimiser."""
    rates = []
    step = torch.optim.Adam.step

    def note(self, *arguments, **options):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", note)
    return rates


def a_trainer(schedule):
    training = {"learning_rate": RATE, "batch_size": 4} | ({"schedule": schedule} if schedule else {})
    network = NETWORK | {"training": training}
    federation = {"rounds": 3, "local_epochs": 2}
    plan = plan_of({"a": "train", "b": "train"}, network, federation=federation, threads=1)
    return Trainer(plan, plan.networks[0], "a", torch.device("cpu"))


def cosine_of_torch(epochs):
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler, rates = lr_scheduler.CosineAnnealingLR(sgd, epochs), []
    for _ in range(epochs):
        rates.append(scheduler.get_last_lr()[0])
        sgd.step()
        scheduler.step()
    return rates


def test_rounds_and_a_model_of_one_place_take_the_same_rates(taken):
    trainer, samples = a_trainer({"shape": "cosine"}), noise_samples(4)
    weights = flatten(trainer.network)
    for number in (1, 2, 3):
        trainer.load(weights)
        trainer.train_round(weights, samples, number)
    rounds = taken.copy()
    taken.clear()
    trainer.train_alone(weights, samples, None, lambda _: None)

    assert rounds == taken == pytest.approx(cosine_of_torch(6), rel=1e-12)


def test_without_a_schedule_the_rate_is_the_settings(taken):
    trainer, samples = a_trainer(None), noise_samples(4)
    weights = flatten(trainer.network)
    trainer.load(weights)
    trainer.train_round(weights, samples, 2)

    assert taken == [RATE, RATE]
