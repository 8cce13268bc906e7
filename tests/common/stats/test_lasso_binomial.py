from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.stats import lasso_binomial
from common.stats.contract import Summary, total
from common.stats.lasso import fold_classes, local_magnitude, local_scaling, magnitude_of, scaling_of
from common.stats.lasso_binomial import advance_path, finish_path, local_path, start_path
from common.stats.minima import SIMULATION, STANDARD

pytestmark = pytest.mark.slow

KEPT = [9, 29, 59, 99]


def standardise_over(parts):
    """Means and SDs from the sums of these sites' features."""
    magnitude = magnitude_of(total(local_magnitude(part) for part in parts))
    return scaling_of(total(local_scaling(part, magnitude) for part in parts), magnitude)


def whole_path(cohort, sites=None, minima=SIMULATION, penalties=100, n_folds=5):
    """The state at the end, over sites, by the protocol: ask, add, advance."""
    x, labels, folds = cohort
    sites = [np.arange(len(labels))] if sites is None else sites
    scale = standardise_over([x[site] for site in sites])
    state = start_path(fold_classes(labels, folds, n_folds), x.shape[1], minima, penalties)
    while state.query.running.any():
        answer = total(local_path(x[site], labels[site], folds[site], scale, state.query) for site in sites)
        state = advance_path(state, answer, minima)
    return state


def draw(n=300, features=8, seed=0):
    random = np.random.default_rng(seed)
    x = 20 + 5 * random.normal(size=(n, features)) @ (np.eye(features) + 0.2)
    x[:, 5] = 3.0
    labels = random.random(n) < 1 / (1 + np.exp(-(x[:, 0] - x[:, 1]) / 5))
    return x, labels, random.integers(0, 5, n)


COHORTS = {"birth": "", "large": "large."}
"""Which numbers of lasso.csv are whose; "large" has features with means of up to 10^9 and SDs near 1."""


@pytest.fixture(scope="module", params=COHORTS)
def frozen(request, rows, reference):
    """A cohort of another program, and what glmnet says of it."""
    data, prefix = rows(f"lasso/{request.param}.csv"), COHORTS[request.param]
    outcome = "low" if request.param == "birth" else "grows"
    names = [name for name in data[0] if name not in {outcome, "fold"}]
    x = np.array([[float(row[name]) for name in names] for row in data])
    cohort = x, np.array([row[outcome] == "1" for row in data]), np.array([int(row["fold"]) for row in data])
    numbers = reference("lasso/lasso.csv")
    mine = {name.removeprefix(prefix): value for name, value in numbers.items() if name.startswith(prefix)}
    return cohort, mine, request.param


@pytest.fixture(scope="module")
def frozen_path(frozen):
    return whole_path(frozen[0])


def check_against_glmnet(result, expected, rule, features):
    name = {"lambda_min": "lambda.min", "1se": "lambda.1se"}[rule]
    beta = [expected[f"{name}.beta.{j}"] for j in range(features + 1)]
    assert result.penalty == pytest.approx(expected[name], rel=1e-9)
    assert result.penalties[0] == pytest.approx(expected["lambda.max"], rel=1e-9)
    np.testing.assert_allclose(result.coefficients, beta[1:], atol=1e-7)
    # The mean of a feature near 10^9 is known to 10^-7, and the intercept takes up the rest.
    assert result.intercept == pytest.approx(beta[0], abs=5e-7)
    assert result.selected == tuple(np.flatnonzero(beta[1:]))
    np.testing.assert_allclose(result.losses, [expected[f"deviance.{k}"] for k in range(100)], atol=1e-7)
    np.testing.assert_allclose(
        result.standard_errors, [expected[f"error.{k}"] for k in range(100)], atol=1e-7
    )


@pytest.mark.parametrize("rule", ["lambda_min", "1se"])
def test_equals_cv_glmnet(frozen, frozen_path, rule):
    (x, labels, _), expected, _ = frozen

    result = finish_path(frozen_path, rule, SIMULATION)

    check_against_glmnet(result, expected, rule, x.shape[1])
    assert (result.n_used, result.method) == (len(labels), f"binomial LASSO, 5 folds, {rule}")


