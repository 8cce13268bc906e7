"""A training whose process dies after an epoch goes on there, and ends with the same bits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sites.noise import noise_samples

from common.models.spec import NetworkSpec
from common.models.weights import flatten
from common.models.zoo import build
from common.training.epoch_state import EpochState
from common.training.loop import Schedule, train
from common.training.settings import TrainingSettings

AUGMENTED = TrainingSettings(batch_size=4)
RECOMPUTED = replace(AUGMENTED, batch_norm_statistics="recomputed")
PLAIN = replace(AUGMENTED, flip=False, crop_fraction=0.0, translation_fraction=0.0)


class DeadError(Exception):
    pass


class Memory:
    """Keeps every epoch; dies after one of them."""

    def __init__(self, start=None, dies_after=None):
        self.start, self.dies_after, self.kept = start, dies_after, None

    def keep(self, collect):
        state = collect()
        arrays = {name: array.copy() for name, array in state.arrays.items()}
        self.kept = EpochState(state.losses, state.steps, arrays)
        if len(state.losses) == self.dies_after:
            raise DeadError


def network(dimensions=2):
    return build(NetworkSpec("resnet10-narrow", dimensions, dropout=0.5), 1)


@pytest.mark.parametrize("dies_after", [1, 3])
@pytest.mark.parametrize(
    ("dimensions", "settings", "options"),
    [
        (2, AUGMENTED, {"rates": (0.01, 0.02, 0.01, 0.005)}),
        (2, RECOMPUTED, {}),
        (2, replace(AUGMENTED, weight_decay=0.1), {"proximal_mu": 0.5}),
        (3, PLAIN, {}),
        (2, replace(AUGMENTED, optimiser="sgd"), {"steps": 2}),
    ],
)
def test_a_training_that_died_goes_on_to_the_same_bits(dimensions, settings, options, dies_after):
    samples, schedule = noise_samples(6, dimensions), Schedule(epochs=4, seed=5, **options)

    def run(memory):
        seen, model = [], network(dimensions)
        log = train(model, samples, settings, replace(schedule, memory=memory), lambda *one: seen.append(one))
        return log, seen, flatten(model).tobytes()

    log, seen, weights = run(None)
    died = Memory(dies_after=dies_after)
    with pytest.raises(DeadError):
        run(died)
    torch.rand(7)
    again, later, same = run(Memory(died.kept))

    assert same == weights
    assert again == log
    assert later == seen[dies_after:]


def test_what_is_kept_of_one_network_does_not_fit_another():
    samples, schedule = noise_samples(6), Schedule(epochs=2, seed=5)
    memory = Memory()
    train(network(), samples, PLAIN, replace(schedule, memory=memory))
    kept = memory.kept
    arrays = {name: array for name, array in kept.arrays.items() if not name.endswith("weight")}
    other = Memory(replace(kept, arrays=arrays))
    with pytest.raises(KeyError):
        train(network(), samples, PLAIN, replace(schedule, memory=other))
