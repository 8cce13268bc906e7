"""Random Fourier features: their products are the Gaussian kernel's values, within a known error."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from common.models.fourier import draw_map

GAMMA = 0.07


def error(features, rows):
    """Root mean square over pairs of rows and over draws."""
    exact = rbf_kernel(rows, gamma=GAMMA)
    found = []
    for seed in range(20):
        own = draw_map(np.random.default_rng(seed), features, rows.shape[1]).features(rows, GAMMA)
        found.append(np.mean((own @ own.T - exact) ** 2))
    return np.sqrt(np.mean(found))


def test_the_products_approximate_scikit_learn_s_kernel():
    rows = np.random.default_rng(3).standard_normal((40, 6))
    own = draw_map(np.random.default_rng(1), 20_000, 6).features(rows, GAMMA)

    assert own @ own.T == pytest.approx(rbf_kernel(rows, gamma=GAMMA), abs=0.03)


def test_the_error_falls_as_the_root_of_the_number_of_features():
    rows = np.random.default_rng(4).standard_normal((40, 6))

    assert error(64, rows) / error(1024, rows) == pytest.approx(4, rel=0.15)


def test_fewer_features_are_the_first_of_more():
    few = draw_map(np.random.default_rng(9), 5, 3)
    many = draw_map(np.random.default_rng(9), 50, 3)

    assert np.array_equal(few.frequencies, many.frequencies[:5])
    assert np.array_equal(few.phases, many.phases[:5])


def test_a_missing_value_leaves_no_features():
    rows = np.array([[0.0, 1.0], [np.nan, 1.0]])
    found = draw_map(np.random.default_rng(0), 3, 2).features(rows, 1.0)

    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize(("features", "columns"), [(0, 2), (2, 0)])
def test_a_map_of_nothing_is_refused(features, columns):
    with pytest.raises(ValueError, match="at least 1"):
        draw_map(np.random.default_rng(0), features, columns)
