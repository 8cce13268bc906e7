"""The curvature that steps teach: of a quadratic function it is exact, of any it stays positive definite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.stats.secant import (
    Secant,
    bend_information,
    find_rounding,
    find_singular,
    keep_free,
    learn_ratios,
    start_ratios,
)


def definite(random, models, width):
    root = random.normal(size=(models, width, width))
    return root @ root.transpose(0, 2, 1) + 0.3 * np.eye(width)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3))
def test_one_step_teaches_the_curvature_along_it(seed, width, models):
    random = np.random.default_rng(seed)
    information = definite(random, models, width)
    truth = information * random.uniform(1, 2, (models, 1, 1))
    step = random.normal(size=(models, width))

    ratios = learn_ratios(
        information,
        start_ratios(models, width),
        Secant(step, np.einsum("mij,mj->mi", truth, step), information),
    )
    learned = bend_information(information, ratios)

    np.testing.assert_allclose(
        np.einsum("mij,mj->mi", learned, step), np.einsum("mij,mj->mi", truth, step), atol=1e-9
    )
    assert (np.linalg.eigvalsh(learned) > 0).all()


def test_before_any_step_the_curvature_is_the_information():
    information = definite(np.random.default_rng(0), 2, 3)

    np.testing.assert_allclose(bend_information(information, start_ratios(2, 3)), information, rtol=1e-12)


@pytest.mark.parametrize(
    "fall",
    [[[-1.0, 0.0]], [[1e5, 0.0]], [[0.0, 1.0]]],
    ids=["not concave", "far from quadratic", "across the step"],
)
def test_a_step_that_tells_nothing_teaches_nothing(fall):
    information = np.eye(2)[np.newaxis]
    secant = Secant(np.array([[1.0, 0.0]]), np.array(fall), information)

    np.testing.assert_array_equal(learn_ratios(information, start_ratios(1, 2), secant), [np.eye(2)])


def test_a_step_over_which_the_information_changed_teaches_nothing():
    information = np.eye(2)[np.newaxis]
    secant = Secant(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0]]), 4 * information)

    np.testing.assert_array_equal(learn_ratios(information, start_ratios(1, 2), secant), [np.eye(2)])


def test_only_free_coefficients_stay_beside_ones():
    information = np.arange(1.0, 10.0).reshape(1, 3, 3)

    np.testing.assert_array_equal(
        keep_free(information, np.array([[True, False, True]])), [[[1, 0, 3], [0, 1, 0], [7, 0, 9]]]
    )


def test_singular_matrices_are_found_and_rounding_grows_with_the_condition():
    matrices = np.array([np.eye(2), np.diag([1.0, 1e-6]), np.diag([1.0, 1e-16]), np.zeros((2, 2))])

    assert find_singular(matrices).tolist() == [False, False, True, True]
    likelihood, decrement = find_rounding(matrices)
    assert likelihood[0] < 1e-15 < likelihood[1] < 1e-9 < likelihood[2]
    assert decrement[0] < 1e-30 < decrement[1] < 1e-12
    assert decrement.max() <= 1e-11
