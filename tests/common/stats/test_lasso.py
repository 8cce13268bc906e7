from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LassoCV, lasso_path

from common.errors import NonFiniteError
from common.stats import coordinate_descent
from common.stats.contract import Summary, total
from common.stats.icc import RatingLocation
from common.stats.lasso import (
    finish_lasso,
    gram_status,
    local_gram,
    local_magnitude,
    local_scaling,
    magnitude_of,
    scaling_of,
)
from common.stats.minima import SIMULATION, STANDARD
from common.stats.symmetric import pack_symmetric


def draw(n=200, features=8, seed=0):
    random = np.random.default_rng(seed)
    x = 50 + 7 * random.normal(size=(n, features)) @ (np.eye(features) + 0.2)
    x[:, 5] = 3.0
    labels = random.random(n) < 1 / (1 + np.exp(-(x[:, 0] - x[:, 1]) / 7))
    folds = random.integers(0, 5, n)
    return x, labels, folds


def standardise_over(parts):
    """Means and SDs from the sums of these sites' features."""
    magnitude = magnitude_of(total(local_magnitude(part) for part in parts))
    return scaling_of(total(local_scaling(part, magnitude) for part in parts), magnitude)


def three_rounds(x, labels, folds, sites, *, rule="lambda_min", minima=SIMULATION):
    scale = standardise_over([x[site] for site in sites])
    grams = total(local_gram(x[site], labels[site], folds[site], 5, scale) for site in sites)
    return finish_lasso(grams, rule, minima)


def test_equals_sklearns_lasso_cv():
    x, labels, folds = draw()
    z = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(5)]

    result = three_rounds(x, labels, folds, [np.arange(200)])

    expected = LassoCV(cv=splits, tol=1e-12, max_iter=100_000).fit(z, labels)
    assert result.penalty == pytest.approx(expected.alpha_, rel=1e-9)
    np.testing.assert_allclose(result.penalties, expected.alphas_, rtol=1e-9)
    np.testing.assert_allclose(result.losses, expected.mse_path_.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(result.coefficients, expected.coef_, atol=1e-8)
    assert result.intercept == pytest.approx(expected.intercept_, abs=1e-8)
    assert result.selected == tuple(np.flatnonzero(expected.coef_))
    assert 5 not in result.selected


def test_the_path_of_what_was_selected_is_sklearn_s():
    x, labels, folds = draw()
    z = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)

    result = three_rounds(x, labels, folds, [np.arange(200)], rule="1se")

    centred = labels - labels.mean()
    _, expected, _ = lasso_path(z, centred, alphas=result.penalties, tol=1e-13, max_iter=100_000)
    assert 0 < len(result.selected) < 7
    np.testing.assert_allclose(result.profiles, expected[list(result.selected)], atol=1e-8)
    assert result.active == tuple(np.count_nonzero(np.abs(expected) > 1e-9, axis=0).tolist())
    at = result.penalties.index(result.penalty)
    assert [row[at] for row in result.profiles] == [result.coefficients[j] for j in result.selected]


def test_federated_equals_pooled(federations):
    x, labels, folds = draw(seed=1)
    pooled = three_rounds(x, labels, folds, [np.arange(200)])

    for sites in list(federations(labels))[1::2]:
        result = three_rounds(x, labels, folds, sites)
        assert result.selected == pooled.selected
        np.testing.assert_allclose(result.losses, pooled.losses, rtol=1e-9)
        np.testing.assert_allclose(result.coefficients, pooled.coefficients, atol=1e-8)


def test_one_standard_error_selects_fewer():
    x, labels, folds = draw()
    least = three_rounds(x, labels, folds, [np.arange(200)])
    simple = three_rounds(x, labels, folds, [np.arange(200)], rule="1se")

    assert simple.penalty > least.penalty
    assert len(simple.selected) <= len(least.selected)
    at = int(np.argmin(least.losses))
    position = simple.penalties.index(simple.penalty)
    assert simple.losses[position] <= least.losses[at] + least.standard_errors[at]
    assert simple.losses[position - 1] > least.losses[at] + least.standard_errors[at]


LARGE = [1e6, 1e7, 1e8, 1e9, -1e9, 3e8, 0.0, 1e9]
"""Means of features that vary by about 1: about 0, their squares keep no digit of that."""


