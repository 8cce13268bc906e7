"""Training against the bare PyTorch loop on the same tensors in memory."""

from __future__ import annotations

import numpy as np

from tests.bench.measurement import Measurement, faster

NETWORKS = (("resnet10-narrow", 96, 64, 3), ("resnet18", 160, 32, 1), ("densenet121", 96, 32, 1))
"""Family, pixels, patients, epochs: the demo's network, where overheads weigh most, and two larger ones."""
BATCH = 16


def run() -> list[Measurement]:
    """The specification's ratio, also with the loop in our memory format, and with our augmentation."""
    import torch

    torch.set_num_threads(1)
    return [
        *(_against_bare_loop(*case) for case in NETWORKS),
        _against_bare_loop(*NETWORKS[1], variant="in the same memory format"),
        _against_bare_loop(*NETWORKS[0], variant="with augmentation"),
    ]


def _against_bare_loop(family: str, size: int, patients: int, epochs: int, variant: str = "") -> Measurement:
    from common.models.spec import NetworkSpec
    from common.models.zoo import build
    from common.training.dataset import Samples
    from common.training.device import place_network
    from common.training.loop import CPU, Schedule, train
    from common.training.settings import TrainingSettings

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
    return faster(
        " ".join(f"{family} at {size} px against the bare loop {variant}".split()),
        0.97,
        lambda: bare_loop(bare, samples, epochs),
        lambda: train(ours, samples, settings, schedule),
    )


def bare_loop(network, samples, epochs: int) -> None:
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
