"""Logistic models at one site: fitted there alone, kept, and used."""

import numpy as np
import pytest
from sites.patients import a_case
from sites.plans import LOGISTIC, plan_of
from sklearn.linear_model import LogisticRegression

from client.answers.patient_arrays import labels_of
from client.answers.regressions import SiteRegressions
from client.answers.score_store import ScoreStore
from common.cards.card_file import load_card
from common.cards.fitted import coefficients_of
from common.errors import ModelError, ProtocolError
from common.plan.design import design_of

COVARIATES = ("ivh", "age")


def a_plan(seed=7):
    return plan_of(
        {"a": "train", "b": "train"},
        LOGISTIC | {"covariates": COVARIATES},
        LOGISTIC | {"name": "Other", "covariates": ["inr"]},
        phases=["training", "evaluation"],
        seed=seed,
    )


PLAN = a_plan()
MODEL, OTHER = PLAN.regressions


def at_a(plan, cases, folder):
    """Of site a alone, which has scored nobody by a network."""
    return SiteRegressions(plan, "a", cases, folder, ScoreStore(folder / "scores", plan.digest()), "local-a")


def make_cases(patients=120, seed=1):
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        age, ivh = float(random.normal(60, 10)), float(random.random() < 0.4)
        grows = bool(random.random() < 1 / (1 + np.exp(-(0.05 * (age - 60) + ivh - 0.8))))
        part = ("train", "validation", "test")[number % 3]
        cases.append(a_case(f"P{number:03d}", grows=grows, part=part, age=age, ivh=ivh))
    return tuple(cases)


@pytest.fixture(scope="module")
def cases():
    return make_cases()


@pytest.fixture
def regressions(cases, tmp_path):
    return at_a(PLAN, cases, tmp_path)


def columns(cases):
    """Age and IVH read from the patients, not through the design."""
    return np.array([[case.patient.number("age"), float(case.patient.flag("ivh"))] for case in cases])


def test_alone_is_scikit_learn_s_fit_on_training_and_validation_patients(regressions, cases):
    training = [case for case in cases if case.part != "test"]
    expected = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(
        columns(training), labels_of(training)
    )

    fitted = regressions.fit_alone(MODEL)
    coefficients = coefficients_of(fitted, design_of(PLAN))

    assert (fitted.used, fitted.missing) == (80, 0)
    # The design: age, INR, IVH
    np.testing.assert_allclose(coefficients[[1, 3]], expected.coef_[0], rtol=1e-4)
    assert np.isnan(coefficients[2])
    risks = regressions.score(coefficients, MODEL.covariates)
    np.testing.assert_allclose(risks, expected.predict_proba(columns(cases))[:, 1], rtol=1e-5)


def test_what_was_fitted_is_kept_privately_and_found_by_another_process(regressions, cases, tmp_path):
    fitted = regressions.fit_alone(MODEL)

    assert at_a(PLAN, cases, tmp_path).read_alone(MODEL) == fitted
    (path,) = tmp_path.rglob("local.json")
    assert path.stat().st_mode & 0o077 == 0
    assert load_card(path).card.content.fitted == fitted


def test_another_model_or_plan_was_not_fitted(regressions, cases, tmp_path):
    regressions.fit_alone(MODEL)

    with pytest.raises(ProtocolError, match="no local model 'Other' was fitted here"):
        regressions.read_alone(OTHER)
    with pytest.raises(ProtocolError, match="no local model 'Clinical' was fitted here"):
        at_a(a_plan(seed=8), cases, tmp_path).read_alone(MODEL)


@pytest.mark.parametrize("content", [b"", b"{", b'{"effects": 3}', b'{"intercept": 1, "bias": 2}', b"\xff"])
def test_a_damaged_file_is_named(regressions, tmp_path, content):
    regressions.fit_alone(MODEL)
    (path,) = tmp_path.rglob("local.json")
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"local.json: (is truncated|has no model card).* -> "):
        regressions.read_alone(MODEL)


@pytest.mark.parametrize("coefficients", [np.zeros(3), np.zeros(5), np.zeros(0), np.zeros((4, 1))])
def test_coefficients_of_another_design_are_refused(regressions, coefficients):
    with pytest.raises(ProtocolError, match=f"{coefficients.size} coefficients came for 3 columns"):
        regressions.score(coefficients, MODEL.covariates)


def test_a_patient_without_a_covariate_has_no_risk_and_does_not_train(tmp_path):
    blank = (a_case("Q0", grows=True, age=99.0), a_case("Q1", part="test", ivh=1.0))
    alone = at_a(PLAN, make_cases(), tmp_path / "complete").fit_alone(MODEL)
    regressions = at_a(PLAN, (*make_cases(), *blank), tmp_path / "blank")

    fitted = regressions.fit_alone(MODEL)
    risks = regressions.score(coefficients_of(fitted, design_of(PLAN)), MODEL.covariates)

    assert fitted == alone.model_copy(update={"missing": 1})
    assert np.flatnonzero(np.isnan(risks)).tolist() == [120, 121]


def test_too_few_patients_have_no_model_in_the_standard_profile(tmp_path):
    plan = plan_of({"a": "train"}, LOGISTIC, profile="standard", phases=["training"])
    cases = tuple(a_case(f"P{n}", grows=n < 9, age=50.0 + n % 7) for n in range(60))

    fitted = at_a(plan, cases, tmp_path).fit_alone(plan.regressions[0])

    assert (fitted.status, fitted.intercept, fitted.effects) == ("suppressed", None, ())
