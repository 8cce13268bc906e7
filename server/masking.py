"""How a study's sums were hidden, for whoever reads its results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from common.models.checkpoint import load
from common.noise import site_privacy
from common.rounds import parts_of
from common.study import StudyPlan
from server.phases.training import TrainedModel
from server.records import Record


class AddedNoise(Record):
    """The noise on the federated trainings, and what all of them together tell of one centre (site)."""

    multiplier: float
    """Its standard deviation, in norms."""
    norm: float
    """Bound of a centre's change in a round."""
    norm_buffers: float
    """The same of BatchNorm's statistics."""
    releases: int
    """Rounds of all trainings in which the busiest centre takes part."""
    delta: float
    epsilon: float
    """Towards the coordinator, the colluders and whoever gets the models."""
    epsilon_among: float
    """Towards one more centre, which knows its own noise."""


class Masking(Record):
    """What several centres added up to was masked (protocol SA1)."""

    minimum: int = Field(ge=2)
    """Fewest centres in a sum that was opened."""
    colluders: int = Field(ge=0)
    """How many centres may collude with the coordinator without learning another's numbers."""
    weights: Literal["frozen", "per-round", "equal"]
    """How centres weigh in a federated training."""
    noise: AddedNoise | None = None
    """If the plan asks for noise and models were trained over several centres."""


def noise_on(plan: StudyPlan, trained: Iterable[TrainedModel]) -> AddedNoise | None:
    """The noise on a study's federated trainings; None if there was none."""
    noise = plan.privacy.noise
    sizes = [
        (one.arm, parts_of(plan, load(one.path).layout))
        for one in trained
        if noise is not None and one.path is not None and one.arm.kind == "federated"
    ]
    bought = site_privacy(plan, sizes)
    if noise is None or bought is None:
        return None
    return AddedNoise(
        multiplier=noise.multiplier,
        norm=noise.norm,
        norm_buffers=noise.norm_buffers,
        releases=bought.releases,
        delta=bought.delta,
        epsilon=bought.outside,
        epsilon_among=bought.among_sites,
    )
