"""One round of federated training as sums: which numbers accompany the weights, and in which parts."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from common.cohort.split import FEWEST_TRAINING
from common.hiding.noise import noise_of
from common.hiding.vectors import Hiding
from common.models.layout import TRAINED, Layout, TensorKind
from common.plan.study import Arm, CnnModel, StudyPlan
from common.plan.update_noise import UpdatePart
from common.secagg.codes import SecAggError
from common.secagg.crypto.discrete_gaussian import clip_norm
from common.secagg.crypto.encoding import norm, scale_bits_for
from common.secagg.crypto.rings import Ring, Segment, Vector
from common.seeds import derive_seed
from common.stats.contract import Summary, join_summaries
from common.stats.roc import local_roc
from common.stats.score_grid import ScoreGrid
from common.types import FlatWeights

VALIDATION_GRID = ScoreGrid.with_fine_ends(100)
"""Bins of the validation histogram: few, because it leaves the site in every round; half of them even, half
finer towards 0 and 1, where the scores of a well-trained network lie."""

_COUNTER_CLIP = 2.0**20
"""Bound of the number of batches that BatchNorm has seen; it is averaged but not used."""
_PIECE = 1 << 16
"""Elements that are rounded at a time, so that no second vector of float64 is needed."""
_DELTA = "delta"
_PATIENTS = "patients"


def validate_nobody() -> Summary:
    """The validation summary of a site without validation patients."""
    return local_roc(np.empty(0), np.empty(0, dtype=np.bool_), VALIDATION_GRID)


def start_seed(plan: StudyPlan, model: CnnModel, arm: Arm) -> int:
    """The seed of a model's initial weights in an arm.

    All arms start alike, except those that leave one centre out: there, sums of different sets of centres at
    the same weights could be subtracted and would show what a single centre adds.
    """
    apart = arm.kind == "federated" and plan.arms.design == "leave-one-centre-out"
    return derive_seed(plan.seed, "initial-weights", model.name, *([arm.name] if apart else []))


def starts_alike(plan: StudyPlan, model: CnnModel) -> bool:
    """Whether hidden arms that leave one centre out begin with the same weights, but for the head.

    A site then draws otherwise in each arm: with the same draws its updates would nearly cancel in the
    difference of two arms' sums, and leave another site's (`tests/reading/left_out_updates.py`).
    """
    leaves_out = plan.arms.design == "leave-one-centre-out"
    return leaves_out and plan.hides_sums and model.initialisation == "imagenet"


def weight_of(plan: StudyPlan, patients: int) -> int:
    """The weight of a site's update: its training patients, or 1 where all sites weigh alike.

    It is 0 with too few patients to train a network: the site then adds no change.
    """
    if patients < FEWEST_TRAINING:
        return 0
    return 1 if plan.privacy.weights == "equal" else patients


def share_of(plan: StudyPlan, weight: int) -> float:
    """The weight as a share of the largest that the plan allows, so that sums do not overflow."""
    return weight / largest_weight(plan)


def hiding_of(plan: StudyPlan, layout: Layout) -> Hiding:
    """How a round's sums are hidden; sites and coordinator know it before the training.

    Parameters
    ----------
    plan : StudyPlan
    layout : Layout
        Layout of the network's weights.
    """
    counts = {"patients": np.array(0)} if plan.privacy.weights == "per-round" else {}
    beside_updates = join_summaries(
        [Summary(counts, {"loss": np.array(0.0)}), validate_nobody().under("validation")]
    )
    parts = parts_of(plan, layout)
    shapes = tuple(("updates", name, (size,)) for name, size in sorted(parts.items()))
    return Hiding(
        (*beside_updates.layout(), *shapes),
        {name: _make_vector(plan, name, size) for name, size in parts.items()},
    )


def parts_of(plan: StudyPlan, layout: Layout) -> dict[UpdatePart, int]:
    """The parts in which a network's updates are summed, and how many elements each has."""
    sizes = {
        name: sum(size for kind, size in layout.sizes.items() if kind in kinds)
        for name, kinds in _KINDS.items()
    }
    if plan.privacy.noise is not None:
        del sizes["counters"]
    return {name: size for name, size in sizes.items() if size}


def part_of(kind: TensorKind) -> UpdatePart:
    """The part of an update in which tensors of a kind travel."""
    return next(name for name, kinds in _KINDS.items() if kind in kinds)


