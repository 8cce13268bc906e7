"""`make bench-full`: the paper's eight networks at full size train one round each, with a tiny cohort.

What it shows: that they fit and finish, in which time and memory, on which device, with the same bits again.
On a GPU also what bfloat16, channels-last and our loop cost or save. Simulated tensors, no patients' files.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.bench.measurement import Effort, Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from common.models.spec import Family, NetworkSpec
    from common.training.dataset import Samples
    from common.training.settings import TrainingSettings

FAMILIES: tuple[Family, ...] = ("resnet101", "resnet152", "densenet121", "densenet201")
SIDES = {2: 224, 3: 112}
"""Pixels of a side, by dimensions, as the paper's."""
PATIENTS, SMOKE_SIDE, SMOKE_PATIENTS = 4, 32, 2
BATCH = 2
LOOP_BOUND = 0.9
MIB = 2**20


@dataclass(frozen=True)
class Round:
    """What one local round of one network took.

    Attributes
    ----------
    seconds : float
        Of training and of validation together.
    peak_mib : float
        Most memory of the process; on a GPU, of the GPU.
    digest : str
        Of the weights afterwards.
    device : str
        Where it was computed.
    """

    seconds: float
    peak_mib: float
    digest: str
    device: str


def run(effort: Effort) -> Iterator[Measurement]:
    """Every network twice, each time in a process of its own: the second round's bits against the first's."""
    whole: list[tuple[Family, int]] = [(family, axes) for axes in SIDES for family in FAMILIES]
    names = effort.choose(whole, [("resnet10-narrow", 2)])
    yield from (_repeat_round(family, axes, effort) for family, axes in names)
    if effort is Effort.FULL and _has_gpu():
        yield from _compare_on_gpu()


def _repeat_round(family: Family, dimensions: int, effort: Effort) -> Measurement:
    size = effort.choose((SIDES[dimensions], PATIENTS), (SMOKE_SIDE, SMOKE_PATIENTS))
    take = effort.choose(_run_apart, train_round)
    first, second = (take(family, dimensions, *size) for _ in range(2))
    return Measurement(
        f"{dimensions}D-{family} at {size[0]}, one round: bits that repeat",
        float(first.digest == second.digest) or 1e-9,
        1.0,
        "at least",
        f"{min(first.seconds, second.seconds):.1f} s, {first.peak_mib:.0f} MiB, {first.device}, "
        f"load {os.getloadavg()[0]:.1f}",
    )


def _run_apart(family: Family, dimensions: int, side: int, patients: int) -> Round:
    code = "import sys; from tests.bench.full_size import print_round; print_round(*sys.argv[1:])"
    command = [sys.executable, "-c", code, family, str(dimensions), str(side), str(patients)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{dimensions}D-{family}: {done.stderr.strip().splitlines()[-1]}")
    return Round(**json.loads(done.stdout.splitlines()[-1]))


def print_round(family: Family, dimensions: str, side: str, patients: str) -> None:
    """Train one round in this process and print what it took, as JSON."""
    print(json.dumps(asdict(train_round(family, int(dimensions), int(side), int(patients)))))


def train_round(family: Family, dimensions: int, side: int, patients: int) -> Round:
    """One epoch of a network that starts from random weights, as `TRAIN` asks a site, and a validation."""
    import hashlib

    import torch

    from common.models.weights import flatten
    from common.models.zoo import build
    from common.training.device import pick_device
    from common.training.loop import Schedule, score, train
    from common.training.settings import TrainingSettings

    device = pick_device("auto")
    samples = make_samples(dimensions, side, patients)
    network = build(make_spec(family, dimensions))
    begun = time.perf_counter()
    schedule = Schedule(epochs=1, seed=1, device=device)
    train(network, samples, TrainingSettings(batch_size=BATCH), schedule)
    scores = score(network, samples.images, device, schedule.threads)
    seconds = time.perf_counter() - begun
    digest = hashlib.sha256(np.ascontiguousarray(flatten(network)).tobytes() + scores.tobytes()).hexdigest()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / MIB
    return Round(seconds, peak, digest, _name(device))


def make_spec(family: Family, dimensions: int) -> NetworkSpec:
    """The architecture with one input channel."""
    from common.models.spec import NetworkSpec

    return NetworkSpec(family, 3 if dimensions == max(SIDES) else 2)


def make_samples(dimensions: int, side: int, patients: int) -> Samples:
    """Random inputs, every third with expansion."""
    from common.training.dataset import Samples

    images = np.random.default_rng(0).random((patients, 1, *[side] * dimensions), dtype=np.float32)
    return Samples.of(images, np.arange(patients) % 3 == 0)


def _name(device: torch.device) -> str:
    import torch

    from common.runtime.machine import name_processor

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {name_processor()}"


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _compare_on_gpu() -> list[Measurement]:
    """What the defaults save on a GPU, and our loop against a bare one on tensors that lie there."""
    measured = []
    for family, dimensions in (("resnet101", 2), ("densenet121", 3)):
        samples = make_samples(dimensions, SIDES[dimensions], 64 if dimensions == min(SIDES) else 16)
        ours_s = _time_epochs(family, samples, precision="auto")
        plain_s = _time_epochs(family, samples, precision="float32")
        bare_s = _time_bare_epochs(family, samples)
        name = f"{dimensions}D-{family} on the GPU"
        measured += [
            Measurement(
                f"{name}: bare loop / ours", bare_s / ours_s, LOOP_BOUND, "at least", f"{ours_s:.2f} s"
            ),
            Measurement(f"{name}: float32 / default", plain_s / ours_s, 1.0, "at least", f"{plain_s:.2f} s"),
        ]
    return measured


def _time_epochs(family: Family, samples: Samples, *, precision: str, epochs: int = 3) -> float:
    from common.models.zoo import build
    from common.training.device import pick_device
    from common.training.loop import Schedule, train

    device, settings = pick_device("auto"), _make_settings(precision)
    network = build(make_spec(family, samples.dimensions))
    train(network, samples, settings, Schedule(1, 1, device=device))
    begun = time.perf_counter()
    train(network, samples, settings, Schedule(epochs, 1, device=device))
    return time.perf_counter() - begun


def _make_settings(precision: str) -> TrainingSettings:
    from common.training.settings import TrainingSettings

    sizes = {"batch_size": 16, "flip": False, "crop_fraction": 0.0, "translation_fraction": 0.0}
    return TrainingSettings(**sizes, precision="float32" if precision == "float32" else "auto")


def _time_bare_epochs(family: Family, samples: Samples, epochs: int = 3) -> float:
    """What everybody writes, in the same precision and with the same kernels."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from common.models.zoo import build
    from common.training.device import autocast, pick_device, place_network, reproducible, to_network_format

    device, settings = pick_device("auto"), _make_settings("auto")
    network = build(make_spec(family, samples.dimensions))
    with reproducible(device, 1):
        place_network(network, device)
        here = samples.to(device)
        images, labels = to_network_format(here.images), here.labels
        adam = torch.optim.Adam(network.parameters(), lr=0.01, fused=True)
        begun = 0.0
        for epoch in range(epochs + 1):
            if epoch == 1:  # the first one warms up
                torch.cuda.synchronize()
                begun = time.perf_counter()
            for part in torch.randperm(len(labels)).split(16):
                with autocast(settings, device):
                    logits = network(images[part.to(device)])
                loss = binary_cross_entropy_with_logits(logits.reshape(-1).float(), labels[part.to(device)])
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
        torch.cuda.synchronize()
    return time.perf_counter() - begun
