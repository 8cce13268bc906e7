"""What sums with and without a centre tell of its first update: ``python -m tests.reading.left_out_updates``.

Three centres train in turn without one of them, from weights that a source task has trained, as ImageNet's
are. Of each arm the attacker has the honest sum alone; by (S_ab + S_ac - S_bc) / 2 it works out what the
centre a adds. Printed are correlations, means of three centres and of two repeats:

- absent: of that difference with the update which the absent centre a would make in the arm bc, once what
  that arm's plain sum tells already is removed of both (all centres move alike from the same weights);
- split: of S_ac - S_bc with a's update less b's in the arm ab: how well subtraction tells whose part of the
  sum ab is whose. 1 is each centre's own update, which masks were to hide; a sum alone gives 0;
- best layer: the same in that layer of at least 500 weights in which it tells most;
- statistics: the same of BatchNorm's running means and variances, which are of a centre's patients;
- the AUC on held-out patients of the source task, which says what is left of the first weights once every
  tensor was changed by noise of so many of its root mean squares.

Figures of 2026-11-29:

| start of the arms | local epochs | batch | absent | split | best layer | statistics | AUC |
|---|---|---|---|---|---|---|---|
| the same, and the same seeds at a site | 1 | 16 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 |
| the same, other seeds in each arm | 1 | 16 | 0.05 | 0.05 | 0.20 | 0.44 | 1.00 |
| another head and other seeds | 1 | 16 | 0.02 | -0.02 | 0.15 | 0.20 | 1.00 |
| these, and noise of 0.3 | 1 | 16 | 0.02 | -0.03 | 0.14 | 0.16 | 1.00 |
| these, and noise of 1 | 1 | 16 | 0.00 | -0.02 | 0.07 | -0.11 | 0.92 |
| random, as without ImageNet | 1 | 16 | 0.00 | 0.01 | 0.06 | 0.01 | 0.53 |
| another head and other seeds | 4 | 16 | 0.04 | -0.00 | 0.12 | 0.10 | 1.00 |
| another head and other seeds | 1 | 128 | -0.01 | 0.01 | 0.16 | 0.78 | 1.00 |

So heads and seeds of their own take the update of weights away, but not what BatchNorm measured, most where a
round is a single step. Only noise as large as the weights does, which no deep network outlives: a plan that
starts such arms from ImageNet has to say that hospitals know it (`arms.shared_start_ack`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from common.models.layout import TRAINED, Layout
from common.models.spec import NetworkSpec
from common.models.weights import flatten, overwrite
from common.models.zoo import build
from common.seeds import derive_seed, generator
from common.training.dataset import Samples
from common.training.loop import Schedule, score, train
from common.training.settings import TrainingSettings
from common.types import FlatWeights

CENTRES = ("a", "b", "c")
PATIENTS, SIZE, SOURCE, LAYER = 48, 48, 240, 500
SPEC = NetworkSpec("resnet10-narrow", 2, 1, 0.5)
CPU = torch.device("cpu")
HEAD = ("start of the arms", "local epochs", "batch", "absent", "split", "best layer", "statistics", "AUC")


@dataclass(frozen=True)
class Start:
    """How the arms' first weights, and their seeds, differ."""

    name: str
    noise: float = 0.0
    own_heads: bool = False
    own_seeds: bool = False
    random: bool = False


STARTS = (
    (Start("the same, and the same seeds at a site"), 1, 16),
    (Start("the same, other seeds in each arm", own_seeds=True), 1, 16),
    (Start("another head and other seeds", own_seeds=True, own_heads=True), 1, 16),
    (Start("these, and noise of 0.3", 0.3, own_heads=True, own_seeds=True), 1, 16),
    (Start("these, and noise of 1", 1.0, own_heads=True, own_seeds=True), 1, 16),
    (Start("random, as without ImageNet", random=True), 1, 16),
    (Start("another head and other seeds", own_seeds=True, own_heads=True), 4, 16),
    (Start("another head and other seeds", own_seeds=True, own_heads=True), 1, 128),
)
"""How arms begin, in how many local epochs they train in the round, and in batches of how many patients."""


def make_patients(name: str, number: int, *, source: bool = False) -> Samples:
    """Blobs of noise: the outcome, or of the source task the class, is how coarse it is."""
    random = generator(3, "patients", name)
    labels = random.permutation(np.arange(number) % 5 < 2)
    images = np.zeros((number, 1, SIZE, SIZE), dtype=np.float32)
    grid = np.linspace(-1, 1, SIZE)
    for image, label in zip(images, labels, strict=True):
        radius = random.uniform(0.5, 0.9)
        spread = (2 if label else 0) if source else (1 if label else 0)
        texture = random.normal(size=(SIZE, SIZE))
        for _ in range(spread):
            texture = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1)) / np.sqrt(3)
        blob = (grid[:, None] ** 2 + grid[None] ** 2 < radius**2) * (0.5 + 0.15 * texture)
        image[0] = np.clip(blob + 0.02 * len(name), 0, 1)
    return Samples.of(images, labels)


