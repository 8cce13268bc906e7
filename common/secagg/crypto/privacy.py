"""The privacy that noise gives one site against everybody who sees the noisy sums.

Two studies are neighbours if they differ in whether one site contributed; a site's contribution is bounded
in its Euclidean norm. A release is rho-zCDP; the rho of several releases add up, and the sum is converted
to epsilon and delta.

References
----------
CKS : Canonne, Kamath & Steinke 2020, The discrete Gaussian for differential privacy, proposition 12.
KLS : Kairouz, Liu & Steinke 2021, The distributed discrete Gaussian mechanism for federated learning with
secure aggregation, theorem 1.
Bun & Steinke 2016, Concentrated differential privacy: zCDP and its composition.
"""

from __future__ import annotations

import math

import numpy as np

from common.secagg.crypto.encoding import scale_bits_for

_TAIL_DEVIATIONS = 12.0
"""Noise of an element exceeds so many standard deviations with a probability below 10^-30."""

LEAST_VARIANCE = 0.25
"""Least variance of one site's noise, in squared integer units, for which KLS theorem 1 holds."""


def sensitivity(norm_bound: float, scale_bits: int, size: int) -> float:
    """How far one site can move the encoded sum: Euclidean norm in integer units.

    Rounding to the nearest moves each of the `size` elements by at most one half. Weights are at most one.
    """
    return math.ldexp(norm_bound, scale_bits) + math.sqrt(size) / 2


def scale_bits_with_noise(sites: int, clip: float, deviation: float, honest: int) -> int:
    """The scale at which neither the numbers nor the noise of all rostered sites overflow.

    Parameters
    ----------
    sites : int
        Rostered.
    clip : float
        Bound of an element.
    deviation : float
        Standard deviation, in the elements' own unit, of the noise of the `honest` sites together.
    honest : int
        Members of the smallest set that do not collude: m - t.

    Raises
    ------
    ValueError
        As `scale_bits_for` raises.
    """
    return scale_bits_for(sites, clip + _TAIL_DEVIATIONS * deviation / math.sqrt(sites * honest))


def release_rho(moved: float, variance: float, honest: int, size: int) -> float:
    """The zCDP parameter of one sum to which each honest site added its own discrete Gaussian noise.

    Such a sum is not quite a discrete Gaussian; tau bounds what that costs (KLS theorem 1).

    Parameters
    ----------
    moved : float
        From `sensitivity`.
    variance : float
        Of one site's noise, in squared integer units.
    honest : int
        Number of sites whose noise nobody knows: m - t.
    size : int
        Number of elements.

    Raises
    ------
    ValueError
        If the variance is below one quarter, where the theorem ends, or nobody is honest.
    """
    if not variance >= LEAST_VARIANCE or honest < 1:
        raise ValueError(f"noise of variance {variance} from {honest} sites")
    summands = np.arange(1, honest)
    tau = 10 * float(np.exp(-2 * math.pi**2 * variance * summands / (summands + 1)).sum())
    loss = moved / math.sqrt(honest * variance) + tau * math.sqrt(size)
    return loss * loss / 2


def epsilon(rho: float, delta: float) -> float:
    """The smallest epsilon with which rho-zCDP implies (epsilon, delta)-DP by CKS proposition 12.

    For several releases, rho is the sum of their rho. The proposition holds for every order alpha above
    one; the best is found on a grid that is refined once, so the result is always valid, and the smallest
    to six digits for rho from 10^-8 to 10^6.

    Raises
    ------
    ValueError
        If rho is negative or infinite, or delta is not within (0, 1).

    Examples
    --------
    >>> round(epsilon(0.5, 1e-5), 3)
    4.728
    """
    if not 0 <= rho < math.inf or not 0 < delta < 1:
        raise ValueError(f"no epsilon for rho {rho} and delta {delta}")
    low, high = -20.0, 60.0
    best = math.inf
    for _ in range(2):
        exponents = np.linspace(low, high, 4001)
        excess = np.exp2(exponents)
        losses = rho * (1 + excess) + np.log1p(-1 / (1 + excess)) - np.log(delta * (1 + excess)) / excess
        at = int(np.argmin(losses))
        best = min(best, float(losses[at]))
        low, high = exponents[max(at - 1, 0)], exponents[min(at + 1, 4000)]
    return max(best, 0.0)