def draw_large(n=200, seed=3):
    x, labels, folds = draw(n, len(LARGE), seed)
    x = (x - 50) / 7 + np.array(LARGE)
    x[:, 5] = LARGE[5]
    return x, labels, folds


def standardise_exactly(x):
    """z-scores of the pooled rows; the first row is subtracted before any rounding can happen."""
    d = x - x[0]
    return (d - d.mean(axis=0)) / np.where(d.std(axis=0) > 0, d.std(axis=0), 1)


def test_features_with_large_means_are_scaled_as_pooled_rows_are(federations):
    x, labels, _ = draw_large()
    d = x - x[0]

    for sites in federations(labels):
        scale = standardise_over([x[site] for site in sites])

        varying = np.arange(len(LARGE)) != 5
        np.testing.assert_allclose(scale.sd[varying], d.std(axis=0)[varying], rtol=1e-12)
        np.testing.assert_allclose(scale.mean, x[0] + d.mean(axis=0), rtol=1e-15, atol=1e-14)
        assert scale.kept.tolist() == varying.tolist()
        np.testing.assert_allclose(scale.standardise(x), standardise_exactly(x), atol=5e-7)


def test_large_means_change_nothing_against_sklearn_s_lasso_cv(federations):
    x, labels, folds = draw_large()
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(5)]
    expected = LassoCV(cv=splits, tol=1e-12, max_iter=100_000).fit(standardise_exactly(x), labels)

    for sites in federations(labels):
        result = three_rounds(x, labels, folds, sites)

        assert result.penalty == pytest.approx(expected.alpha_, rel=1e-9)
        np.testing.assert_allclose(result.losses, expected.mse_path_.mean(axis=1), rtol=1e-9)
        np.testing.assert_allclose(result.coefficients, expected.coef_, atol=1e-8)
        assert result.selected == tuple(np.flatnonzero(expected.coef_))


@pytest.mark.parametrize(
    ("sizes", "positives", "features", "reason"),
    [
        ((30, 19), (10, 9), 4, "fold below"),
        ((30, 30), (10, 4), 4, "fold below"),
        ((30, 30), (10, 10), 16, "two patients a feature"),
        ((30, 30), (0, 0), 4, "one class"),
        ((30, 0), (10, 0), 4, "two folds"),
    ],
)
def test_what_would_reveal_patients_is_refused(sizes, positives, features, reason):
    classes = np.array([[n - p, p] for n, p in zip(sizes, positives, strict=True)])
    summary = Summary(
        {"classes": classes}, {"gram": pack_symmetric(np.zeros((2, features + 2, features + 2)))}
    )

    result = finish_lasso(summary, minima=STANDARD)

    assert reason in result.status.reason
    assert (result.coefficients, result.selected, result.penalty) == ((), (), None)


def test_plan_may_waive_the_wide_gram_and_nothing_else():
    random = np.random.default_rng(0)
    x, labels, folds = random.normal(size=(200, 30)), np.arange(200) % 2 == 0, np.arange(200) // 4 % 5
    scale = standardise_over([x])
    grams = local_gram(x, labels, folds, 5, scale)

    assert "two patients a feature" in finish_lasso(grams).status.reason
    waived = finish_lasso(grams, wide_gram_accepted=True)
    assert waived.status.ok
    assert "accepted by the plan" in waived.method
    few = np.array([[30, 4], [30, 30]])
    assert "fold below" in gram_status(few, 4, STANDARD, wide_gram_accepted=True).reason


def test_refuses_missing_values_and_nobody():
    for value in (np.nan, np.inf):
        with pytest.raises(NonFiniteError):
            local_magnitude(np.array([[value]]))
        with pytest.raises(NonFiniteError):
            local_scaling(np.array([[value]]), RatingLocation(np.zeros(1), np.ones(1)))
    with pytest.raises(ValueError, match="no patients"):
        standardise_over([np.empty((0, 2))])


def test_says_so_when_it_does_not_converge(monkeypatch):
    monkeypatch.setattr(coordinate_descent, "_SWEEPS", 2)

    with pytest.raises(NonFiniteError, match="did not converge"):
        three_rounds(*draw(), [np.arange(200)])
