"""One round of federated training as sums: what travels beside the weights, and in which parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from common.hidden import Hiding
from common.models.layout import TRAINED, Kind, Layout
from common.secagg.vectors import Segment
from common.seeds import derive_seed
from common.stats.contract import Summary, join
from common.stats.roc import local_roc
from common.study import Arm, CnnModel, StudyPlan

VALIDATION_BINS = 50
"""Coarse, because a validation histogram leaves the site in every round."""

_COUNTER_CLIP = 2.0**20
"""Batches that BatchNorm has seen; averaged like the rest, used by nothing."""
_DELTA = "delta"
_PATIENTS = "patients"


def nobody_validated() -> Summary:
    """The validation of a site without validation patients."""
    return local_roc(np.empty(0), np.empty(0, dtype=np.bool_), VALIDATION_BINS)


def start_seed(plan: StudyPlan, model: CnnModel, arm: Arm) -> int:
    """Seed of the weights with which a model starts in an arm.

    All arms start alike, but for those that leave one centre out: sums of different centres at one model
    could be subtracted from each other, and would show what a single centre adds.
    """
    apart = arm.kind == "federated" and plan.arms.design == "leave-one-centre-out"
    return derive_seed(plan.seed, "initial-weights", model.name, *([arm.name] if apart else []))


def weight_of(plan: StudyPlan, patients: int) -> int:
    """By what a site's update is multiplied: its training patients, or 1 where all sites weigh alike."""
    return 1 if plan.privacy.weights == "equal" else patients


def share_of(plan: StudyPlan, weight: int) -> float:
    """The weight as a share of the largest that the plan allows: what is summed must not overflow."""
    return weight / _whole(plan)


def hiding_of(plan: StudyPlan, layout: Layout) -> Hiding:
    """How a round's sums are hidden; known to sites and coordinator before anybody trains.

    Parameters
    ----------
    plan : StudyPlan
    layout : Layout
        Of the network's weights.
    """
    counts = {"patients": np.array(0)} if plan.privacy.weights == "per-round" else {}
    told = join([Summary(counts, {"loss": np.array(0.0)}), nobody_validated().under("validation")])
    clips = {name: (Segment(size, clip),) for name, size, clip in _parts(plan, layout)}
    updates = tuple(("updates", name, (size,)) for name, size, _ in sorted(_parts(plan, layout)))
    return Hiding((*told.layout(), *updates), len(plan.sites), clips)


def to_hide(plan: StudyPlan, layout: Layout, summary: Summary) -> Summary:
    """A site's round as it is hidden: the update per patient and in parts, each with a bound of its own."""
    weight = max(1, int(summary.counts[_PATIENTS]))
    delta = summary.updates[_DELTA] / np.float32(weight)
    counts = dict(summary.counts)
    if plan.privacy.weights != "per-round":
        del counts[_PATIENTS]
    updates = {name: delta[layout.mask(kinds)] for name, kinds, _ in _parts_of(layout)}
    return Summary(counts, summary.reals, updates)


def from_hidden(plan: StudyPlan, layout: Layout, opened: Summary, total: int) -> Summary:
    """The sum of the sites' rounds as in the clear.

    Parameters
    ----------
    total : int
        Weight of all sites of the arm, which is released once; a site that is absent counts as no change.
    """
    delta = np.zeros(layout.size, dtype=np.float32)
    for name, kinds, _ in _parts_of(layout):
        delta[layout.mask(kinds)] = opened.updates[name]
    patients = opened.counts.get(_PATIENTS, np.array(total))
    counts = {**opened.counts, _PATIENTS: patients}
    return Summary(counts, opened.reals, {_DELTA: delta * np.float32(_whole(plan))})


def nobody_trained(plan: StudyPlan, layout: Layout) -> Summary:
    """What a site adds to the round of an arm that it is not in."""
    hiding = hiding_of(plan, layout)
    return Summary(
        {name: np.zeros(shape, dtype=np.int64) for kind, name, shape in hiding.layout if kind == "counts"},
        {name: np.zeros(shape) for kind, name, shape in hiding.layout if kind == "reals"},
        {name: np.zeros(shape, np.float32) for kind, name, shape in hiding.layout if kind == "updates"},
    )


def _whole(plan: StudyPlan) -> int:
    return 1 if plan.privacy.weights == "equal" else plan.privacy.largest_site


def _parts(plan: StudyPlan, layout: Layout) -> Iterator[tuple[str, int, float]]:
    """Name, size and bound of each part that the network has."""
    bounds = {"weights": plan.privacy.clip, "buffers": plan.privacy.clip_buffers, "counters": _COUNTER_CLIP}
    for name, _, size in _parts_of(layout):
        yield name, size, bounds[name]


@lru_cache(maxsize=16)
def _parts_of(layout: Layout) -> tuple[tuple[str, frozenset[Kind], int], ...]:
    sized = [(name, kinds, int(layout.mask(kinds).sum())) for name, kinds in _KINDS]
    return tuple(part for part in sized if part[2])


_KINDS: tuple[tuple[str, frozenset[Kind]], ...] = (
    ("weights", TRAINED),
    ("buffers", frozenset({"batchnorm-buffer"})),
    ("counters", frozenset({"counter"})),
)
