"""The noise on each part of a federated update, as the plan's privacy section asks for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from common.plan.sections import Privacy
from common.secagg.crypto.privacy import LEAST_VARIANCE, release_rho, scale_bits_with_noise, sensitivity
from common.secagg.wire.roster import minimum_sites

UpdatePart: TypeAlias = Literal["weights", "buffers", "counters"]
"""A part of a network's update that has a bound of its own; with noise, counters of batches are left out."""


@dataclass(frozen=True)
class PartNoise:
    """The noise on one part of a site's update.

    Attributes
    ----------
    norm : float
        Bound of the Euclidean norm of a site's change.
    scale_bits : int
        Binary digits after the point in the fixed-point numbers that are summed.
    variance : float
        Variance of one site's noise, in squared integer units.
    """

    norm: float
    scale_bits: int
    variance: float


def part_noise(privacy: Privacy, sites: int, multiplier: float | None, part: UpdatePart) -> PartNoise | None:
    """The noise on a part of an update; None where the plan asks for none.

    Parameters
    ----------
    privacy : Privacy
        The plan's section.
    sites : int
        Number of sites in the plan.
    multiplier : float or None
        Standard deviation of the summed noise, in units of the norm; see `StudyPlan.noise_multiplier`.
    part : UpdatePart
        Counters never have noise.

    Raises
    ------
    ValueError
        If there is less than whole numbers can hold.
    """
    noise = privacy.noise
    if noise is None or multiplier is None or part == "counters":
        return None
    norm = noise.norm if part == "weights" else noise.norm_buffers
    deviation, honest = multiplier * norm, honest_sites(privacy, sites)
    bits = scale_bits_with_noise(sites, norm, deviation, honest)
    variance = math.ldexp(deviation, bits) ** 2 / honest
    if variance < LEAST_VARIANCE:
        raise ValueError(
            f"privacy.noise.multiplier = {multiplier:g} is less than the rounding of what is summed -> a "
            "larger one, or no privacy.noise"
        )
    return PartNoise(norm, bits, variance)


def round_rho(
    privacy: Privacy, sites: int, multiplier: float | None, sizes: Mapping[UpdatePart, int], noisy: int
) -> float:
    """The loss rho (zCDP) of one round towards somebody who does not know the noise of `noisy` sites.

    Parameters
    ----------
    privacy, sites, multiplier
        As in `part_noise`.
    sizes : Mapping
        Number of elements of each part of the update.
    noisy : int

    Raises
    ------
    ValueError
        As `part_noise` and `release_rho` raise.
    """
    total = 0.0
    for part, size in sizes.items():
        noise = part_noise(privacy, sites, multiplier, part)
        if noise is not None:
            moved = sensitivity(noise.norm, noise.scale_bits, size)
            total += release_rho(moved, noise.variance, noisy, size)
    return total


def honest_sites(privacy: Privacy, sites: int) -> int:
    """Number of sites in the smallest permitted sum that do not collude, of `sites` in the plan."""
    return minimum_sites(sites, privacy.colluders) - privacy.colluders
