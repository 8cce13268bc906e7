"""A site's part in the selection of radiomics features, and the selection on its patients alone."""

from dataclasses import replace

import numpy as np
import pytest
from sites.patients import a_case
from sites.plans import plan_of

from client.answers.patient_arrays import labels_of, make_feature_matrix
from client.answers.regressions import SiteRegressions
from client.answers.score_store import ScoreStore
from client.answers.selection import (
    FeatureSums,
    answer_gram,
    answer_path,
    answer_prescreen,
    answer_scaling,
    read_folds,
    select_alone,
)
from client.answers.svm import SiteSvms
from common.errors import ProtocolError
from common.radiomics.features import FEATURES
from common.stats.folds import deal_folds

MODEL = {"kind": "logistic", "name": "Combined", "covariates": ["age", "radiomics"]}
TELLING = FEATURES.index("original_shape_Sphericity")


def a_plan(role="train", **changes):
    settings = {"radiomics": {"folds": 3, "rule": "1se"}} | changes
    return plan_of({"a": role, "b": "train"}, MODEL, **settings)


def make_cases(patients=90, seed=3, far=0.0):
    """The sphericity tells who grows; every other feature is noise. All have a mean of `far`."""
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        grows = bool(number % 3 == 0)
        features = random.normal(size=len(FEATURES))
        features[TELLING] = 1.5 * grows + random.normal()
        case = a_case(f"P{number:03d}", grows=grows, age=60 + random.normal())
        cases.append(replace(case, features=far + features))
    return cases


def without_one_feature(case, place=7):
    features = case.features.copy()
    features[place] = np.nan
    return replace(case, features=features)


def test_a_patient_without_one_feature_is_left_out_alone():
    cases = make_cases()
    missing, none = without_one_feature(cases[4]), replace(cases[9], features=None)
    hurt = [*cases[:4], missing, *cases[5:9], none, *cases[10:]]

    sums = FeatureSums.of(7, "a", hurt, 3)

    kept = [case for case in cases if case not in (cases[4], cases[9])]
    np.testing.assert_array_equal(sums.features, make_feature_matrix(kept))
    assert sums.labels.tolist() == [case.positive for case in kept]
    names = [case.patient.identifier for case in kept]
    assert sums.folds.tolist() == deal_folds(7, "a", names, labels_of(kept), 3).tolist()
    # The whole selection is that of the others.
    assert select_alone(a_plan(), "a", hurt) == select_alone(a_plan(), "a", kept)


@pytest.mark.parametrize("far", [0.0, 1e9])
def test_what_tells_is_selected_and_a_model_takes_it(tmp_path, far):
    plan, cases = a_plan(), tuple(make_cases(far=far))
    table = SiteRegressions(plan, "a", cases, tmp_path, ScoreStore(tmp_path / "s", plan.digest()), "local-a")
    (model,) = plan.regressions

    found = table.find_selection(model)

    assert FEATURES[TELLING] in found.names
    assert found.used == 90
    assert table.find_predictors(model).of(model) == ("age", *found.names)
    assert "original_shape_Sphericity" in [row.variable for row in table.fit_alone(model).effects]


def test_without_its_radiomics_a_model_of_one_site_is_not_fitted_under_its_name(tmp_path):
    machine = {"kind": "svm", "name": "Machine", "covariates": ["age", "radiomics"]}
    radiomics = {"folds": 3}
    plan = plan_of({"a": "train", "b": "train"}, MODEL, machine, radiomics=radiomics, profile="standard")
    store = ScoreStore(tmp_path / "s", plan.digest())
    table = SiteRegressions(plan, "a", tuple(make_cases(57)), tmp_path, store, "local-a")
    logistic, svm = plan.table_models

    for fitted in (table.fit_alone(logistic), SiteSvms(table).fit_alone(svm)):
        assert fitted.status == "suppressed"
        assert fitted.reason.startswith("without radiomics: withheld because a fold would have fewer than 20")
    # The card that stays here says so too.
    assert table.read_alone(logistic).reason.startswith("without radiomics")


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
        ("train+", 57, "a fold would have fewer than 20 patients or 5 of a class, even with 3 folds"),
    ],
)
def test_real_patients_are_selected_on_only_above_the_minima(role, patients, reason):
    found = select_alone(a_plan(role, profile="standard"), "a", make_cases(patients))

    assert (found.status, found.reason) == ("suppressed", reason)
    assert (found.features, found.path, found.penalty) == ((), (), None)


