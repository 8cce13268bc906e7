"""Images of noise with a bright spot in those who expand: enough for a network to learn something."""

from __future__ import annotations

import numpy as np

from common.training.dataset import Samples


def noise_samples(count: int = 10, dimensions: int = 2, seed: int = 0) -> Samples:
    source = np.random.default_rng(seed)
    images = source.random((count, 1, *[32] * dimensions), dtype=np.float32) * 0.3
    positives = np.arange(count) % 5 < 2
    spot = images[:, 0][(slice(None), *[slice(10, 20)] * dimensions)]
    spot[positives] += 0.6
    return Samples.of(images, positives)
