"""A fitted model kept and used: its coefficients, and its risks against scikit-learn's."""

import numpy as np
import pytest
from sites.plans import NETWORK, plan_of
from sklearn.linear_model import LogisticRegression

from common.cards.fitted import coefficients_of, fitted_of, predict_risks
from common.messages.headers import Effect, Fitted
from common.plan.design import design_of
from common.stats.covariates import local_setup
from common.stats.glm import fit
from common.stats.minima import SIMULATION, STANDARD
from common.stats.newton import local_newton

NAMES = ("age", "location", "ivh")
DESIGN = design_of(plan_of({"a": "train"}, NETWORK, regression={"candidates": NAMES}))


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(3)
    level = random.integers(0, 3, 200)
    matrix = np.column_stack([random.normal(60, 10, 200), level == 1, level == 2, random.random(200) < 0.3])
    risk = 1 / (1 + np.exp(-(-0.5 + 0.05 * (matrix[:, 0] - 60) + matrix[:, 1] - 0.7 * matrix[:, 3])))
    return matrix, random.random(200) < risk


def fitted_on(rows, names=NAMES, minima=SIMULATION):
    matrix, labels = rows
    models = (DESIGN.model(names),)
    setup = local_setup(matrix, labels, models)
    (result,) = fit(lambda p, q: local_newton(matrix, labels, p, q), setup, models, minima)
    return fitted_of(result, DESIGN)


def of_scikit_learn(rows, columns):
    matrix, labels = rows
    return LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(matrix[:, columns], labels)


@pytest.mark.parametrize(("names", "columns"), [(NAMES, [0, 1, 2, 3]), (("ivh", "location"), [3, 1, 2])])
def test_coefficients_and_risks_are_scikit_learn_s(rows, names, columns):
    fitted = fitted_on(rows, names)
    expected = of_scikit_learn(rows, columns)

    coefficients = coefficients_of(fitted, DESIGN)
    risks = predict_risks(coefficients, rows[0], DESIGN.model(names).columns)

    assert coefficients[0] == pytest.approx(expected.intercept_[0], rel=1e-4)
    np.testing.assert_allclose(coefficients[1:][columns], expected.coef_[0], rtol=1e-4)
    np.testing.assert_allclose(risks, expected.predict_proba(rows[0][:, columns])[:, 1], rtol=1e-5)


def test_columns_that_the_model_does_not_have_count_for_nothing(rows):
    coefficients = coefficients_of(fitted_on(rows, ("ivh",)), DESIGN)

    assert np.isnan(coefficients[1:4]).all()
    assert coefficients[4] != 0


def test_a_model_is_kept_in_the_words_of_the_design(rows):
    fitted = fitted_on(rows)

    assert [(effect.variable, effect.level) for effect in fitted.effects] == [
        ("age", ""),
        ("location", "deep"),
        ("location", "infratentorial"),
        ("ivh", ""),
    ]
    assert (fitted.used, fitted.missing, fitted.method, fitted.status) == (
        200,
        0,
        "maximum likelihood",
        "ok",
    )
    by_level = {effect.level: effect for effect in fitted.effects if effect.variable == "location"}
    # One value for the whole factor, at each of its levels
    assert by_level["deep"].inflation == by_level["infratentorial"].inflation > 1
    assert by_level["deep"].p_likelihood_ratio == by_level["infratentorial"].p_likelihood_ratio
    assert Fitted.model_validate_json(fitted.model_dump_json()) == fitted


def test_profile_limits_are_kept_and_wald_s_follow_from_the_standard_error(rows):
    matrix, labels = rows
    separated = np.where(matrix[:, [3]] == 1, False, labels[:, np.newaxis])[:, 0]

    wald, profile = (fitted_on((matrix, outcome), ("ivh", "age")) for outcome in (labels, separated))

    assert {(effect.interval, effect.low, effect.high) for effect in wald.effects} == {("Wald", None, None)}
    assert [effect.interval for effect in profile.effects] == ["profile penalised likelihood"] * 2
    assert all(effect.low < effect.log_odds < effect.high for effect in profile.effects)
    assert Fitted.model_validate_json(profile.model_dump_json()) == profile
    # A yes/no covariate has none: its table tells
    assert [effect.largest_share is None for effect in wald.effects] == [True, False]


def test_a_limit_that_was_not_found_is_none(rows, monkeypatch):
    monkeypatch.setattr("common.stats.profile_limits.MAXIMUM_ROUNDS_LIMITS", 1)
    matrix, labels = rows

    fitted = fitted_on((matrix, labels & (matrix[:, 3] == 0)), ("ivh",))

    (effect,) = fitted.effects
    assert (effect.interval, effect.low, effect.high) == ("profile penalised likelihood", None, None)
    assert Fitted.model_validate_json(fitted.model_dump_json()) == fitted


def test_a_patient_without_a_covariate_of_the_model_has_no_risk_and_of_another_has_one():
    matrix = np.array([[60.0, 1, 0, np.nan], [np.nan, 0, 0, 1], [50, 0, 1, 0]])
    coefficients = np.array([0.0, 0.1, 0, 0, np.log(3)])

    np.testing.assert_array_equal(
        np.isnan(predict_risks(coefficients, matrix, (0, 1, 2, 3))), [True, True, False]
    )
    risks = predict_risks(coefficients, matrix, (3,))
    np.testing.assert_allclose(risks, [np.nan, 0.75, 0.5], rtol=1e-15)


def test_a_model_that_may_not_be_fitted_has_no_coefficients_and_says_why(rows):
    few = (rows[0][:30], np.arange(30) < 9)

    fitted = fitted_on(few, ("age",), STANDARD)

    assert (fitted.effects, fitted.intercept, fitted.status) == ((), None, "suppressed")
    with pytest.raises(ValueError, match=f"no coefficients: {fitted.reason}"):
        coefficients_of(fitted, DESIGN)


def test_an_effect_of_another_design_is_left_out():
    foreign = Effect(variable="inr", log_odds=5, standard_error=1, p=0.5, p_likelihood_ratio=0.5)

    coefficients = coefficients_of(Fitted(effects=(foreign,), intercept=-1.0), DESIGN)

    np.testing.assert_array_equal(coefficients, [-1, *[np.nan] * 4])
