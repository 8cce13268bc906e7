"""The noise that a plan adds to its federated trainings, and how much less they tell about a site for it.

Noise is on the models' updates alone: tables, validation and evaluation are exact sums. What is protected is
that a site took part, not a patient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from common.secagg.privacy import LEAST_VARIANCE, epsilon, release_rho, scale_bits_with_noise, sensitivity
from common.secagg.roster import minimum_sites

if TYPE_CHECKING:
    from common.study import Arm, StudyPlan

UpdatePart: TypeAlias = Literal["weights", "buffers", "counters"]
"""What of a network is summed with a bound of its own; where there is noise, no counters of batches."""


@dataclass(frozen=True)
class PartNoise:
    """The noise on one part of an update.

    Attributes
    ----------
    norm : float
        Bound of a site's Euclidean norm.
    scale_bits : int
        Binary digits behind the point of the whole numbers that are summed.
    variance : float
        Of one site's noise, in squared integer units.
    """

    norm: float
    scale_bits: int
    variance: float


@dataclass(frozen=True)
class SitePrivacy:
    """What all trainings of a study together tell of the site that takes part in most of them.

    Attributes
    ----------
    releases : int
        Rounds, over all those trainings.
    delta : float
    outside : float
        Epsilon towards the coordinator, the tolerated colluders and all who get the models.
    among_sites : float
        Epsilon towards one more site, which knows the noise that it added itself.
    """

    releases: int
    delta: float
    outside: float
    among_sites: float


def noise_of(plan: StudyPlan, part: UpdatePart) -> PartNoise | None:
    """The noise on a part of an update; None where the plan asks for none.

    Raises
    ------
    ValueError
        If there is less than whole numbers can hold.
    """
    noise = plan.privacy.noise
    if noise is None or part == "counters":
        return None
    norm = noise.norm if part == "weights" else noise.norm_buffers
    deviation, honest = noise.multiplier * norm, _honest(plan)
    bits = scale_bits_with_noise(len(plan.sites), norm, deviation, honest)
    variance = math.ldexp(deviation, bits) ** 2 / honest
    if variance < LEAST_VARIANCE:
        raise ValueError(
            f"privacy.noise.multiplier = {noise.multiplier:g} is less than the rounding of what is summed -> "
            "a larger one, or no privacy.noise"
        )
    return PartNoise(norm, bits, variance)


def site_privacy(plan: StudyPlan, trained: Iterable[tuple[Arm, dict[UpdatePart, int]]]) -> SitePrivacy | None:
    """What the trainings of several sites cost a site at most; None where there are none, or no noise.

    Parameters
    ----------
    plan : StudyPlan
    trained : iterable of (Arm, sizes)
        Every training, with the number of elements of each part of its update.
    """
    if plan.privacy.noise is None:
        return None
    delta, rounds = plan.privacy.noise.delta, plan.federation.rounds
    together = [(arm, sizes) for arm, sizes in trained if arm.kind == "federated" and len(arm.sites) > 1]
    honest = _honest(plan)
    found = []
    for site in plan.training_sites:
        mine = [sizes for arm, sizes in together if site in arm.sites]
        outside, among = (
            rounds * sum(_rho(plan, sizes, noisy) for sizes in mine) for noisy in (honest, honest - 1)
        )
        found.append(SitePrivacy(rounds * len(mine), delta, epsilon(outside, delta), epsilon(among, delta)))
    bought = max(found, key=lambda one: one.outside)
    return bought if bought.releases else None


def _rho(plan: StudyPlan, sizes: dict[UpdatePart, int], noisy: int) -> float:
    """Of one round, if so many sites' noise is unknown."""
    total = 0.0
    for part, size in sizes.items():
        noise = noise_of(plan, part)
        if noise is not None:
            moved = sensitivity(noise.norm, noise.scale_bits, size)
            total += release_rho(moved, noise.variance, noisy, size)
    return total


def _honest(plan: StudyPlan) -> int:
    """Sites of the smallest sum that do not collude."""
    colluders = plan.privacy.colluders
    return minimum_sites(len(plan.sites), colluders) - colluders
