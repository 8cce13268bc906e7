"""A site's part in the selection of radiomics features, and the selection on its patients alone."""

from dataclasses import replace

import numpy as np
import pytest
from sites.patients import a_case
from sites.plans import plan_of

from client.answers.patient_arrays import make_feature_matrix
from client.answers.regressions import SiteRegressions
from client.answers.score_store import ScoreStore
from client.answers.selection import FeatureSums, answer_gram, answer_prescreen, select_alone
from common.errors import ProtocolError
from common.radiomics.features import FEATURES
from common.radiomics.lasso_selection import fold_of

MODEL = {"kind": "logistic", "name": "Combined", "covariates": ["age", "radiomics"]}
TELLING = FEATURES.index("original_shape_Sphericity")


def a_plan(role="train", **changes):
    return plan_of({"a": role, "b": "train"}, MODEL, radiomics={"folds": 3, "rule": "1se"}, **changes)


def make_cases(patients=90, seed=3):
    """The sphericity tells who grows; every other feature is noise."""
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        grows = bool(number % 3 == 0)
        features = random.normal(size=len(FEATURES))
        features[TELLING] = 1.5 * grows + random.normal()
        case = a_case(f"P{number:03d}", grows=grows, age=60 + random.normal())
        cases.append(replace(case, features=features))
    return cases


def without_one_feature(case, place=7):
    features = case.features.copy()
    features[place] = np.nan
    return replace(case, features=features)


def test_a_patient_without_one_feature_is_left_out_alone():
    cases = make_cases()
    missing, none = without_one_feature(cases[4]), replace(cases[9], features=None)
    hurt = [*cases[:4], missing, *cases[5:9], none, *cases[10:]]

    sums = FeatureSums.of(a_plan(), "a", hurt)

    kept = [case for case in cases if case not in (cases[4], cases[9])]
    np.testing.assert_array_equal(sums.features, make_feature_matrix(kept))
    assert sums.labels.tolist() == [case.positive for case in kept]
    assert sums.folds.tolist() == [fold_of(7, "a", case.patient.identifier, 3) for case in kept]
    # The whole selection is that of the others.
    assert select_alone(a_plan(), "a", hurt) == select_alone(a_plan(), "a", kept)


def test_what_tells_is_selected_and_a_model_takes_it(tmp_path):
    plan, cases = a_plan(), tuple(make_cases())
    table = SiteRegressions(plan, "a", cases, tmp_path, ScoreStore(tmp_path / "s", plan.digest()), "local-a")
    (model,) = plan.regressions

    found = table.find_selection(model)

    assert FEATURES[TELLING] in found.names
    assert found.used == 90
    assert table.find_predictors(model).of(model) == ("age", *found.names)
    assert "original_shape_Sphericity" in [row.variable for row in table.fit_alone(model).effects]


def test_a_patient_who_lacks_a_selected_feature_has_no_risk_and_others_have(tmp_path):
    plan, cases = a_plan(), make_cases()
    cases[4] = without_one_feature(cases[4], TELLING)
    store = ScoreStore(tmp_path / "s", plan.digest())
    table = SiteRegressions(plan, "a", tuple(cases), tmp_path, store, "local-a")
    (model,) = plan.regressions

    fitted = table.fit_alone(model)

    assert fitted.used == 89
    assert fitted.missing == 1


@pytest.mark.parametrize(
    ("role", "patients", "reason"),
    [
        ("train+", 18, "fewer than 20 patients"),
        ("train", 18, "fewer than 10 patients in a class"),
        ("train+", 24, "fewer than 10 patients in a class"),
        ("train+", 60, "a fold below 20 patients or 5 of a class"),
    ],
)
def test_real_patients_are_selected_on_only_above_the_minima(role, patients, reason):
    found = select_alone(a_plan(role, profile="standard"), "a", make_cases(patients))

    assert (found.status, found.reason) == ("suppressed", reason)
    assert (found.features, found.path, found.penalty) == ((), (), None)


def test_patients_of_one_class_select_nothing():
    cases = [case for case in make_cases() if not case.positive]

    found = select_alone(a_plan(), "a", cases)

    assert (found.names, found.reason) == ((), "patients of one class only")


def test_nobody_selects_nothing():
    assert select_alone(a_plan(), "a", []).reason == "no patients"


def scale(**changes):
    ones = np.ones(len(FEATURES))
    return {"mean": ones, "sd": ones, "kept": ones.astype(bool), **changes}


@pytest.mark.parametrize(
    "changes", [{"mean": np.ones(5)}, {"sd": np.zeros(len(FEATURES))}, {"kept": np.ones(5, bool)}]
)
def test_a_scale_that_does_not_fit_is_refused(changes):
    sums = FeatureSums.of(a_plan(), "a", make_cases(9))

    with pytest.raises(ProtocolError):
        answer_prescreen(sums, scale(**changes))


@pytest.mark.parametrize("chosen", [[], [-1], [len(FEATURES)], [3, 3]])
def test_products_of_what_is_no_feature_or_twice_are_refused(chosen):
    sums = FeatureSums.of(a_plan(), "a", make_cases(9))

    with pytest.raises(ProtocolError, match="not each one of 851 once"):
        answer_gram(sums, scale(chosen=np.array(chosen, dtype=np.int64)))
