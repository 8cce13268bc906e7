from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from common.errors import NonFiniteError
from common.stats import icc
from common.stats.contract import total
from common.stats.icc import finish_icc, local_icc, local_location, location_of, mean_squares
from common.stats.minima import SIMULATION, STANDARD

# Shrout and Fleiss 1979, Table 2: six subjects, four raters.
PUBLISHED = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)
FORMS = {
    "ICC(1,1)": "ICC1",
    "ICC(2,1)": "ICC2",
    "ICC(3,1)": "ICC3",
    "ICC(1,k)": "ICC1k",
    "ICC(2,k)": "ICC2k",
    "ICC(3,k)": "ICC3k",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("centre", [0.0, 5.0])
def test_equals_psych(form, centre, reference):
    expected = reference("agreement/agreement.csv")

    (result,) = finish_icc(local_icc(PUBLISHED[np.newaxis], np.array([centre])), form, SIMULATION)

    assert result.value == pytest.approx(expected[f"{FORMS[form]}.value"], rel=1e-10)
    assert result.low == pytest.approx(expected[f"{FORMS[form]}.low"], rel=1e-9)
    assert result.high == pytest.approx(expected[f"{FORMS[form]}.high"], rel=1e-9)


def test_mean_squares_as_published():
    ms = mean_squares(local_icc(PUBLISHED[np.newaxis], np.zeros(1)), 0)

    assert (round(ms.between, 2), round(ms.within, 2), round(ms.raters, 2), round(ms.error, 2)) == (
        11.24,
        6.26,
        32.49,
        1.02,
    )


@pytest.mark.parametrize("form", FORMS)
def test_federated_equals_pooled(form, federations):
    random = np.random.default_rng(0)
    ratings = random.normal(size=(5, 60, 1)) + 0.4 * random.normal(size=(5, 60, 3)) + 100
    ratings[2, 7, 1] = np.nan
    centre = np.full(5, 99.0)
    pooled = finish_icc(local_icc(ratings, centre), form, SIMULATION)

    assert [result.n_used for result in pooled] == [60, 60, 59, 60, 60]
    for sites in federations(np.arange(60) % 2):
        results = finish_icc(total(local_icc(ratings[:, site], centre) for site in sites), form, SIMULATION)
        for one, other in zip(results, pooled, strict=True):
            assert one.value == pytest.approx(other.value, rel=1e-10)
            assert one.low == pytest.approx(other.low, rel=1e-10)
            assert one.n_missing == other.n_missing


def one(ratings, form, minima=SIMULATION):
    return finish_icc(local_icc(np.asarray(ratings, dtype=float)[np.newaxis], np.zeros(1)), form, minima)[0]


@pytest.mark.parametrize("form", FORMS)
def test_perfect_agreement_has_no_interval(form):
    result = one(np.repeat(np.arange(12.0)[:, np.newaxis] / 7, 3, axis=1), form)

    assert (result.value, result.low, result.high) == (1.0, None, None)


def test_constant_offset_between_raters():
    ratings = np.arange(12.0)[:, np.newaxis] + np.array([0.0, 2.0])

    assert (one(ratings, "ICC(3,1)").value, one(ratings, "ICC(3,1)").low) == (1.0, None)
    # MSB 26, MSJ 24, MSE 0: 26 / (26 + 2 * 24 / 12).
    assert one(ratings, "ICC(2,1)").value == pytest.approx(26 / 30)
    assert one(ratings, "ICC(2,1)").low is None
    assert one(ratings, "ICC(1,1)").low is not None


def test_subjects_that_do_not_differ_are_flagged():
    ratings = np.array([[1.0, 2.0], [2.0, 1.0]] * 6)

    assert "do not differ" in str(one(ratings, "ICC(2,1)").standing)
    assert "all ratings are equal" in str(one(np.full((12, 2), 0.3), "ICC(2,1)").standing)
    assert "raters" in str(one(np.arange(12.0)[:, np.newaxis], "ICC(1,1)").standing)
    assert "subjects" in str(one([[1.0, 2.0]], "ICC(1,1)").standing)


def test_few_subjects_are_suppressed_and_few_missing_hide_the_number():
    random = np.random.default_rng(0)
    ratings = random.normal(size=(30, 2))
    ratings[0, 0] = np.nan

    assert one(ratings[:9], "ICC(1,1)", STANDARD).standing.kind == "suppressed"
    assert one(ratings, "ICC(1,1)", STANDARD).n_used is None


def test_different_raters_allow_only_the_first_form():
    summary = local_icc(PUBLISHED[np.newaxis], np.zeros(1))

    assert finish_icc(summary, "ICC(1,k)", SIMULATION, same_raters=False)[0].standing.ok
    with pytest.raises(ValueError, match="same raters"):
        finish_icc(summary, "ICC(2,1)", SIMULATION, same_raters=False)


@pytest.mark.parametrize(
    ("numerator", "denominator"), [(35, 35), (1, 0.4), (0.4, 300), (850, 17.25), (2, 1e6)]
)
def test_limits_of_f_are_scipy_s_to_the_bit(numerator, denominator):
    assert icc._invert_f(0.025, numerator, denominator) == stats.f.isf(0.025, numerator, denominator)


def test_refuses_infinite_ratings():
    with pytest.raises(NonFiniteError):
        local_icc(np.full((1, 2, 2), np.inf), np.zeros(1))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 1e9), (2.0**-20, 1e9), (1e9, 0.0), (1e-9, 0.0)])
def test_huge_and_tiny_features_equal_psych(form, scale, shift, reference, federations):
    """Whole numbers and powers of two, so that the ratings themselves lose nothing."""
    expected = reference("agreement/agreement.csv")
    ratings = (PUBLISHED * scale + shift)[np.newaxis]

    for sites in federations(np.arange(6) % 2):
        location = location_of(total(local_location(ratings[:, site]) for site in sites))
        sums = total(local_icc(location.apply(ratings[:, site]), np.zeros(1)) for site in sites)
        (result,) = finish_icc(sums, form, SIMULATION)

        assert result.value == pytest.approx(expected[f"{FORMS[form]}.value"], rel=1e-10)
        assert result.low == pytest.approx(expected[f"{FORMS[form]}.low"], rel=1e-9)


def test_without_a_centre_near_the_mean_the_digits_are_lost():
    """Why there is a round for the means."""
    ratings = PUBLISHED[np.newaxis] * 2.0**-20 + 1e9

    (lost,) = finish_icc(local_icc(ratings, np.zeros(1)), "ICC(2,1)", SIMULATION)

    assert lost.value is None or abs(lost.value - 0.2897638) > 0.01


def test_centres_and_scales_are_those_of_whoever_rated():
    ratings = np.array(
        [[[6.0, 10.0], [np.nan, 8.0]], [[np.nan, np.nan], [np.nan, np.nan]], [[-3, 3], [0, 0]]]
    )

    found = location_of(local_location(ratings))

    np.testing.assert_array_equal(found.centre, [8.0, 0.0, 0.0])
    np.testing.assert_array_equal(found.scale, [16.0, 1.0, 2.0])
    assert found.apply(ratings)[0, 0].tolist() == [-0.125, 0.125]
    with pytest.raises(NonFiniteError):
        local_location(np.full((1, 2, 2), np.inf))