def train_source() -> FlatWeights:
    """Weights that a source task has trained."""
    network = build(SPEC, 1)
    train(
        network, make_patients("source", SOURCE, source=True), TrainingSettings(batch_size=16), Schedule(6, 1)
    )
    return flatten(network)


def judge_source(weights: FlatWeights) -> float:
    """The AUC on held-out patients of the source task."""
    network, held_out = build(SPEC), make_patients("held-out", SOURCE, source=True)
    overwrite(network, weights, Layout.of(network))
    return float(roc_auc_score(held_out.labels.numpy() > 0, score(network, held_out.images, CPU)))


def begin_arm(source: FlatWeights, layout: Layout, start: Start, arm: str, repeat: int) -> FlatWeights:
    """The first weights of an arm."""
    random = generator(repeat, "start", arm)
    fresh = flatten(build(SPEC, derive_seed(repeat, "fresh", arm)))
    if start.random:
        return fresh
    weights = source.copy()
    for entry in layout.entries:
        place = layout.slices[entry.name]
        if start.own_heads and entry.name.startswith("fc"):
            weights[place] = fresh[place]
        elif start.noise and entry.kind == "weight":
            root = float(np.sqrt(np.mean(np.square(weights[place]))))
            weights[place] += np.float32(start.noise * root) * random.normal(size=entry.size).astype(
                np.float32
            )
    return weights


def find_update(
    weights: FlatWeights, layout: Layout, centre: str, schedule: Schedule, batch: int
) -> FlatWeights:
    """What a centre adds to the first round from these weights."""
    network = build(SPEC)
    overwrite(network, weights, layout)
    train(network, make_patients(centre, PATIENTS), TrainingSettings(batch_size=batch), schedule)
    change: FlatWeights = flatten(network) - weights
    return change


def correlate(one: FlatWeights, other: FlatWeights, known: FlatWeights | None = None) -> float:
    """The correlation of two vectors, of what a known one does not tell of them."""
    vectors = [np.asarray(vector - vector.mean(), dtype=np.float64) for vector in (one, other)]
    if known is not None:
        plain = np.asarray(known - known.mean(), dtype=np.float64)
        vectors = [vector - (vector @ plain) / (plain @ plain) * plain for vector in vectors]
    first, second = vectors
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def list_layers(layout: Layout) -> list[slice]:
    """Where each large layer lies in the flat weights."""
    large = [entry.name for entry in layout.entries if entry.kind in TRAINED and entry.size >= LAYER]
    return [layout.slices[name] for name in large]


def measure(
    source: FlatWeights, layout: Layout, start: Start, repeat: int, how: tuple[int, int]
) -> tuple[float, ...]:
    """The correlations and the AUC, means of the three centres."""
    arms = {"".join(pair): pair for pair in combinations(CENTRES, 2)}
    first = {arm: begin_arm(source, layout, start, arm, repeat) for arm in arms}

    epochs, batch = how

    def draw(centre: str, arm: str) -> Schedule:
        return Schedule(epochs, derive_seed(repeat, centre, "secret", *([arm] if start.own_seeds else [])))

    updates = {
        (centre, arm): find_update(first[arm], layout, centre, draw(centre, arm), batch)
        for arm in arms
        for centre in CENTRES
    }
    sums = {arm: updates[pair[0], arm] + updates[pair[1], arm] for arm, pair in arms.items()}
    trained, buffers = layout.mask(TRAINED), layout.mask(frozenset({"batchnorm-buffer"}))
    found = []
    for centre in CENTRES:
        (without,) = (arm for arm in arms if centre not in arm)
        one, other = (arm for arm in arms if centre in arm)
        difference = (sums[one] + sums[other] - sums[without]) / 2
        absent = correlate(
            *(vector[trained] for vector in (difference, updates[centre, without], sums[without]))
        )
        (partner,) = set(one) - {centre}
        told, true = sums[other] - sums[without], updates[centre, one] - updates[partner, one]
        by_layer = [correlate(told[place], true[place]) for place in list_layers(layout)]
        of_kinds = (correlate(told[kind], true[kind]) for kind in (trained, buffers))
        split, statistics = of_kinds
        found.append((absent, split, max(by_layer), statistics))
    judged = np.mean(
        [
            judge_source(begin_arm(source, layout, replace(start, own_heads=False), arm, repeat))
            for arm in arms
        ]
    )
    return (*np.mean(found, axis=0).tolist(), float(judged))


def list_rows(repeats: int) -> Iterator[tuple[str, ...]]:
    """A line for each start: means over the repeats."""
    source, layout = train_source(), Layout.of(build(SPEC))
    for start, *how in STARTS:
        epochs, batch = how
        measured = [measure(source, layout, start, repeat, (epochs, batch)) for repeat in range(repeats)]
        yield (
            start.name,
            str(epochs),
            str(batch),
            *(f"{number:.2f}" for number in np.mean(measured, axis=0)),
        )


def main() -> None:
    """Print the table."""
    print("| " + " | ".join(HEAD) + " |")
    print("|" + "---|" * len(HEAD))
    for row in list_rows(2):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
