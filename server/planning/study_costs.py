"""What a study costs a site and its line: bytes, minutes and disk, as far as a plan tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.errors import PlanError
from common.plan.mapped_cohorts import averages_maps
from common.plan.matrix import scorers_of
from common.plan.message_size import size_machine, size_products, size_table, size_weights
from common.plan.models import SvmModel
from common.plan.state_sizes import STATE_SIZES
from common.plan.study import StudyPlan
from server.planning.expected_patients import find_planned_site

_A_SCORE = 1_000_000
"""Bytes of histograms that a score costs a site, as measured on simulated patients."""
_RIDGE_ROUNDS = 12
"""Rounds with all candidates of a support vector machine, likewise."""
_MEGABIT = 1_000_000 / 8
_WEIGHT_ON_DISK = 4
_LARGEST = 1e6


@dataclass(frozen=True)
class SiteCosts:
    """What one site sends and receives.

    Attributes
    ----------
    received, sent : int
        Bytes of the networks' weights, which decide, and of the large sums of the table.
    line_minutes : float or None
        How long these take on its line; None where its speed is not given.
    """

    received: int
    sent: int
    line_minutes: float | None


@dataclass(frozen=True)
class DiskUse:
    """Bytes on the coordinator's disk.

    Attributes
    ----------
    checkpoints, models : int
        Of the federated trainings, which --resume needs; of the models that leave them.
    protocol : int
        Of the opened sums, which --resume needs; 0 where no sum is hidden.
    """

    checkpoints: int
    models: int
    protocol: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.checkpoints + self.models + self.protocol


def read_site_numbers(plan: StudyPlan, option: str, numbers: Sequence[str]) -> dict[str, float]:
    """A positive number of each site that is named, by its name.

    Raises
    ------
    PlanError
        If one cannot be read, or a site is unknown or named twice.
    """
    known: dict[str, float] = {}
    for written in numbers:
        site, _, text = written.partition("=")
        if not re.fullmatch(r"\d+(\.\d+)?", text) or not 0 < float(text) <= _LARGEST:
            raise PlanError(f"{option} {written!r} -> write SITE=NUMBER, e.g. center1=20")
        known[find_planned_site(plan, option, site, known)] = float(text)
    return known


def expect_costs(plan: StudyPlan, mbit: Mapping[str, float]) -> dict[str, SiteCosts]:
    """What each site of the plan exchanges, by its name.

    Parameters
    ----------
    plan : StudyPlan
    mbit : mapping of str to float
        The speed of its line in megabits a second, where that is known.
    """
    costs = {}
    for site in plan.site_names:
        received, sent = _count_weights(plan, site)
        sent += _count_sums(plan, site)
        line = (received + sent) / (mbit[site] * _MEGABIT) / 60 if site in mbit else None
        costs[site] = SiteCosts(received, sent, line)
    return costs


def expect_minutes(plan: StudyPlan, minutes: Mapping[str, float]) -> float | None:
    """How long all networks train, one after the other: a round takes as long as at its slowest site.

    None where that of a site is not given.
    """
    total = 0.0
    for arm in plan.all_arms():
        if arm.kind != "pooled":
            if not minutes.keys() >= set(arm.sites):
                return None
            total += max(minutes[site] for site in arm.sites)
    return total * len(plan.networks) * plan.federation.rounds


def expect_disk(plan: StudyPlan) -> DiskUse:
    """What the run's folder will hold."""
    checkpoints = models = 0
    for model in plan.networks:
        size = STATE_SIZES[model.family, model.dimensions][0] * _WEIGHT_ON_DISK
        for arm in plan.all_arms() if "training" in plan.phases else ():
            kept = arm.kind != "local" or plan.site(arm.sites[0]).model_release
            models += size if kept else 0
            # The last weights, and those of the best round
            checkpoints += 2 * size if arm.kind == "federated" else 0
    sums = max(_count_sums(plan, site) for site in plan.site_names) if plan.hides_sums else 0
    return DiskUse(checkpoints, models, sums)


def _count_weights(plan: StudyPlan, site: str) -> tuple[int, int]:
    """Bytes of networks to a site and from it."""
    received = sum(model.bytes for model in plan.cards) if "evaluation" in plan.phases else 0
    sent = 0
    for model in plan.networks if "training" in plan.phases else ():
        weights, rounds = size_weights(model), plan.federation.rounds
        for arm in plan.all_arms():
            is_released = arm.kind != "local" or plan.site(arm.sites[0]).model_release
            if arm.kind == "federated" and site in arm.sites:
                # One more message judges the last round
                received, sent = received + (rounds + 1) * weights, sent + rounds * weights
            if arm.kind == "local" and site in arm.sites:
                received, sent = received + weights, sent + (weights if is_released else 0)
            received += weights if is_released else 0
            is_drawn = plan.explanation.per_site > 0 or averages_maps(plan)
            is_explained = "explanation" in plan.phases and is_drawn
            received += weights if is_explained and arm.kind == "federated" else 0
    return received, sent


def _count_sums(plan: StudyPlan, site: str) -> int:
    """Bytes of the large sums of the table, at most, and of histograms of scores."""
    size = size_table(plan) if "cohort" in plan.phases else 0
    if "training" in plan.phases and site in plan.training_sites:
        joined = sum(arm.kind == "federated" and site in arm.sites for arm in plan.all_arms())
        size += joined * size_products(plan) if plan.takes_radiomics else 0
        machines = (model for model in plan.table_models if isinstance(model, SvmModel))
        size += joined * _RIDGE_ROUNDS * sum(size_machine(model) for model in machines)
    return size + (len(scorers_of(plan)) * _A_SCORE if "evaluation" in plan.phases else 0)
