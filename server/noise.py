"""What the noise on a study's federated trainings bought, for its results."""

from __future__ import annotations

from collections.abc import Iterable

from common.models.checkpoint import load
from common.noise import site_privacy
from common.rounds import parts_of
from common.study import StudyPlan
from server.masking import AddedNoise
from server.phases.training import TrainedModel


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
