from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from common.errors import NonFiniteError
from common.stats.calibration import finish_calibration, local_calibration, logits, recalibrate
from common.stats.contract import total
from common.stats.minima import SIMULATION, STANDARD
from common.stats.newton import local_newton


def draw(n=400, seed=0):
    random = np.random.default_rng(seed)
    scores = random.beta(2, 3, n)
    return scores, random.random(n) < special.expit(0.3 + 0.8 * special.logit(scores))


def rounds_over(scores, labels, sites, minima=STANDARD):
    parts = [(scores[site], labels[site]) for site in sites]
    summary = total(local_calibration(s, y) for s, y in parts)
    (found,) = recalibrate(
        lambda problem, query: total(
            local_newton(logits(s)[:, np.newaxis], y, problem, query) for s, y in parts
        ),
        [summary],
        minima,
    )
    return found


def test_many_cohorts_in_one_loop_are_each_alone():
    (first, y1), (second, y2) = draw(300, 1), draw(200, 2)
    few, y3 = np.array([0.2, 0.7]), np.array([False, True])
    scores, labels = np.concatenate([first, few, second]), np.concatenate([y1, y3, y2])
    # Nobody is in two cohorts; the middle one is too small to be asked.
    matrix = np.full((502, 3), np.nan)
    for column, own in enumerate((slice(0, 300), slice(300, 302), slice(302, 502))):
        matrix[own, column] = logits(scores[own])
    asked = []

    def ask(problem, query):
        asked.append(problem.columns.ravel().tolist())
        return local_newton(matrix, labels, problem, query)

    parts = ((first, y1), (few, y3), (second, y2))
    found = recalibrate(ask, [local_calibration(s, y) for s, y in parts])

    assert asked[0] == [0, 0, 2, 2]
    assert found[0].slope.value == pytest.approx(rounds_over(first, y1, [slice(None)]).slope.value, rel=1e-9)
    assert found[2].intercept.value == pytest.approx(
        rounds_over(second, y2, [slice(None)]).intercept.value, rel=1e-9
    )
    assert found[1].slope.standing.kind == "suppressed"


def test_equals_sklearn():
    scores, labels = draw()

    result = finish_calibration(local_calibration(scores, labels), SIMULATION)

    observed, predicted = calibration_curve(labels, scores, n_bins=10)
    assert result.brier.value == pytest.approx(brier_score_loss(labels, scores), rel=1e-12)
    np.testing.assert_allclose([point.observed for point in result.points], observed)
    np.testing.assert_allclose([point.predicted for point in result.points], predicted)
    weights = np.array([point.patients for point in result.points]) / 400
    assert result.expected_calibration_error.value == pytest.approx(
        np.sum(weights * np.abs(observed - predicted))
    )


def test_intercept_and_slope_solve_their_equations(federations):
    scores, labels = draw()
    x = special.logit(scores)

    for sites in federations(labels):
        result = rounds_over(scores, labels, sites)
        assert result.rounds <= 8
        assert abs(np.sum(labels - special.expit(result.intercept.value + x))) < 1e-7
        slope = result.slope.value
        assert slope == pytest.approx(0.8, abs=0.35)
        assert result.slope.low < slope < result.slope.high
    # The slope is the coefficient of a logistic model without penalty.
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, np.newaxis], labels)
    assert slope == pytest.approx(model.coef_[0, 0], rel=1e-5)


def test_federated_equals_pooled(federations):
    scores, labels = draw(seed=1)
    pooled = finish_calibration(local_calibration(scores, labels))

    for sites in federations(labels):
        result = finish_calibration(total(local_calibration(scores[site], labels[site]) for site in sites))
        assert result.brier.value == pytest.approx(pooled.brier.value, rel=1e-12)
        assert result.expected_calibration_error.value == pytest.approx(
            pooled.expected_calibration_error.value, rel=1e-12
        )
        assert [p.observed for p in result.points] == [p.observed for p in pooled.points]


@pytest.mark.parametrize("seed", range(8))
def test_every_point_may_be_shown(seed):
    scores, labels = draw(60, seed)

    points = finish_calibration(local_calibration(scores, labels)).points

    assert sum(point.patients for point in points) == 60
    for point in points:
        events = round(point.observed * point.patients)
        assert point.patients >= 10
        assert events == 0 or events >= 5
        assert events == point.patients or point.patients - events >= 5