def test_whole_path_equals_glmnet_in_few_rounds(frozen, frozen_path):
    (x, _, _), expected, _ = frozen

    for position in KEPT:
        solution = frozen_path.fits[-1].path[position]
        path = [expected[f"path.{position}.{j}"] for j in range(x.shape[1] + 1)]
        np.testing.assert_allclose(solution[1:], path[1:], atol=1e-7)
        # An intercept at the end of the path adds up forty coefficients times 10^-7.
        assert solution[0] == pytest.approx(path[0], abs=5e-6)
    # STATISTICS.md, section 7: about 4 a penalty.
    assert frozen_path.rounds <= 400


def test_equals_cv_glmnet_over_sites(frozen, federations):
    """Also where a site is empty, and where one has patients of one class only."""
    cohort, expected, _ = frozen
    spread = list(federations(cohort[1]))

    result = finish_path(whole_path(cohort, spread[-1]), minima=SIMULATION)

    check_against_glmnet(result, expected, "lambda_min", cohort[0].shape[1])


def test_the_path_of_what_was_selected_is_kept_and_of_nothing_else(frozen_path):
    result = finish_path(frozen_path, "1se", SIMULATION)

    at = result.penalties.index(result.penalty)
    path = np.array(frozen_path.fits[-1].path)
    assert 0 < len(result.selected) < path.shape[1] - 1
    np.testing.assert_array_equal(np.transpose(result.profiles), path[:, 1 + np.array(result.selected)])
    assert result.active == tuple(np.count_nonzero(path[:, 1:], axis=1).tolist())
    assert result.active[at] == len(result.selected)


def test_federated_equals_pooled(federations):
    cohort = draw()
    pooled = finish_path(whole_path(cohort, penalties=20), minima=SIMULATION)

    for sites in federations(cohort[1]):
        result = finish_path(whole_path(cohort, sites, penalties=20), minima=SIMULATION)
        assert result.selected == pooled.selected
        np.testing.assert_allclose(result.coefficients, pooled.coefficients, atol=1e-9)
        np.testing.assert_allclose(result.losses, pooled.losses, rtol=1e-9)
    assert 5 not in pooled.selected


def check_optimal(cohort, state, fit, training):
    """The conditions of Karush, Kuhn and Tucker, from the pooled rows."""
    x, labels, _ = cohort
    sd = x.std(axis=0)
    z = np.column_stack(
        [np.ones(len(x)), np.where(sd > 0, (x - x.mean(axis=0)) / np.where(sd > 0, sd, 1), 0)]
    )
    for penalty, solution in zip(state.penalties, fit.path, strict=True):
        residual = labels - 1 / (1 + np.exp(-z @ solution))
        pull = residual[training] @ z[training] / training.sum()
        assert abs(pull[0]) < 1e-7
        assert (np.abs(pull[1:]) <= penalty + 1e-7).all()
        chosen = solution[1:] != 0
        np.testing.assert_allclose(pull[1:][chosen], penalty * np.sign(solution[1:][chosen]), atol=1e-7)


@settings(max_examples=20, deadline=None)
@given(
    arrays(np.int64, (24, 4), elements=st.integers(-3, 3)),
    arrays(np.bool_, 24),
    st.integers(0, 2**32 - 1),
)
def test_any_cohort_ends_at_the_optimum_however_it_is_spread(x, labels, seed):
    random = np.random.default_rng(seed)
    cohort = (x.astype(np.float64), labels, random.permutation(24) % 2)
    assume(fold_classes(labels, cohort[2], 2).min() > 0)
    assume((x.std(axis=0) > 0).any())
    site = random.integers(0, 3, 24)

    state = whole_path(cohort, penalties=6, n_folds=2)
    spread = whole_path(
        cohort, [np.flatnonzero(site == number) for number in range(4)], penalties=6, n_folds=2
    )

    for row, fit in enumerate(state.fits):
        check_optimal(cohort, state, fit, cohort[2] != row)
        check_optimal(cohort, spread, spread.fits[row], cohort[2] != row)