def variance_of(plan: StudyPlan, vector: Vector) -> float:
    """Variance of the noise that a site adds to one of a round's vectors, in squared integer units."""
    for name in _KINDS:
        noise = noise_of(plan, name)
        if noise is not None and vector.name == _name_vector(name):
            return noise.variance
    return 0.0


def to_hidden(plan: StudyPlan, layout: Layout, summary: Summary) -> Summary:
    """A site's round in the form that is hidden: the update per patient, in parts with their own bounds.

    The summary's own change of the weights is used up: the largest part lies in its memory.

    Raises
    ------
    SecAggError
        E_NORM if the weights moved further than the plan allows.
    """
    weight, bound = max(1, int(summary.counts[_PATIENTS])), plan.privacy.norm_bound
    counts = dict(summary.counts)
    if plan.privacy.weights != "per-round":
        del counts[_PATIENTS]
    delta, parts = summary.updates[_DELTA], parts_of(plan, layout)
    largest = max(parts, key=lambda name: parts[name])
    updates: dict[str, FlatWeights] = {
        name: layout.take(delta, _KINDS[name]) for name in parts if name != largest
    }
    updates[largest] = layout.squeeze(delta, _KINDS[largest])
    for name in parts:
        updates[name] /= np.float32(weight)
        if name == "weights" and bound is not None and norm(updates[name]) > bound:
            raise SecAggError("a change of weights is longer than privacy.norm_bound", code="E_NORM")
        noise = noise_of(plan, name)
        if noise is not None:
            clip_norm(updates[name], noise.norm)
    return Summary(counts, summary.reals, updates)


def round_to_ring(plan: StudyPlan, layout: Layout, change: FlatWeights, weight: int) -> FlatWeights:
    """A site's change of the weights as the ring holds it, of which alone sums are made.

    Running statistics, which travel in a wider ring, are rounded as if they were weights.

    Parameters
    ----------
    plan : StudyPlan
    layout : Layout
        Of the network's weights.
    change : float32 vector, shape (weights,)
        New minus old weights.
    weight : int
        The site's, above 0.
    """
    vector = hiding_of(plan, layout).updates["weights"]
    factor, rounded = math.ldexp(share_of(plan, weight), vector.scale_bits), np.empty_like(change)
    for start in range(0, change.size, _PIECE):
        piece = slice(start, start + _PIECE)
        rounded[piece] = np.rint(np.multiply(change[piece], factor, dtype=np.float64)) / factor
    return rounded


def train_nobody(plan: StudyPlan, layout: Layout) -> Summary:
    """The zeros that a site adds to the round of an arm to which it does not belong."""
    hiding = hiding_of(plan, layout)
    return Summary(
        {name: np.zeros(shape, dtype=np.int64) for kind, name, shape in hiding.layout if kind == "counts"},
        {name: np.zeros(shape) for kind, name, shape in hiding.layout if kind == "reals"},
        {name: np.zeros(shape, np.float32) for kind, name, shape in hiding.layout if kind == "updates"},
    )


def largest_weight(plan: StudyPlan) -> int:
    """The largest weight that a site's update can have; updates travel as shares of it."""
    return 1 if plan.privacy.weights == "equal" else plan.privacy.largest_site


def _make_vector(plan: StudyPlan, part: UpdatePart, size: int) -> Vector:
    """How a part of an update is summed.

    Weights are moved by an optimiser whose steps the learning rate bounds; running statistics follow the
    activations, which nothing bounds. So these have a ring of their own, with room for all that a training
    survives. Where they have noise they are scaled to the noise's norm, so that the narrow ring holds them;
    the wide one has no noise.
    """
    noise, name = noise_of(plan, part), _name_vector(part)
    if noise is not None:
        return Vector(name, (size,), Ring.UPDATES, (Segment(size, noise.norm),), noise.scale_bits)
    if part == "buffers":
        return Vector(name, (size,), Ring.REALS, (Segment(size, plan.privacy.clip_buffers),))
    clip = plan.privacy.clip if part == "weights" else _COUNTER_CLIP
    bits = scale_bits_for(len(plan.sites), clip)
    return Vector(name, (size,), Ring.UPDATES, (Segment(size, clip),), bits)


def _name_vector(part: UpdatePart) -> str:
    return f"updates {part}"


_KINDS: Mapping[UpdatePart, frozenset[TensorKind]] = {
    "weights": TRAINED,
    "buffers": frozenset({"batchnorm-buffer"}),
    "counters": frozenset({"counter"}),
}
