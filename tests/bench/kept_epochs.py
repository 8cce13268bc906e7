"""What the file costs in which a site keeps its epochs, against the training that it keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from tests.bench.measurement import Effort, Measurement, measure_cpu_s

if TYPE_CHECKING:
    from client.answers.epoch_file import EpochFile
    from common.training.epoch_state import EpochState

FAMILY, SMOKE_FAMILY = "resnet101", "resnet10-narrow"
SIZE, SMOKE_SIZE = 224, 32
PATIENTS, SMOKE_PATIENTS = 40, 8
EPOCHS = 10
"""Of the training whose epochs are offered to the file, each as long as the one that was measured."""


def run(effort: Effort) -> list[Measurement]:
    """The share of a training's processor time that goes into its file."""
    import torch

    torch.set_num_threads(1)
    state, epoch_cpu_s, epoch_s = _train_once(effort)
    size = sum(array.nbytes for array in state.arrays.values())
    with tempfile.TemporaryDirectory() as folder:
        file = _open_file(Path(folder), size)
        costs = []
        written = 0
        for _ in range(EPOCHS):
            file.drop()
            costs.append(measure_cpu_s(lambda: _offer(file, state, epoch_s)))
            written += file.path.exists()
    detail = (
        f"{written} of {EPOCHS} epochs kept, {size / 1e6:.0f} MB and {max(costs):.2f} s each; "
        f"an epoch {epoch_cpu_s:.1f} s"
    )
    name = f"a training's share for its kept epochs, {effort.choose(FAMILY, SMOKE_FAMILY)}"
    return [Measurement(name, sum(costs) / (EPOCHS * epoch_cpu_s), 0.02, "at most", detail)]


def _train_once(effort: Effort) -> tuple[EpochState, float, float]:
    """Where a training stands after its first epoch; an epoch's processor time and wall time, in seconds."""
    from common.models.spec import NetworkSpec
    from common.models.zoo import build
    from common.training.dataset import Samples
    from common.training.loop import Schedule, train
    from common.training.settings import TrainingSettings

    size, patients = effort.choose((SIZE, PATIENTS), (SMOKE_SIZE, SMOKE_PATIENTS))
    images = np.random.default_rng(0).random((patients, 1, size, size), dtype=np.float32)
    samples = Samples.of(images, np.arange(patients) % 3 == 0)
    kept = _Memory()
    network = build(NetworkSpec(effort.choose(FAMILY, SMOKE_FAMILY)))
    settings = TrainingSettings(batch_size=8)
    # Its first epoch is kept before the second one begins, which nobody waits for
    begun = perf_counter()
    cpu_s = measure_cpu_s(lambda: train(network, samples, settings, Schedule(2, seed=1, memory=kept)))
    return kept.states[0], cpu_s / 2, (perf_counter() - begun) / 2


@dataclass
class _Memory:
    """Keeps a copy of each epoch's state in memory."""

    start: EpochState | None = None
    states: list[EpochState] = field(default_factory=list)

    def keep(self, collect: Callable[[], EpochState]) -> None:
        state = collect()
        copies = {name: array.copy() for name, array in state.arrays.items()}
        self.states.append(replace(state, arrays=copies))


def _open_file(folder: Path, size: int) -> EpochFile:
    from client.answers.epoch_file import EpochFile

    return EpochFile(folder / "alone.epochs", lambda: "0" * 64, size)


def _offer(file: EpochFile, state: EpochState, epoch_s: float) -> None:
    """Offer an epoch's end to the file, as if the epoch's time had passed since the last."""
    file._since -= epoch_s
    file.keep(lambda: state)