def test_first_round_asks_for_no_features_and_the_first_penalty_selects_none():
    cohort = draw()
    state = start_path(fold_classes(cohort[1], cohort[2], 5), 8, SIMULATION)

    assert state.query.working.shape == (6, 0)
    assert np.count_nonzero(whole_path(cohort, penalties=5).fits[-1].path[0][1:]) == 0


def test_a_step_that_raises_the_loss_is_halved():
    x, labels, folds = draw()
    scale = standardise_over([x])
    state = start_path(fold_classes(labels, folds, 5), 8, SIMULATION, 10)
    while not any(fit.step.any() for fit in state.fits):
        state = advance_path(state, local_path(x, labels, folds, scale, state.query), SIMULATION)
    answer = local_path(x, labels, folds, scale, state.query)
    # As if every fit had begun lower than where its step leads.
    fits = tuple(replace(fit, loss=-1.0) for fit in state.fits)

    halved = advance_path(replace(state, fits=fits), answer, SIMULATION)

    for fit, before in zip(halved.fits, fits, strict=True):
        np.testing.assert_array_equal(fit.step, before.step / 2)
        np.testing.assert_array_equal(fit.accepted, before.accepted)
        assert (fit.loss, fit.rounds) == (-1.0, before.rounds + 1)


def test_a_feature_that_was_not_expected_still_enters(monkeypatch):
    cohort = draw()
    straight = whole_path(cohort, penalties=10)
    own = lasso_binomial._enter_penalty

    def expect_none(fit, gradient, penalties):
        return replace(own(fit, gradient, penalties), working=np.flatnonzero(fit.accepted[1:]))

    monkeypatch.setattr(lasso_binomial, "_enter_penalty", expect_none)
    again = whole_path(cohort, penalties=10)

    assert again.rounds > straight.rounds
    for fit, expected in zip(again.fits, straight.fits, strict=True):
        np.testing.assert_allclose(fit.path, expected.path, atol=1e-9)


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        ([[30, 4], [30, 30]], "fold below"),
        ([[10, 9], [30, 30]], "fold below"),
        ([[30, 0], [30, 0]], "one class"),
        ([[30, 10]], "two folds"),
    ],
)
def test_a_small_fold_is_asked_nothing(classes, reason):
    state = start_path(np.array(classes), 4, STANDARD)

    result = finish_path(state)
    assert reason in result.status.reason
    assert not state.query.running.any()
    assert (result.coefficients, result.selected, result.penalty, result.losses) == ((), (), None, ())


def test_more_features_than_half_a_fold_end_the_path():
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 60))
    labels = random.random(200) < 1 / (1 + np.exp(-x[:, :30].sum(axis=1)))
    cohort = (x, labels, np.arange(200) % 5)

    state = whole_path(cohort, minima=STANDARD)

    result = finish_path(state)
    assert (result.status.kind, result.selected, result.losses) == ("suppressed", (), ())
    assert "two patients a feature" in result.status.reason
    assert 1 < state.rounds < whole_path(cohort, penalties=100).rounds
    # 60 features in folds of 40 are allowed as long as few of them are in a model.
    assert whole_path(cohort, minima=STANDARD, penalties=2).query.working.shape[1] == 0


def test_says_so_when_a_penalty_does_not_converge(monkeypatch):
    monkeypatch.setattr(lasso_binomial, "MAXIMUM_ROUNDS_LASSO", 1)

    result = finish_path(whole_path(draw()), minima=SIMULATION)

    assert (result.status.kind, result.coefficients) == ("undefined", ())


def test_is_not_finished_before_its_end():
    with pytest.raises(ValueError, match="not ended"):
        finish_path(start_path(np.array([[30, 30], [30, 30]]), 3))


def test_answers_of_another_shape_are_not_added():
    x, labels, folds = draw()
    scale = standardise_over([x])
    query = start_path(fold_classes(labels, folds, 5), 8, SIMULATION).query
    answer = local_path(x, labels, folds, scale, query)

    with pytest.raises(ValueError, match="shapes"):
        answer + Summary(reals={**answer.reals, "gradient": np.zeros((6, 8))})
