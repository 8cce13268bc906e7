"""How a study's sums were hidden: masks, and the noise on its federated trainings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from common.hiding.noise import site_privacy
from common.hiding.rounds import parts_of
from common.models.checkpoint import load
from server.results.records import Record
from server.run import name_checkpoint

if TYPE_CHECKING:
    from server.phases.training import TrainedModel
    from server.run import StudyRun


class AddedNoise(Record):
    """The noise on the federated trainings, and the privacy loss of one centre (site) over all of them."""

    multiplier: float
    """Standard deviation of the noise, in norms."""
    norm: float
    """Bound of a centre's change in a round."""
    norm_buffers: float
    """Bound of a centre's change of BatchNorm's statistics in a round."""
    releases: int
    """Rounds of all trainings in which the busiest centre takes part."""
    delta: float
    """Delta of both epsilons."""
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


def record_masking(run: StudyRun, trained: Iterable[TrainedModel]) -> Masking | None:
    """How the study's sums were hidden; None if they were not."""
    if run.roster is None or not run.plan.hides_sums:
        return None
    return Masking(
        minimum=run.roster.minimum,
        colluders=run.roster.colluders,
        weights=run.plan.privacy.weights,
        noise=_record_noise(run, trained),
    )


def _record_noise(run: StudyRun, trained: Iterable[TrainedModel]) -> AddedNoise | None:
    """The noise on the federated trainings; None if there was none.

    A training that failed counts as one that was finished: what it opened before cannot be taken back.
    """
    plan, noise, multiplier = run.plan, run.plan.privacy.noise, run.plan.noise_multiplier
    sizes = [
        (network.arm, parts_of(plan, load(path).layout))
        for network in trained
        if noise is not None and network.arm.kind == "federated"
        for path in (network.path or name_checkpoint(run.checkpoints, network.model, network.arm),)
        if path.exists()
    ]
    privacy = site_privacy(plan, sizes)
    if noise is None or multiplier is None or privacy is None:
        return None
    return AddedNoise(
        multiplier=multiplier,
        norm=noise.norm,
        norm_buffers=noise.norm_buffers,
        releases=privacy.releases,
        delta=privacy.delta,
        epsilon=privacy.outside,
        epsilon_among=privacy.among_sites,
    )
