"""A masked round of ResNet-101 over Flower, two sites, beside the same bytes through Flower alone."""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from unittest.mock import patch

from tests.bench.federation import Stopwatch
from tests.bench.loopback import Loopback, open_here, open_loopback
from tests.bench.measurement import Effort, Measurement
from tests.bench.peers.plain_flower import time_plain_rounds

ROUND_BOUND_S, PEER_BOUND = 6.0, 1.3
FAMILY, SMOKE_FAMILY = "resnet101", "resnet10-narrow"
ROUNDS, PATIENTS = 2, 8
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
    text = PLAN.format(family=effort.choose(FAMILY, SMOKE_FAMILY), rounds=effort.choose(ROUNDS, 1))
    begin = effort.choose(open_loopback, open_here)
    with tempfile.TemporaryDirectory() as name, begin(Path(name), text, PATIENTS) as loopback:
        seconds, size = time_training(loopback)
    ours_s = seconds / loopback.run.plan.federation.rounds
    title = f"a masked round of {FAMILY} over Flower, two sites"
    detail = f"{ours_s:.1f} s, {size / 2**20:.0f} MiB of weights, {_describe_load()}"
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


def time_training(loopback: Loopback) -> tuple[float, int]:
    """Seconds of the whole federated training, and the bytes of the model."""
    from rich.progress import Progress

    from server.conduct import conduct
    from server.training.federated import FederatedTraining

    watch = Stopwatch(FederatedTraining.run)
    sizes: list[int] = []

    def train(training: FederatedTraining, weights: object) -> object:
        sizes.append(4 * training.layout.size)
        return watch(training, weights)

    with patch.object(FederatedTraining, "run", train), patch("server.conduct.write_report"):
        conduct(loopback.exchange.grid, loopback.run, Progress(disable=True))
    return watch.wall_s, sizes[0]
