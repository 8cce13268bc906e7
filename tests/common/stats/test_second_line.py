"""The second line: what singles out and does not fit is beyond the bounds, honest fits are not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from reference.glm.honest_fits import watch_fits

from common.stats.newton import Query
from common.stats.second_line import (
    DISORDER,
    FEWEST,
    GENTLE,
    POINTED,
    STEEP,
    find_beyond,
    is_beyond,
    measure_sharpness,
    predict_asked,
)
from common.stats.stack import Problem

SIXTEEN = np.arange(16) % 2 == 0


def test_sharpness_by_definition():
    random = np.random.default_rng(1)
    predictor, labels = 4 * random.normal(size=30), random.random(30) < 0.5

    sharpness = measure_sharpness(predictor, labels)

    p = 1 / (1 + np.exp(-predictor))
    w = p * (1 - p)
    gaps = [high - low for high, low in itertools.product(predictor[labels], predictor[~labels])]
    wrong = sum(-gap for gap in gaps if gap < 0) / sum(abs(gap) for gap in gaps)
    assert sharpness.spread == pytest.approx(np.std(predictor))
    assert sharpness.effective == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert sharpness.disorder == pytest.approx(min(wrong, 1 - wrong))
    assert 0 < sharpness.disorder < 0.5


def test_the_effective_sample_is_known_where_all_weights_are_0_in_floating_point():
    predictor = np.array([800.0, 800.0, -800.0, 5000.0])

    assert not np.exp(-np.abs(predictor)).any()
    assert measure_sharpness(predictor, SIXTEEN[:4]).effective == pytest.approx(3)


@pytest.mark.parametrize("turned", [1, -1])
def test_perfect_order_either_way_is_within_the_bounds_however_steep(turned):
    predictor = turned * 1e6 * np.where(SIXTEEN, 1.0, -1.0) * np.linspace(1, 2, 16)

    assert measure_sharpness(predictor, SIXTEEN).disorder == 0
    assert not is_beyond(predictor, SIXTEEN)


def steep(spread):
    """Without any order, of this standard deviation."""
    predictor = np.repeat(np.linspace(-1, 1, 8), 2)
    return predictor * spread / predictor.std()


@pytest.mark.parametrize(("spread", "beyond"), [(STEEP * 0.999, False), (STEEP * 1.001, True), (1e9, True)])
def test_a_steep_model_has_to_order_the_outcomes(spread, beyond):
    """Two patients each are alike, so the effective sample is 2 and more however steep it is."""
    assert measure_sharpness(steep(spread), SIXTEEN).effective >= POINTED
    assert measure_sharpness(steep(spread), SIXTEEN).disorder > DISORDER
    assert is_beyond(steep(spread), SIXTEEN) is beyond


@pytest.mark.parametrize(("spread", "beyond"), [(GENTLE * 0.999, False), (GENTLE * 1.001, True)])
def test_a_model_that_rests_on_one_patient_has_to_sooner(spread, beyond):
    predictor = np.repeat([-1.0, 1.0], 8)
    predictor[7] = 0.0
    predictor *= spread / predictor.std()
    labels = np.arange(16) % 2 == 0

    assert measure_sharpness(predictor, labels).effective < POINTED
    assert is_beyond(predictor, labels) is beyond
    # A calibration may begin with scores that are certain and wrong.
    assert not is_beyond(predictor, labels, gentle=STEEP)


@pytest.mark.parametrize("few", [FEWEST - 1, FEWEST])
def test_an_order_is_judged_with_enough_patients_of_each_class(few):
    labels = np.arange(60) < few
    predictor = 1e3 * np.random.default_rng(3).normal(size=60)

    assert is_beyond(predictor, labels) is (few == FEWEST)
    assert is_beyond(predictor, ~labels) is (few == FEWEST)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_beyond_the_bounds(odd):
    assert is_beyond(np.array([odd]), np.array([True]))


def test_patients_who_are_not_asked_about_do_not_count():
    predictors = np.stack([steep(1e4), steep(1.0)])
    predictors[1, :4] = np.nan
    members = np.ones((2, 16), dtype=bool)
    members[1, :4] = False

    assert find_beyond(predictors, SIXTEEN, members).tolist() == [True, False]
    assert find_beyond(predictors, SIXTEEN, members & False).tolist() == [False, False]


@pytest.mark.parametrize("block", [1, 2**18])
def test_predictors_of_the_active_models_by_definition(monkeypatch, block):
    monkeypatch.setattr("common.stats.stack._BLOCK", block)
    matrix = np.array([[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0]])
    columns, free = np.array([[0, -1], [0, 1], [1, -1]]), np.ones((3, 3), dtype=bool)
    problem = Problem(columns, free, np.array([1.0, 2.0]), np.array([2.0, 4.0]), firth=False)
    query = Query(np.array([[1.0, 2.0, 9.0], [0.0] * 3, [0.5, -1.0, 9.0]]), np.array([True, False, True]))

    predictors, members = predict_asked(matrix, np.array([True, False, True]), problem, query)

    assert members.tolist() == [[True, False, True], [True, True, True]]
    np.testing.assert_allclose(predictors[members], [1.0, 5.0, 0.5, 0.0, -0.5])


def test_honest_fits_are_never_refused():
    """A part of `reference.glm.honest_fits`, whose thousand cohorts the bounds come from; some 200 fits."""
    watches = dict(watch_fits(20, 5))

    assert all(watch.questions > 200 and not watch.refused for watch in watches.values()), watches
    # Without questions that single out, this would say nothing.
    assert len(watches["regressions"].singling) > 100


def test_a_reader_s_lines_are_beyond_the_bounds():
    """Directions that know nothing of the outcomes, through each of 31 patients in turn, as at one of three
    hospitals with 93."""
    random = np.random.default_rng(8)
    z, labels = random.normal(size=(31, 5)), np.arange(31) % 3 == 0
    directions = random.normal(size=(31, 5))
    predictors = 1e3 * np.sum(directions[:, np.newaxis] * (z[np.newaxis] - z[:, np.newaxis]), axis=2)

    effective = [measure_sharpness(row, labels).effective for row in predictors]

    assert max(effective) < 1.1
    # One is enough to refuse the question; each alone is refused unless it happens to order the outcomes.
    assert find_beyond(predictors, labels, np.ones((31, 31), dtype=bool)).mean() > 0.75
