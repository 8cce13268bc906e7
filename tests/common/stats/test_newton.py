from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.stats.newton import MAXIMUM_ROUNDS, Problem, advance, local_newton, start

PROBLEM = Problem(np.array([[0]]), np.ones((1, 2), dtype=bool), np.zeros(1), np.ones(1), firth=False)
X = np.array([[-1.0], [0.0], [1.0], [2.0], [np.nan]])
Y = np.array([False, True, False, True, True])


def test_first_answer_by_hand():
    answer = local_newton(X, Y, PROBLEM, start(PROBLEM).query)

    # All probabilities are 1/2: score = sum (y - 1/2) x, information = sum x x / 4, over the four known.
    np.testing.assert_allclose(answer.reals["score"], [[0.0, 1.0]])
    np.testing.assert_allclose(answer.reals["information"], [[[1.0, 0.5], [0.5, 1.5]]])
    np.testing.assert_allclose(answer.reals["log_likelihood"], [-4 * np.log(2)])


def test_a_step_that_lowers_the_likelihood_is_halved():
    first = advance(start(PROBLEM), PROBLEM, local_newton(X, Y, PROBLEM, start(PROBLEM).query))
    too_good = replace(first, log_likelihood=np.array([-1e-3]))

    second = advance(too_good, PROBLEM, local_newton(X, Y, PROBLEM, first.query))

    np.testing.assert_allclose(second.query.coefficients, first.query.coefficients / 2)
    np.testing.assert_allclose(second.accepted, 0)
    assert second.rounds == 2


def test_finished_models_are_not_asked_again():
    state = replace(start(PROBLEM), rounds=MAXIMUM_ROUNDS - 1)

    last = advance(state, PROBLEM, local_newton(X, Y, PROBLEM, state.query))

    assert not last.query.active.any()
    assert not last.converged.any()
    answer = local_newton(X, Y, PROBLEM, last.query)
    assert not answer.reals["information"].any()


@pytest.mark.parametrize("direction", [1, -1])
def test_separation_is_seen(direction):
    separable = direction * np.arange(-5.0, 5.0)[:, np.newaxis] / 3
    state = start(PROBLEM)
    while state.query.active.any():
        state = advance(state, PROBLEM, local_newton(separable, np.arange(10) >= 5, PROBLEM, state.query))

    assert state.separated.all()
    assert not state.converged.any()
