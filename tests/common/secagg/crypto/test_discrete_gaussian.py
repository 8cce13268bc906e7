from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import chisquare

from common.secagg.codes import SecAggError
from common.secagg.crypto import discrete_gaussian
from common.secagg.crypto.discrete_gaussian import DiscreteGaussian, add_noise, clip_norm, is_below
from common.secagg.crypto.encoding import norm
from common.secagg.crypto.rings import CANARY_WORDS, Ring, Vector

KEY = bytes(range(32))


def probabilities(variance: float, reach: int) -> np.ndarray:
    """Of -reach to reach, by the definition."""
    weights = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * variance))
    return weights / weights.sum()


# Whole numbers


@pytest.mark.parametrize("variance", [0.05, 0.3, 1.0, 2.7, 10.0, 1000.0])
def test_the_numbers_are_distributed_as_the_discrete_gaussian(variance):
    size = 200_000
    reach = math.ceil(12 * math.sqrt(variance)) + 2

    drawn = DiscreteGaussian(variance, KEY).draw(size)

    expected = size * probabilities(variance, reach)
    observed = np.bincount(drawn + reach, minlength=2 * reach + 1)
    common = expected >= 20
    assert observed.sum() == size
    rest = [observed[~common].sum()], [expected[~common].sum()]
    tail = rest if rest[1][0] >= 5 else ([], [])
    counts, means = (
        np.concatenate([whole[common], part]) for whole, part in zip((observed, expected), tail, strict=True)
    )
    assert chisquare(counts, means * counts.sum() / means.sum()).pvalue > 0.001


def test_wide_noise_has_the_continuous_gaussians_moments():
    drawn = DiscreteGaussian(2.0**50, KEY).draw(200_000) / 2.0**25

    # Four standard errors of mean, variance and kurtosis
    assert abs(drawn.mean()) < 4 / math.sqrt(200_000)
    assert abs(drawn.var() - 1) < 4 * math.sqrt(2 / 200_000)
    assert abs((drawn**4).mean() - 3) < 4 * math.sqrt(96 / 200_000)


def test_exact_arithmetic_decides_as_floating_point_does(monkeypatch):
    quick = DiscreteGaussian(5.3, KEY).draw(200)

    monkeypatch.setattr(discrete_gaussian, "_MARGIN", 2.0)
    exact = DiscreteGaussian(5.3, KEY).draw(200)

    assert exact.tolist() == quick.tolist()


def test_a_coin_that_its_first_bits_leave_open_reads_more_of_the_stream(monkeypatch):
    asked = []

    def decide(prefix, gamma, more):
        asked.append((prefix, gamma, more()))
        return True

    monkeypatch.setattr(discrete_gaussian, "_MARGIN", 2.0)
    monkeypatch.setattr(discrete_gaussian, "is_below", decide)
    sampler = DiscreteGaussian(1.0, KEY)

    assert sampler._toss_coins(np.array([1.0, 0.5]), lambda at: Fraction(1, at + 1)).all()
    assert [gamma for _, gamma, _ in asked] == [1, Fraction(1, 2)]
    stream = DiscreteGaussian(1.0, KEY)._draw_words(4).tolist()
    assert [(prefix, word) for prefix, _, word in asked] == [
        (stream[0] >> 11, stream[2]),
        (stream[1] >> 11, stream[3]),
    ]


@pytest.mark.parametrize(
    "gamma", [Fraction(1, 3), Fraction(1), Fraction(7, 2), Fraction(40), Fraction(1, 2**80)]
)
@pytest.mark.parametrize("words", [0, 1, 3])
@pytest.mark.parametrize("step", [-1, 1])
def test_more_bits_are_read_until_the_coin_is_decided(gamma, words, step):
    with localcontext(prec=400):
        exact = (-Decimal(gamma.numerator) / Decimal(gamma.denominator)).exp()
        bits = int(exact * 2 ** (53 + 64 * words)) + step
    stream = [bits >> 64 * (words - 1 - index) & (2**64 - 1) for index in range(words)]

    # Whatever follows the bits that tell the two apart
    decided = is_below(bits >> 64 * words, gamma, lambda: stream.pop(0) if stream else 5)

    assert decided == (step < 0)
    assert not stream or step > 0


def test_a_coin_of_probability_one_shows_heads():
    assert is_below(2**53 - 1, Fraction(0), lambda: pytest.fail("decided by its first bits"))


def test_the_same_key_draws_the_same_numbers_however_many_at_a_time():
    assert np.array_equal(DiscreteGaussian(9.0, KEY).draw(50), DiscreteGaussian(9.0, KEY).draw(50))
    assert not np.array_equal(DiscreteGaussian(9.0, KEY).draw(50), DiscreteGaussian(9.0, bytes(32)).draw(50))


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf, 2.0**61])
def test_a_variance_out_of_range_is_refused(variance):
    with pytest.raises(ValueError, match="variance"):
        DiscreteGaussian(variance, KEY)


# On a vector

DELTA = Vector("delta", (70_000,), Ring.UPDATES, 1.0, 20)
COUNTS = Vector("n", (70_000,), Ring.COUNTS)


@pytest.mark.parametrize("vector", [DELTA, COUNTS])
def test_the_noise_of_the_honest_sites_adds_up_to_the_whole(vector):
    total = np.full(vector.words, 7, vector.dtype)
    total[-CANARY_WORDS:] = 0
    for site in range(4):
        add_noise(vector, total, 2.0**20 / 4, bytes([site]) * 32)

    deviations = total[:-CANARY_WORDS].view(f"<i{vector.dtype.itemsize}") - 7
    assert not total[-CANARY_WORDS:].any()
    assert abs(deviations.var() / 2.0**20 - 1) < 4 * math.sqrt(2 / 70_000)
    assert (deviations < 0).mean() == pytest.approx(0.5, abs=0.01)


def test_reals_have_no_integer_unit():
    vector = Vector("s", (2,), Ring.REALS)

    with pytest.raises(ValueError, match="'s'"):
        add_noise(vector, np.zeros(vector.words, vector.dtype), 1.0, KEY)


@given(
    values=hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-100, 100, width=32)),
    bound=st.floats(1e-3, 1e3),
)
def test_a_norm_is_clipped_to_its_bound_and_kept_below_it(values, bound):
    before, kept = norm(values), values.copy()

    assert clip_norm(values, bound) == before
    assert norm(values) <= bound
    if before <= bound:
        assert np.array_equal(values, kept)
    else:
        assert norm(values) == pytest.approx(bound, rel=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_refused(value):
    with pytest.raises(SecAggError) as refusal:
        clip_norm(np.array([1.0, value]), 1.0)

    assert refusal.value.code == "E_NONFINITE"


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan])
def test_a_norm_needs_a_positive_bound(bound):
    with pytest.raises(ValueError, match="bound"):
        clip_norm(np.ones(2), bound)
