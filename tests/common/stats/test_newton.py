from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.stats.newton import (
    MAXIMUM_ROUNDS_UNPENALISED,
    SEPARATED,
    Query,
    advance_newton,
    local_newton,
    start_newton,
)
from common.stats.stack import Problem

PROBLEM = Problem(np.array([[0]]), np.ones((1, 2), dtype=bool), np.zeros(1), np.ones(1), firth=False)
X = np.array([[-1.0], [0.0], [1.0], [2.0], [np.nan]])
Y = np.array([False, True, False, True, True])


def test_first_answer_by_hand():
    answer = local_newton(X, Y, PROBLEM, start_newton(PROBLEM).query)

    # All probabilities are 1/2: score = sum (y - 1/2) x, information = sum x x / 4, over the four known.
    np.testing.assert_allclose(answer.reals["score"], [[0.0, 1.0]])
    np.testing.assert_allclose(answer.reals["information"], [[[1.0, 0.5], [0.5, 1.5]]])
    np.testing.assert_allclose(answer.reals["log_likelihood"], [-4 * np.log(2)])


def test_a_step_that_lowers_the_likelihood_is_halved():
    first = advance_newton(
        start_newton(PROBLEM), PROBLEM, local_newton(X, Y, PROBLEM, start_newton(PROBLEM).query)
    )
    too_good = replace(first, log_likelihood=np.array([-1e-3]))

    second = advance_newton(too_good, PROBLEM, local_newton(X, Y, PROBLEM, first.query))

    np.testing.assert_allclose(second.query.coefficients, first.query.coefficients / 2)
    np.testing.assert_allclose(second.accepted, 0)
    assert second.rounds == 2


def test_finished_models_are_not_asked_again():
    state = replace(start_newton(PROBLEM), rounds=MAXIMUM_ROUNDS_UNPENALISED - 1)

    last = advance_newton(state, PROBLEM, local_newton(X, Y, PROBLEM, state.query))

    assert not last.query.active.any()
    assert not last.converged.any()
    answer = local_newton(X, Y, PROBLEM, last.query)
    assert not answer.reals["information"].any()


@pytest.mark.parametrize("firth", [False, True])
@pytest.mark.parametrize("block", [1, 40, 2**18])
def test_models_of_several_widths_with_their_own_patients_by_definition(monkeypatch, firth, block):
    monkeypatch.setattr("common.stats.stack._BLOCK", block)
    monkeypatch.setattr("common.stats.stack.WIDEST_THIRD", 4)
    random = np.random.default_rng(3)
    matrix, labels = random.normal(2, 3, (60, 4)), random.random(60) < 0.4
    matrix[random.random((60, 4)) < 0.1] = np.nan
    models = np.array([[0, -1, -1], [1, 2, 3], [2, 0, -1], [3, -1, -1]])
    problem = Problem(models, models[:, :1].repeat(4, axis=1) >= 0, np.full(4, 2.0), np.full(4, 3.0), firth)
    beta = random.normal(size=(4, 4))
    query = Query(beta, np.array([True, True, True, False]))

    answer = local_newton(matrix, labels, problem, query)

    for row, columns in enumerate(models[:3]):
        own = columns[columns >= 0]
        known = ~np.isnan(matrix[:, own]).any(axis=1)
        assert 0 < known.sum() < 60
        x = np.zeros((known.sum(), 4))
        x[:, 0] = 1
        x[:, 1 : own.size + 1] = (matrix[known][:, own] - 2) / 3
        y, eta = labels[known], x @ beta[row]
        p = 1 / (1 + np.exp(-eta))
        np.testing.assert_allclose(answer.reals["score"][row], x.T @ (y - p), atol=1e-12)
        np.testing.assert_allclose(answer.reals["information"][row], (x.T * p * (1 - p)) @ x, atol=1e-12)
        assert answer.reals["log_likelihood"][row] == pytest.approx(np.log(np.where(y, p, 1 - p)).sum())
        if firth:
            third = np.einsum("n,nr,ns,nt->rst", p * (1 - p) * (0.5 - p), x, x, x)
            np.testing.assert_allclose(answer.reals["third"][row], third, atol=1e-12)
    assert not any(array[3].any() for array in answer.reals.values())


def test_far_coefficients_do_not_overflow():
    query = Query(np.array([[0.0, 5000.0]]), np.array([True]))

    answer = local_newton(X, Y, PROBLEM, query)

    # Only the negative at 1 is wrong, and by 5000; the positive at 0 does not know.
    assert answer.reals["log_likelihood"][0] == pytest.approx(-5000 - np.log(2))
    np.testing.assert_allclose(answer.reals["score"], [[-0.5, -1.0]])


@pytest.mark.parametrize("direction", [1, -1])
def test_separation_is_seen(direction):
    separable = direction * np.arange(-5.0, 5.0)[:, np.newaxis] / 3
    state = start_newton(PROBLEM)
    while state.query.active.any():
        state = advance_newton(
            state, PROBLEM, local_newton(separable, np.arange(10) >= 5, PROBLEM, state.query)
        )

    assert state.separated.all()
    assert not state.converged.any()


def run_newton(problem, matrix, labels, start=None):
    state = start_newton(problem, start)
    while state.query.active.any():
        state = advance_newton(state, problem, local_newton(matrix, labels, problem, state.query))
    return state


def test_a_large_coefficient_is_no_separation():
    """One pair out of order: the maximum is finite, at 15 standard deviations."""
    x = np.arange(-30.0, 30.0)[:, np.newaxis] / np.arange(60).std()
    labels = np.arange(60) >= 30
    labels[[29, 30]] = labels[[30, 29]]

    state = run_newton(PROBLEM, x, labels)

    assert state.accepted[0, 1] > 10
    assert (state.converged[0], state.separated[0]) == (True, False)


def test_a_likelihood_that_proves_separation_does_so_only_if_all_coefficients_may_grow():
    """The intercept beside a fixed slope has a maximum, however well both predict."""
    fixed = replace(PROBLEM, free=np.array([[True, False]]))
    x, labels = np.repeat([-9.0, 9.0], 10)[:, np.newaxis], np.arange(20) >= 10

    state = run_newton(fixed, x, labels, np.array([[0.4, 1.0]]))

    assert state.log_likelihood[0] > SEPARATED
    assert (state.converged[0], state.separated[0]) == (True, False)
    assert state.accepted[0] == pytest.approx([0, 1], abs=1e-9)


def test_probabilities_of_0_and_1_end_the_iteration_without_an_error():
    """At 5000 no patient has any weight left: the information is 0."""
    state = run_newton(PROBLEM, X[:4], Y[:4], np.array([[0.0, 5000.0]]))

    assert not state.converged.any()
    assert state.rounds == 1


def test_fourth_powers_are_summed_only_where_asked():
    query = start_newton(PROBLEM, fourth=True).query

    answer = local_newton(X, Y, PROBLEM, query)

    # -1, 0, 1 and 2 are known; the intercept's 1 counts four times.
    np.testing.assert_array_equal(answer.reals["fourth"], [[4.0, 18.0]])
    assert "fourth" not in local_newton(X, Y, PROBLEM, replace(query, fourth=False)).reals
    state = advance_newton(start_newton(PROBLEM, fourth=True), PROBLEM, answer)
    assert not state.query.fourth
