"""A masked round of ResNet-101 over Flower, two sites, beside the same bytes through Flower alone."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.bench.loopback import Loopback, open_here, open_loopback
from tests.bench.measurement import Effort, Measurement
from tests.bench.peers.plain_flower import time_plain_rounds

if TYPE_CHECKING:
    from common.types import FlatWeights
    from server.training.federated import TrainingState

ROUND_BOUND_S, PEER_BOUND = 6.0, 1.3
FAMILY, SMOKE_FAMILY = "resnet101", "resnet10-narrow"
ROUNDS, SMOKE_ROUNDS, PATIENTS = 4, 2, 8
PLAN = """\
name = "Large rounds"
seed = 10
threads = 1
profile = "simulation"
two_site_ack = true
phases = ["training"]
[cohort]
validation_fraction = 0.0
[[sites]]
name = "a"
role = "train"
[[sites]]
name = "b"
role = "train"
[[models]]
name = "m"
family = "{family}"
input_size = 32
[models.training]
batch_size = 8
[arms]
local_models = false
[federation]
rounds = {rounds}
local_epochs = 1
timeout_s = 3600
"""


def run(effort: Effort) -> list[Measurement]:
    """A round with masks, training and checkpoint, against its bound and against bare transport."""
    text = PLAN.format(family=effort.choose(FAMILY, SMOKE_FAMILY), rounds=effort.choose(ROUNDS, SMOKE_ROUNDS))
    begin = effort.choose(open_loopback, open_here)
    with tempfile.TemporaryDirectory() as name, begin(Path(name), text, PATIENTS) as loopback:
        first_s, later_s, size = time_rounds(loopback)
    ours_s = statistics.median(later_s)
    title = f"a masked round of {FAMILY} over Flower, two sites"
    detail = (
        f"median of {len(later_s)}: {ours_s:.1f} s with training and checkpoint; the first, in which the "
    )
    detail += f"sites load torch: {first_s:.1f} s; {size / 2**20:.0f} MiB of weights, {_describe_load()}"
    measured = [Measurement(f"{title} / 6 s", ours_s / ROUND_BOUND_S, 1.0, "at most", detail)]
    if effort is Effort.FULL:
        with tempfile.TemporaryDirectory() as name:
            theirs_s = statistics.median(time_plain_rounds(Path(name), 3, size))
        detail = f"{ours_s:.1f} s against {theirs_s:.1f} s, {_describe_load()}"
        peer = f"{title} / the same bytes through Flower alone"
        measured.append(Measurement(peer, ours_s / theirs_s, PEER_BOUND, "at most", detail))
    return measured


def _describe_load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def time_rounds(loopback: Loopback) -> tuple[float, list[float], int]:
    """Seconds of the training's first round and of each later one, and the bytes of the model."""
    from rich.progress import Progress

    from server.conduct import conduct
    from server.training.federated import FederatedTraining

    original, ends, sizes = FederatedTraining.run, [0.0], [0]

    def train(training: FederatedTraining, weights: FlatWeights) -> TrainingState:
        sizes[0], ends[0] = 4 * training.layout.size, time.perf_counter()
        training.report = lambda _: ends.append(time.perf_counter())
        return original(training, weights)

    with patch.object(FederatedTraining, "run", train), patch("server.conduct.write_report"):
        conduct(loopback.exchange.grid, loopback.run, Progress(disable=True))
    first_s, *later_s = (end - begun for begun, end in pairwise(ends))
    return first_s, later_s, sizes[0]
