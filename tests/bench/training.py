"""Training against the bare PyTorch loop on the same tensors in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.bench.measurement import Effort, Measurement, compare_times

if TYPE_CHECKING:
    from torch import nn

    from common.training.dataset import Samples

NETWORKS = (("resnet10-narrow", 96, 64, 3), ("resnet18", 160, 32, 1), ("densenet121", 96, 32, 1))
"""Family, pixels, patients, epochs: the demo's network, where overheads weigh most, and two larger ones."""
SMOKE_NETWORKS = (("resnet10-narrow", 32, 8, 1), ("resnet18", 32, 8, 1), ("densenet121", 32, 4, 1))
BATCH = 16


def run(effort: Effort) -> list[Measurement]:
    """The specification's ratio, also with the loop in our memory format, and with our augmentation."""
    import torch

    torch.set_num_threads(1)
    networks = effort.choose(NETWORKS, SMOKE_NETWORKS)
    return [
        *(_compare_with_bare_loop(case, effort) for case in networks),
        _compare_with_bare_loop(networks[1], effort, "in the same memory format"),
        _compare_with_bare_loop(networks[0], effort, "with augmentation"),
    ]


def _compare_with_bare_loop(
    case: tuple[str, int, int, int], effort: Effort, variant: str = ""
) -> Measurement:
    from common.models.spec import NetworkSpec
    from common.models.zoo import build
    from common.training.dataset import Samples
    from common.training.device import place_network
    from common.training.loop import CPU, Schedule, train
    from common.training.settings import TrainingSettings

    family, size, patients, epochs = case
    images = np.random.default_rng(0).random((patients, 1, size, size), dtype=np.float32)
    samples = Samples.of(images, np.arange(patients) % 3 == 0)
    augmented = variant == "with augmentation"
    share = 0.1 if augmented else 0.0
    settings = TrainingSettings(
        batch_size=BATCH, flip=augmented, crop_fraction=share, translation_fraction=share
    )
    ours, bare = (build(NetworkSpec(family)) for _ in range(2))
    if variant == "in the same memory format":
        place_network(bare, CPU)
    schedule = Schedule(epochs, seed=1)
    return compare_times(
        " ".join(f"{family} at {size} px against the bare loop {variant}".split()),
        0.97,
        lambda: run_bare_loop(bare, samples, epochs),
        lambda: train(ours, samples, settings, schedule),
        effort,
    )


def run_bare_loop(network: nn.Module, samples: Samples, epochs: int) -> None:
    """What everybody writes."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    adam = torch.optim.Adam(network.parameters(), lr=0.01)
    network.train()
    for _ in range(epochs):
        for part in torch.randperm(len(samples)).split(BATCH):
            adam.zero_grad()
            logits = network(samples.images[part]).squeeze(1)
            binary_cross_entropy_with_logits(logits, samples.labels[part]).backward()
            adam.step()