def test_sixty_patients_are_dealt_into_three_folds_of_twenty():
    """By a hash of each patient alone, a fold would have nearly always been smaller."""
    found = select_alone(a_plan("train+", profile="standard"), "a", make_cases(60))

    assert (found.status, found.folds, found.planned_folds, found.fold_reason) == ("ok", 3, 3, "")


def test_fewer_folds_are_used_and_said_where_the_patients_carry_no_more():
    plan = a_plan("train+", profile="standard", radiomics={"folds": 10})

    found = select_alone(plan, "a", make_cases(90))

    assert (found.status, found.folds, found.planned_folds) == ("ok", 4, 10)
    assert found.fold_reason == "of 5 or more, one would have fewer than 20 patients or 5 of a class"
    assert "4 folds" in found.method


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
    sums = FeatureSums.of(7, "a", make_cases(9), 3)

    with pytest.raises(ProtocolError):
        answer_prescreen(sums, scale(**changes))


@pytest.mark.parametrize("chosen", [[], [-1], [len(FEATURES)], [3, 3]])
def test_products_of_what_is_no_feature_or_twice_are_refused(chosen):
    sums = FeatureSums.of(7, "a", make_cases(9), 3)

    with pytest.raises(ProtocolError, match="not each one of 851 once"):
        answer_gram(sums, scale(chosen=np.array(chosen, dtype=np.int64)))


def test_a_binomial_selection_of_one_site_asks_nobody():
    radiomics = {"folds": 3, "rule": "1se", "family": "binomial"}

    found = select_alone(a_plan(radiomics=radiomics), "a", make_cases())

    assert (found.status, found.family, found.rounds) == ("ok", "binomial", None)
    assert FEATURES[TELLING] in found.names


@pytest.mark.parametrize("changes", [{"centre": np.ones(5)}, {"scale": np.zeros(len(FEATURES))}])
def test_public_constants_that_do_not_fit_are_refused(changes):
    sums = FeatureSums.of(7, "a", make_cases(9), 3)
    constants = {"centre": np.ones(len(FEATURES)), "scale": np.ones(len(FEATURES)), **changes}

    with pytest.raises(ProtocolError, match="for 851 features"):
        answer_scaling(sums, constants)


@pytest.mark.parametrize("folds", [[], [2], [11], [5, 5]])
def test_folds_that_the_plan_does_not_permit_are_refused(folds):
    with pytest.raises(ProtocolError, match="of at most 10"):
        read_folds({"folds": np.array(folds, dtype=np.int64)}, 10, 3)


def path_of(**changes):
    return {
        "coefficients": np.zeros((4, 3)),
        "working": np.array([[0, 1], [1, -1], [-1, -1], [-1, 0]]),
        "running": np.ones(4, dtype=bool),
        **changes,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"coefficients": np.zeros((3, 3))},
        {"coefficients": np.zeros((4, 4))},
        {"working": np.zeros((3, 2), dtype=np.int64)},
        {"working": np.full((4, 2), 1)},
        {"working": np.full((4, 1), 2)},
        {"working": np.full((4, 1), -2)},
        {"running": np.ones(3, dtype=bool)},
    ],
)
def test_a_path_that_does_not_fit_is_refused(changes):
    sums = FeatureSums.of(7, "a", make_cases(9), 3)
    chosen = {"chosen": np.array([4, 8])}

    assert answer_path(sums, scale(**chosen, **path_of())).reals["gradient"].shape == (4, 3)
    with pytest.raises(ProtocolError):
        answer_path(sums, scale(**chosen, **path_of(**changes)))
