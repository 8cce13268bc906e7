"""The noise that follows where a plan gives epsilon as the target: the least that keeps to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from common.models.spec import Family
from common.plan.sections import MOST_NOISE, Privacy
from common.plan.state_sizes import STATE_SIZES
from common.plan.update_noise import honest_sites, round_rho
from common.secagg.crypto.privacy import epsilon

_LEAST = 1e-9
"""Where the search begins: below the rounding of what is summed."""
_HALVINGS = 40
_DIGITS = 4
"""Significant digits of the result, so that every machine finds the same number."""


def find_multiplier(
    privacy: Privacy, sites: int, rounds: int, joined: Sequence[tuple[Family, int]]
) -> float | None:
    """The noise multiplier that the plan gives, or the least that keeps to its epsilon; None without noise.

    Parameters
    ----------
    privacy : Privacy
        The plan's section.
    sites, rounds : int
        Numbers of sites in the plan, and of rounds in each training.
    joined : sequence of (Family, dimensions)
        The network of each training of several sites that one site joins, of the site with the most. Its
        size is taken at its largest, so that the epsilon that `site_privacy` finds is never above the target.

    Raises
    ------
    ValueError
        If nothing is trained over sites, or no permitted noise is enough.
    """
    noise = privacy.noise
    if noise is None or noise.epsilon is None:
        return None if noise is None else noise.multiplier
    if not joined:
        raise ValueError(
            "privacy.noise.epsilon is given, but no network is trained over several sites -> no privacy.noise"
        )
    lower, upper = _LEAST, 2 * _LEAST
    while not _keeps(privacy, sites, rounds, joined, upper):
        lower, upper = upper, 2 * upper
        if upper > MOST_NOISE:
            raise ValueError(
                f"no noise keeps to privacy.noise.epsilon = {noise.epsilon:g} -> a larger one, fewer rounds"
            )
    for _ in range(_HALVINGS):
        middle = math.sqrt(lower * upper)
        if _keeps(privacy, sites, rounds, joined, middle):
            upper = middle
        else:
            lower = middle
    return _round_up(upper)


def _keeps(
    privacy: Privacy, sites: int, rounds: int, joined: Sequence[tuple[Family, int]], multiplier: float
) -> bool:
    """Whether all rounds with this noise keep to the epsilon."""
    noise = privacy.noise
    if noise is None or noise.epsilon is None:
        return False
    try:
        rho = rounds * sum(_find_rho(privacy, sites, multiplier, network) for network in joined)
    except ValueError:
        return False
    return epsilon(rho, noise.delta) <= noise.epsilon


def _find_rho(privacy: Privacy, sites: int, multiplier: float, network: tuple[Family, int]) -> float:
    elements, statistics = STATE_SIZES[network]
    honest = honest_sites(privacy, sites)
    return round_rho(privacy, sites, multiplier, {"weights": elements, "buffers": statistics}, honest)


def _round_up(number: float) -> float:
    """The number rounded up to `_DIGITS` significant digits."""
    place = _DIGITS - 1 - math.floor(math.log10(number))
    # Powers of ten are exact; a negative one is not.
    return math.ceil(number * 10**place) / 10**place if place >= 0 else math.ceil(number)
