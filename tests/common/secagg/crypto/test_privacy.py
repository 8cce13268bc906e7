from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm as gaussian

from common.secagg.crypto.privacy import epsilon, release_rho, scale_bits_with_noise, sensitivity

DELTAS = st.floats(1e-12, 0.1)


def noise(variance: float, reach: int = 80) -> np.ndarray:
    """Logarithms of the discrete Gaussian's probabilities of -reach to reach."""
    weights = -(np.arange(-reach, reach + 1.0) ** 2) / (2 * variance)
    return weights - logsumexp(weights)


def summed(variance: float, honest: int) -> np.ndarray:
    """Logarithms of the probabilities of the sum of several sites' noise, convolved by hand."""
    total = one = noise(variance)
    for _ in range(honest - 1):
        padded = np.pad(total, len(one) - 1, constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(one))
        total = logsumexp(windows + one, axis=1)
    return total


@pytest.mark.parametrize(
    ("multiplier", "releases", "delta", "expected"),
    [
        (1.0, 1, 1e-5, 4.728386987598748),
        (4.0, 1, 1e-5, 1.0122885260247843),
        (4.0, 50, 1e-5, 9.233983010544051),
        (2.5, 10, 1e-6, 6.826666461662853),
        (20.0, 100, 1e-6, 2.4191024886939205),
    ],
)
def test_agrees_with_googles_accountant(multiplier, releases, delta, expected):
    # dp-accounting 0.6.0: RdpAccountant, GaussianDpEvent(multiplier) composed `releases` times, orders from
    # 1.001 to 6 in thousandths and to 506 in tenths; its grid misses the best order by up to 10^-5
    rho = releases / (2 * multiplier**2)

    assert expected - 2e-5 < epsilon(rho, delta) <= expected


@given(rho=st.floats(1e-4, 20), delta=DELTAS)
def test_is_never_less_than_the_gaussians_exact_epsilon(rho, delta):
    # Balle & Wang 2018, theorem 8: delta of the Gaussian mechanism of this rho
    shift, found = math.sqrt(2 * rho), epsilon(rho, delta)
    exact = gaussian.cdf(shift / 2 - found / shift) - math.exp(
        found + gaussian.logcdf(-shift / 2 - found / shift)
    )

    assert exact <= delta * (1 + 1e-9)


@given(rho=st.floats(0, 10), delta=DELTAS)
def test_is_at_most_the_simple_conversion(rho, delta):
    # Bun & Steinke 2016, proposition 1.3
    assert epsilon(rho, delta) <= rho + 2 * math.sqrt(rho * math.log(1 / delta)) + 1e-6


def test_more_releases_cost_more_and_none_cost_nothing():
    assert epsilon(0.0, 1e-6) == 0.0
    assert epsilon(1.0, 1e-6) < epsilon(2.0, 1e-6) < epsilon(2.0, 1e-9)


@pytest.mark.parametrize(("variance", "honest"), [(0.3, 1), (0.3, 3), (0.5, 2), (1.0, 4), (9.0, 2)])
@pytest.mark.parametrize("order", [1.5, 2.0, 8.0])
@pytest.mark.parametrize("shift", [1, 3])
def test_bounds_the_exact_divergence_of_a_sum_of_discrete_gaussians(variance, honest, order, shift):
    total = summed(variance, honest)

    divergence = logsumexp(order * total[shift:] + (1 - order) * total[:-shift]) / (order - 1)

    assert divergence <= order * release_rho(shift, variance, honest, 1) + 1e-9


@pytest.mark.parametrize(("variance", "delta"), [(4.0, 1e-5), (30.0, 1e-6)])
def test_bounds_the_exact_delta_of_the_discrete_gaussian(variance, delta):
    found = epsilon(release_rho(1, variance, 1, 1), delta)
    moved, kept = np.exp(noise(variance)[1:]), np.exp(noise(variance)[:-1])

    assert np.maximum(moved - math.exp(found) * kept, 0).sum() <= delta


def test_wide_noise_costs_what_the_gaussian_does():
    assert release_rho(3.0, 100.0, 4, 10**8) == pytest.approx(9 / (2 * 400))


@pytest.mark.parametrize(("variance", "honest"), [(0.0, 2), (0.2, 2), (math.nan, 2), (1.0, 0)])
def test_noise_that_the_theorem_does_not_cover_is_refused(variance, honest):
    with pytest.raises(ValueError, match="noise of variance"):
        release_rho(1.0, variance, honest, 1)


@pytest.mark.parametrize(
    ("rho", "delta"), [(-1, 0.1), (math.inf, 0.1), (math.nan, 0.1), (1, 0), (1, 1), (1, math.nan)]
)
def test_there_is_no_epsilon_outside_the_definition(rho, delta):
    with pytest.raises(ValueError, match="no epsilon"):
        epsilon(rho, delta)


@given(st.integers(2, 50), st.integers(1, 50), st.floats(0.01, 10), st.floats(0, 10))
def test_numbers_and_noise_of_all_sites_fit_the_ring(sites, honest, clip, deviation):
    bits = scale_bits_with_noise(sites, clip, deviation, honest)

    numbers = sites * (Fraction(clip) * Fraction(2) ** bits + 1)
    of_noise = 12 * deviation * math.ldexp(1.0, bits) * math.sqrt(sites / honest)
    assert numbers + Fraction(of_noise) * Fraction(999_999, 1_000_000) <= 2**31 - 1


def test_a_site_moves_the_sum_by_its_norm_and_half_a_unit_an_element():
    assert sensitivity(1.5, 10, 400) == 1536 + 10