def test_perfectly_separated_scores_have_no_slope():
    labels = np.arange(40) >= 20

    result = rounds_over(np.where(labels, 0.7, 0.3), labels, [np.arange(40)])

    assert "separated" in str(result.slope.standing)
    assert result.intercept.standing.ok


@pytest.mark.parametrize("score", [0.3, 0.5])
def test_constant_score_has_no_slope(score):
    labels = np.arange(40) % 4 == 0

    result = rounds_over(np.full(40, score), labels, [np.arange(25), np.arange(25, 40)])

    assert str(result.slope.standing) == "undefined(all scores are equal)"
    # The intercept takes the mean prediction to the prevalence.
    assert result.intercept.value == pytest.approx(special.logit(0.25) - special.logit(score))


def test_extreme_scores_are_clipped_and_counted():
    scores = np.array([0.0, 1.0, 1e-7] * 10 + [0.4] * 10)

    assert finish_calibration(local_calibration(scores, np.arange(40) % 2 == 0)).n_clipped == 30
    assert np.isfinite(logits(scores)).all()


def test_patients_without_a_score_are_left_out_and_counted(federations):
    scores, labels = draw()
    absent = np.where(np.arange(400) % 20 == 0, np.nan, scores)
    known = ~np.isnan(absent)
    alone = finish_calibration(local_calibration(scores[known], labels[known]))
    recalibrated = rounds_over(scores[known], labels[known], [np.arange(380)])

    for sites in federations(labels):
        result = finish_calibration(total(local_calibration(absent[site], labels[site]) for site in sites))
        again = rounds_over(absent, labels, sites)
        assert (result.n_used, result.n_missing, result.brier.n_missing) == (380, 20, 20)
        assert result.brier.value == pytest.approx(alone.brier.value, rel=1e-12)
        assert again.slope.value == pytest.approx(recalibrated.slope.value, rel=1e-8)
        assert (again.slope.n_used, again.intercept.n_missing) == (380, 20)


def test_few_without_a_score_hide_what_would_tell_how_many_have_one():
    scores, labels = draw()
    scores[:4] = np.nan

    result = finish_calibration(local_calibration(scores, labels))
    again = rounds_over(scores, labels, [np.arange(400)])

    assert (result.n_used, result.n_missing, result.points, result.brier.n_used) == (None, None, (), None)
    assert (again.slope.n_used, again.slope.n_missing, result.status.ok) == (None, None, True)
    assert finish_calibration(local_calibration(scores, labels), SIMULATION).n_missing == 4


def test_refuses_what_is_no_score():
    with pytest.raises(NonFiniteError, match="infinite"):
        local_calibration(np.array([0.1, np.inf]), np.array([True, False]))


def test_too_few_are_suppressed():
    for positives, word in ((0, "one class"), (9, "fewer")):
        labels = np.arange(60) < positives
        result = finish_calibration(local_calibration(np.linspace(0, 1, 60), labels))
        again = rounds_over(np.linspace(0, 1, 60), labels, [np.arange(60)])
        assert word in str(result.status)
        assert (result.brier.value, result.points) == (None, ())
        assert (again.slope.value, again.intercept.value, again.rounds) == (None, None, 0)


@pytest.mark.parametrize(
    "narrowed",
    [lambda scores: 0.5 + 0.02 * (scores - 0.5), np.round, lambda scores: scores**8],
    ids=["hardly spread", "zero or one", "near to zero"],
)
def test_any_spread_of_scores_has_the_slope_and_intercept_of_scikit_learn_and_scipy(narrowed):
    scores, labels = draw(400, 3)
    odd = narrowed(scores)
    logit = logits(odd)

    found = rounds_over(odd, labels, [np.arange(150), np.arange(150, 400)])

    z = (logit - logit.mean()) / logit.std()
    fitted = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(z[:, np.newaxis], labels)
    assert found.slope.value == pytest.approx(fitted.coef_[0, 0] / logit.std(), rel=1e-5)
    large = optimize.brentq(lambda a: np.sum(labels - special.expit(a + logit)), -30, 30, xtol=1e-13)
    assert found.intercept.value == pytest.approx(large, rel=1e-8)


def test_equal_scores_have_an_intercept_but_no_slope():
    labels = np.arange(60) % 3 == 0

    found = rounds_over(np.full(60, 0.25), labels, [np.arange(20), np.arange(20, 60)])

    assert found.intercept.value == pytest.approx(special.logit(1 / 3) - special.logit(0.25), rel=1e-9)
    assert found.slope.standing.reason == "all scores are equal"
