"""The next global weights from a round's sums: what the coordinator computes, and each member again.

Every operation is one of float32 on single elements, so that all get the same bits; a member goes through the
model in pieces and holds no second one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from common.hiding.rounds import hiding_of, largest_weight, part_of, parts_of
from common.models.layout import TRAINED, Layout, StateTensor
from common.plan.study import StudyPlan
from common.plan.update_noise import UpdatePart
from common.runtime.array_digest import freeze_array, remember_digest
from common.runtime.hash_beside import hash_beside
from common.secagg.crypto.encoding import round_block
from common.secagg.crypto.rings import Ring, Words
from common.training.server_optimiser import PseudoGradientStep
from common.types import FlatWeights

_PIECE = 1 << 16
"""Elements at a time: with what is made of them they stay in the processor's cache."""


def list_returned(plan: StudyPlan, layout: Layout) -> tuple[str, ...]:
    """Names of a round's vectors whose sums come back to the members of its arm.

    The updates; and the counts, where the weight of a site's update is known in the round alone.
    """
    hiding = hiding_of(plan, layout)
    updates = [hiding.updates[name].name for name in parts_of(plan, layout)]
    counts = [vector.name for vector in hiding.vectors if vector.ring is Ring.COUNTS]
    return (*(counts if plan.privacy.weights == "per-round" else ()), *updates)


def make_stepper(plan: StudyPlan, layout: Layout) -> PseudoGradientStep | None:
    """The server's optimiser at its beginning; None if the weights follow the mean."""
    federation = plan.federation
    if federation.server_optimiser == "none":
        return None
    return PseudoGradientStep(
        federation.server_optimiser, federation.server_learning_rate, layout.mask(TRAINED)
    )


def read_patients(plan: StudyPlan, layout: Layout, sums: Mapping[str, Words]) -> int:
    """The weight of all sites in a round, from its counts.

    Parameters
    ----------
    plan : StudyPlan
        Its sites' weights are of each round.
    layout : Layout
        Of the network's weights.
    sums : mapping of str to Words
        The sums of the vectors of `list_returned`, by name.
    """
    hiding = hiding_of(plan, layout)
    place = 0
    for kind, name, shape in hiding.layout:
        if kind == "counts" and name == "patients":
            break
        place += math.prod(shape) if kind == "counts" else 0
    (vector,) = (vector for vector in hiding.vectors if vector.ring is Ring.COUNTS)
    return int(sums[vector.name].view("<i8")[place])


def follow_mean(
    weights: FlatWeights, delta: FlatWeights, patients: int, move: Callable[..., FlatWeights] | None = None
) -> FlatWeights:
    """Weights moved by the mean of the sites' changes; by an optimiser's step if it is given.

    A sum that may be written to becomes the result: one more vector of forty million weights costs more than
    the step.

    Parameters
    ----------
    weights, delta : float32 arrays
        The weights before, and the sum of the sites' changes, each times the site's weight.
    patients : int
        The sum of the sites' weights.
    move : callable, optional
        Takes weights and mean change.
    """
    if move is not None:
        return move(weights, delta / np.float32(patients))
    moved: FlatWeights = delta if delta.flags.writeable else np.empty_like(weights)
    for start in range(0, weights.size, _PIECE):
        piece = slice(start, start + _PIECE)
        np.divide(delta[piece], np.float32(patients), out=moved[piece])
        moved[piece] += weights[piece]
    return moved


def derive_weights(
    training: tuple[StudyPlan, Layout, PseudoGradientStep | None],
    sums: Mapping[str, Words],
    patients: int,
    weights: FlatWeights,
) -> Iterator[FlatWeights]:
    """The next global weights, piece by piece; the optimiser's memory is theirs when all are read.

    Parameters
    ----------
    training : (StudyPlan, Layout, PseudoGradientStep or None)
        The plan, the layout of the network's weights, and the optimiser as the weights before left it.
    sums : mapping of str to Words
        The opened words of each part of the update, by the vector's name.
    patients : int
        The sum of the sites' weights.
    weights : float32 vector
        The weights before.
    """
    plan, layout, stepper = training
    vectors, parts = hiding_of(plan, layout).updates, parts_of(plan, layout)
    if stepper is not None:
        stepper.begin()
    # How many elements of each part, and of the trained ones, came before
    passed: dict[UpdatePart, int] = {}
    trained = 0
    scale = np.float32(largest_weight(plan))
    for entry, piece in _cut_layout(layout):
        part, size = part_of(entry.kind), piece.stop - piece.start
        start = passed.get(part, 0)
        passed[part] = start + size
        if part in parts:
            delta = round_block(vectors[part], sums[vectors[part].name], slice(start, start + size))
            delta *= scale
        else:
            delta = np.zeros(size, dtype=np.float32)
        move = None
        if stepper is not None and entry.kind in TRAINED:
            move = partial(stepper.move, slice(trained, trained + size))
            trained += size
        with np.errstate(over="ignore", invalid="ignore"):
            moved = follow_mean(weights[piece], delta, patients, move)
        if entry.is_variance:
            np.maximum(moved, 0, out=moved)
        yield moved


def derive_frozen(
    training: tuple[StudyPlan, Layout, PseudoGradientStep | None],
    sums: Mapping[str, Words],
    patients: int,
    weights: FlatWeights,
) -> FlatWeights:
    """The next global weights as one vector that nobody can change; their SHA-256 is known.

    The parameters are those of `derive_weights`.
    """
    moved, start = np.empty_like(weights), 0
    with hash_beside() as beside:
        for piece in derive_weights(training, sums, patients, weights):
            moved[start : start + piece.size] = piece
            start += piece.size
            beside.add(np.ascontiguousarray(piece, dtype="<f4").data.cast("B"))
        digest = beside.end()
    remember_digest(freeze_array(moved), digest)
    return moved


def _cut_layout(layout: Layout) -> Iterator[tuple[StateTensor, slice]]:
    """Pieces of the flat weights in order, each within one tensor."""
    for entry in layout.entries:
        place = layout.slices[entry.name]
        for start in range(place.start, place.stop, _PIECE):
            yield entry, slice(start, min(start + _PIECE, place.stop))
