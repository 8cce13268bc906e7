from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import lasso_path

from common.errors import NonFiniteError
from common.stats import coordinate_descent
from common.stats.coordinate_descent import descend


def problem(seed):
    """Cross-products of few integers, often with a feature that is another one's multiple."""
    random = np.random.default_rng(seed)
    n, p = int(random.integers(3, 20)), int(random.integers(2, 9))
    x = random.integers(-2, 3, (n, p)).astype(np.float64)
    x[:, 1] = x[:, 0] * random.choice([1.0, -1.0, 0.5, 0.3])
    y = random.normal(size=n)
    return x, y, random.normal(size=p) * random.choice([0.0, 3.0])


@pytest.mark.parametrize("seed", range(100))
def test_ends_where_nothing_pulls_beyond_the_penalty(seed):
    x, y, start = problem(seed)
    xx, xy = x.T @ x / len(y), x.T @ y / len(y)
    penalty = np.abs(xy).max() * (0.9, 0.5, 0.1, 0.01, 0.001)[seed % 5] + 1e-6

    beta = descend(xx, xy, penalty, start)

    usable = np.diag(xx) > 0
    pull = xy - xx @ np.where(usable, beta, 0)
    assert (np.abs(pull) <= penalty + 1e-9).all()
    chosen = usable & (beta != 0)
    np.testing.assert_allclose(pull[chosen], penalty * np.sign(beta[chosen]), atol=1e-9)


def test_equals_sklearn():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 7)), random.normal(size=60)

    _, expected, _ = lasso_path(x, y, alphas=[0.05], tol=1e-14, max_iter=100_000)

    beta = descend(x.T @ x / 60, x.T @ y / 60, 0.05, np.zeros(7))
    np.testing.assert_allclose(beta, expected[:, 0], atol=1e-9)


def test_feature_without_variance_stays():
    assert descend(np.zeros((1, 1)), np.ones(1), 0.1, np.zeros(1)).tolist() == [0.0]


def test_says_so_when_it_does_not_rest(monkeypatch):
    monkeypatch.setattr(coordinate_descent, "_SWEEPS", 1)

    with pytest.raises(NonFiniteError, match="did not converge"):
        descend(np.eye(2), np.ones(2), 0.1, np.zeros(2))


def test_a_penalty_below_the_rounding_of_the_gradient_is_no_flat_direction():
    """Labels that no feature explains leave a first penalty of rounding alone."""
    curvature, pull = 0.20370370370370372, -0.19245008972987523
    beta = descend(np.array([[curvature]]), np.array([pull]), 6.994248366998834e-18, np.zeros(1))
    np.testing.assert_allclose(beta, [pull / curvature], rtol=1e-15)
