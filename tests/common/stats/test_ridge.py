"""Ridge-penalised logistic regression: scikit-learn's, and the same over one, two or three sites."""

import itertools

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from common.stats.contract import total
from common.stats.ridge import advance_ridge, local_held_out, local_ridge, start_ridge

C = np.array([0.05, 1.0, 40.0])


def patients(n=150, features=12, seed=0):
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, features))
    return x, x[:, 0] - x[:, 1] + random.logistic(size=n) > 0.4


def fitted(x, labels, sites=1, trains=None):
    trains = np.ones((len(C), len(x)), dtype=bool) if trains is None else trains
    state = start_ridge(1 / C, x.shape[1])
    while state.active.any():
        asked = np.flatnonzero(state.active)
        state = advance_ridge(
            state,
            total(
                local_ridge(x[i::sites], labels[i::sites], trains[asked, i::sites], state.trial[asked])
                for i in range(sites)
            ),
        )
    return state


def scikit_learn_s(x, labels, c):
    model = LogisticRegression(C=c, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(x, labels)
    return np.concatenate([model.intercept_, model.coef_[0]])


def test_it_is_scikit_learn_s():
    x, labels = patients()
    state = fitted(x, labels)

    assert state.converged.all()
    for own, c in zip(state.accepted, C, strict=True):
        assert own == pytest.approx(scikit_learn_s(x, labels, c), abs=1e-6)


@pytest.mark.parametrize("sites", [2, 3])
def test_over_sites_it_is_the_pooled_one(sites):
    x, labels = patients()

    assert fitted(x, labels, sites).accepted == pytest.approx(fitted(x, labels).accepted, abs=1e-8)


def test_it_exists_with_more_features_than_patients_and_with_separation():
    x, _ = patients(n=20, features=40)
    labels = x[:, 0] > 0
    state = fitted(x, labels)

    assert state.converged.all()
    for own, c in zip(state.accepted, C, strict=True):
        assert own == pytest.approx(scikit_learn_s(x, labels, c), abs=1e-5)


def test_who_is_left_out_does_not_train_and_alone_is_judged():
    x, labels = patients()
    held_out = np.arange(len(x)) % 5 == 1
    state = fitted(x, labels, trains=np.tile(~held_out, (len(C), 1)))
    judged = np.tile(held_out, (len(C), 1))
    found = local_held_out(x, labels, judged, state.accepted).reals["log_likelihood"]

    for row, c in enumerate(C):
        expected = scikit_learn_s(x[~held_out], labels[~held_out], c)
        assert state.accepted[row] == pytest.approx(expected, abs=1e-6)
        linear = np.where(labels, 1, -1) * (expected[0] + x @ expected[1:])
        assert found[row] == pytest.approx(-np.log1p(np.exp(-linear[held_out])).sum(), rel=1e-6)


def test_a_step_too_long_is_halved():
    """Far out the likelihood is flat, and Newton's step overshoots."""
    x = np.array([[30.0], [-30.0], [29.0], [-1.0]])
    labels = np.array([True, False, False, True])
    state = start_ridge(np.array([1e-4]), 1)
    values = []
    while state.active.any():
        state = advance_ridge(state, local_ridge(x, labels, np.ones((1, 4), dtype=bool), state.trial))
        values.append(state.value[0])

    assert state.converged.all()
    assert all(after >= before - 1e-12 for before, after in itertools.pairwise(values))


@pytest.mark.parametrize("penalty", [0.0, -1.0])
def test_without_a_penalty_it_is_refused(penalty):
    with pytest.raises(ValueError, match="not above 0"):
        start_ridge(np.array([1.0, penalty]), 3)
