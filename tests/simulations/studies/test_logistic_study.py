"""Logistic models of a study: as on pooled data, or alone where they stay; judged like all others."""

import json
import os

import numpy as np
import pytest
from rich.progress import Progress
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from studies.foreseen import compare_with_forecast

from common.errors import ExchangeError
from common.models.brain_score import BrainInputs, brain_score
from common.plan.design import design_of
from common.plan.study import StudyPlan
from common.stats.estimate import suppressed
from common.stats.glm import LogisticResult
from server.planning.expected_patients import ExpectedPatients
from server.run import StudyRun
from server.watch.study_state import read_study_state
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = pytest.mark.slow

SPLIT = Habits(split=("train", "validation", "train", "test"))
PREDICTORS = ("onset_to_ct_h", "ich_volume_ml", "ivh", "location")
MODELS = [
    {"kind": "logistic", "name": "BRAIN", "covariates": ["brain_score"]},
    {"kind": "logistic", "name": "Clinical", "covariates": list(PREDICTORS)},
    {"kind": "scores", "name": "alpha", "column": "alpha"},
]


def a_plan(models=MODELS, *, release=True, **changes):
    settings = {
        "name": "Regressions",
        "seed": 5,
        "profile": "simulation",
        "two_site_ack": True,
        "sites": [
            {"name": "east", "role": "train", "model_release": release},
            {"name": "west", "role": "train", "model_release": False},
        ],
        "models": models,
        "phases": ["training", "evaluation"],
        "evaluation": {"bins": 20_000, "reference_model": "Clinical"},
    }
    return StudyPlan.model_validate(settings | changes)


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    root = tmp_path_factory.mktemp("hospitals")
    folders = {
        name: table_only_hospital(root / name, name, 160, seed, ("alpha",), habits=SPLIT)
        for seed, name in enumerate(("east", "west"))
    }
    for folder in folders.values():
        # Lets the odds differ, so that there is something to fit.
        rows = read_cohort(folder)
        for row in rows:
            if grows(row):
                row["onset_to_ct_h"] = round(float(row["onset_to_ct_h"]) * 0.6, 2)
            row["recurrent_ich"] = int(row["patient"].endswith("7"))
        write_cohort(folder, rows)
        settings = folder / "site.toml"
        settings.write_text(settings.read_text() + "model_release = true\n")
    return folders


def study(plan, folders, out):
    return run_in_process(StudyRun(plan, out, derive_simulated_key(plan)), folders, Progress(disable=True))


@pytest.fixture(scope="module")
def finished(hospitals, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "out"
    return out, study(a_plan(), hospitals, out)


@pytest.fixture(scope="module")
def results(finished):
    return finished[1]


def grows(row):
    return float(row["followup_ich_volume_ml"]) - float(row["ich_volume_ml"]) >= 6


def rows_of(hospitals, names=("east", "west"), *, tested=False):
    rows = [row for name in names for row in read_cohort(hospitals[name])]
    return [row for row in rows if (row["split"] == "test") == tested]


def design(rows, model):
    numbers = {name: np.array([float(row[name]) for row in rows]) for name in PREDICTORS[:3]}
    if model == "BRAIN":
        flags = {name: np.array([float(row[name]) for row in rows]) for name in ("recurrent_ich", "warfarin")}
        return brain_score(
            BrainInputs(
                numbers["ich_volume_ml"],
                flags["recurrent_ich"],
                flags["warfarin"],
                numbers["ivh"],
                numbers["onset_to_ct_h"],
            )
        )[:, np.newaxis]
    levels = [[float(row["location"] == level) for row in rows] for level in ("deep", "infratentorial")]
    return np.column_stack([*numbers.values(), *levels])


def pooled(rows, model):
    """scikit-learn on all rows in one place, driven to the maximum."""
    fitted = LogisticRegression(C=np.inf, tol=1e-13, max_iter=100_000, solver="newton-cholesky")
    return fitted.fit(design(rows, model), [grows(row) for row in rows])


@pytest.mark.parametrize("model", ["BRAIN", "Clinical"])
def test_a_federated_regression_is_the_pooled_one(results, hospitals, model):
    (found,) = [one for one in results.fitted if (one.model, one.arm) == (model, "federated")]
    expected = pooled(rows_of(hospitals), model)

    ratios = [row.multivariable.odds_ratio.value for row in found.rows if not row.reference]
    assert np.log(ratios) == pytest.approx(expected.coef_[0], rel=1e-6, abs=1e-9)
    assert found.intercept == pytest.approx(expected.intercept_[0], rel=1e-6)
    assert found.used == len(rows_of(hospitals))


@pytest.mark.parametrize("arm", ["federated", "local-east"])
def test_its_risks_are_judged_at_both_hospitals(results, hospitals, arm):
    names = ("east", "west") if arm == "federated" else ("east",)
    expected = pooled(rows_of(hospitals, names), "Clinical")
    tested = rows_of(hospitals, ("west",), tested=True)
    risks = expected.predict_proba(design(tested, "Clinical"))[:, 1]
    (cell,) = [
        c
        for c in results.evaluation
        if (c.model, c.arm, c.part, c.cohort_sites) == ("Clinical", arm, "test", ("west",))
    ] or [
        c
        for c in results.evaluation
        if (c.model, c.arm, c.part, c.cohort_sites) == ("Clinical", arm, "whole", ("west",))
    ]

    assert cell.relation == ("internal" if arm == "federated" else "external")
    assert cell.auc.value == pytest.approx(roc_auc_score([grows(r) for r in tested], risks), abs=1e-9)


def test_validation_patients_train_a_regression(results):
    relations = {(c.arm, c.part): c.relation for c in results.evaluation if c.model == "Clinical"}

    assert relations["federated", "validation"] == "apparent"


def test_a_local_regression_stays_where_the_plan_does_not_release_it(results, hospitals):
    of_west = [c for c in results.evaluation if c.arm == "local-west"]
    (kept,) = [one for one in results.fitted if (one.model, one.arm) == ("Clinical", "local-west")]

    assert {c.cohort_sites for c in of_west} == {("west",)}
    assert kept.standing.reason == "the model stayed at its centre"
    assert kept.intercept is None


def test_the_reference_is_compared_in_its_arm_and_with_the_score_of_the_table(results):
    (compared,) = [c for c in results.comparisons if len(c.cohort_sites) == 2 and c.part == "test"]

    pairs = {(p.first_model, p.first_arm, p.second_model, p.second_arm) for p in compared.pairs}
    assert ("Clinical", "federated", "BRAIN", "federated") in pairs
    assert ("Clinical", "federated", "alpha", "given") in pairs
    assert not any(second == "local-west" for *_, second in pairs)


def test_fitted_models_are_kept_as_files(finished):
    out, results = finished

    kept = json.loads((out / "models/BRAIN/federated.json").read_text())
    (found,) = [one for one in results.fitted if (one.model, one.arm) == ("BRAIN", "federated")]
    assert kept["card"]["content"]["fitted"]["intercept"] == found.intercept
    assert (out / "models/BRAIN/local-east.json").exists()
    assert not (out / "models/BRAIN/local-west.json").exists()


def test_its_folder_says_how_it_went(finished):
    out, results = finished

    state = read_study_state(out)

    assert (state.condition, state.pid) == ("finished", os.getpid())
    took = {phase.name: phase.seconds for phase in state.phases}
    assert {phase.phase for phase in results.provenance.phases if phase.rounds} <= took.keys()
    assert None not in took.values()
    assert state.steps.done == state.steps.of
    assert state.steps.now == ()
    assert state.time_left.seconds == 0
    assert state.traffic.rounds == results.provenance.message_rounds
    assert all(site.connected and site.heard and not site.owes for site in state.sites)


def test_without_release_in_the_site_s_policy_the_study_is_refused(hospitals, tmp_path):
    folder = table_only_hospital(tmp_path / "east", "east", 160, 0, ("alpha",), habits=SPLIT)

    with pytest.raises(ExchangeError, match="E_POLICY"):
        study(a_plan(), {**hospitals, "east": folder}, tmp_path / "out")


def test_a_separated_regression_is_firth_s_and_one_on_a_constant_says_so(hospitals, tmp_path):
    folders = {}
    for name, folder in hospitals.items():
        rows = read_cohort(folder)
        for row in rows:
            row["fluid_level"] = int(grows(row) and row["patient"].endswith("1"))
            row["sah"] = 0
        folders[name] = table_only_hospital(tmp_path / name, name, 3, 0, ("alpha",), habits=SPLIT)
        write_cohort(folders[name], rows)
    models = [
        {"kind": "logistic", "name": "Separated", "covariates": ["fluid_level"]},
        {"kind": "logistic", "name": "Constant", "covariates": ["sah"]},
    ]
    results = study(a_plan(models, release=False, evaluation={}), folders, tmp_path / "out")

    separated, constant = (
        next(one for one in results.fitted if (one.model, one.arm) == (model, "federated"))
        for model in ("Separated", "Constant")
    )
    assert separated.method == "Firth"
    ratio, p = separated.rows[0].multivariable.odds_ratio, separated.rows[0].multivariable.p_value
    assert ratio.low < ratio.value < ratio.high
    assert (ratio.method, ratio.low > 1) == ("profile penalised likelihood", p < 0.05)
    assert ratio.value > 1
    assert constant.standing.reason == "a covariate is constant"
    judged = [c for c in results.evaluation if (c.model, c.arm) == ("Constant", "federated")]
    assert judged
    assert all(c.auc.value is None for c in judged)


def test_a_model_that_too_few_sites_train_scores_nobody_anywhere(tmp_path):
    """Nor does a site take its own model in its stead."""
    real = Habits(synthetic=False, split=SPLIT.split)
    folders = {
        name: table_only_hospital(tmp_path / name, name, 160, seed, ("alpha", "beta"), habits=habits)
        for seed, (name, habits) in enumerate(
            {"east": real, "west": real, "north": Habits(synthetic=False)}.items()
        )
    }
    models = [
        {"kind": "logistic", "name": "Volume", "covariates": ["ich_volume_ml"]},
        *({"kind": "scores", "name": name, "column": name} for name in ("alpha", "beta")),
    ]
    sites = [{"name": name, "role": "external" if name == "north" else "train"} for name in folders]
    plan = a_plan(
        models, profile="standard", two_site_ack=False, sites=sites, evaluation={"reference_model": "alpha"}
    )

    results = study(plan, folders, tmp_path / "out")

    # Of 56 with expansion and 104 without, half train; at north, which is external, all are tested
    trained = {name: ExpectedPatients(name, np.array([[52, 28], [26, 14], [26, 14]])) for name in folders}
    tested = ExpectedPatients("north", np.array([[0, 0], [0, 0], [104, 56]]))
    compare_with_forecast(results, {**trained, "north": tested})
    fitted = {one.arm: one for one in results.fitted}
    assert fitted["federated"].standing.reason == "fewer than 3 sites with patients"
    judged = [cell for cell in results.evaluation if (cell.model, cell.arm) == ("Volume", "federated")]
    assert {cell.cohort_sites for cell in judged} > {("north",), ("west",)}
    assert all(cell.auc.value is None for cell in judged)
    # The others are compared as if the plan had no such model.
    (compared,) = [one for one in results.comparisons if one.cohort_sites == ("north",)]
    assert compared.used == 160
    assert [(pair.first_model, pair.second_model) for pair in compared.pairs] == [("alpha", "beta")]


def test_a_regression_that_could_not_be_fitted_stops_no_study_with_an_external_centre(hospitals, tmp_path):
    folders = {"north": table_only_hospital(tmp_path / "north", "north", 40, 9, ("alpha",))}
    for name, folder in hospitals.items():
        folders[name] = table_only_hospital(tmp_path / name, name, 3, 0, ("alpha",), habits=SPLIT)
        write_cohort(folders[name], [row | {"sah": 0} for row in read_cohort(folder)])
    plan = a_plan(
        [{"kind": "logistic", "name": "Constant", "covariates": ["sah"]}],
        sites=[{"name": name, "role": "train"} for name in hospitals]
        + [{"name": "north", "role": "external"}],
        evaluation={},
    )

    results = study(plan, folders, tmp_path / "out")

    external = [c for c in results.evaluation if c.cohort_sites == ("north",)]
    assert external
    assert all(c.auc.value is None for c in external)


def test_a_level_that_nobody_has_leaves_the_model(hospitals, tmp_path):
    folders = {}
    for name, folder in hospitals.items():
        rows = read_cohort(folder)
        for row in rows:
            row["location"] = "deep" if row["location"] == "infratentorial" else row["location"]
        folders[name] = table_only_hospital(tmp_path / name, name, 3, 0, ("alpha",), habits=SPLIT)
        write_cohort(folders[name], rows)
        # A patient of a level of which nobody trained the model has no score.
        tested = [row for row in rows if row["split"] == "test"]
        tested[0]["location"] = "infratentorial"
        write_cohort(folders[name], rows)
    models = [{"kind": "logistic", "name": "Place", "covariates": ["location"]}]
    results = study(a_plan(models, release=False, evaluation={}), folders, tmp_path / "out")

    judged = next(c for c in results.evaluation if (c.arm, c.part) == ("federated", "test"))
    assert judged.missing == len(judged.cohort_sites)
    (found,) = [one for one in results.fitted if one.arm == "federated"]
    by_level = {row.level: row for row in found.rows}
    assert by_level["lobar"].reference
    assert by_level["deep"].multivariable.odds_ratio.value is not None
    assert by_level["infratentorial"].multivariable.odds_ratio.standing.reason == "nobody has this level"


def test_a_missing_value_can_be_a_level(hospitals, tmp_path):
    folders = {}
    for name, folder in hospitals.items():
        rows = read_cohort(folder)
        for row in rows[::4]:
            row["location"] = ""
        folders[name] = table_only_hospital(tmp_path / name, name, 3, 0, ("alpha",), habits=SPLIT)
        write_cohort(folders[name], rows)
    models = [{"kind": "logistic", "name": "Place", "covariates": ["location"]}]
    plan = a_plan(models, release=False, evaluation={}, regression={"missing": "level"})
    results = study(plan, folders, tmp_path / "out")

    (found,) = [one for one in results.fitted if one.arm == "federated"]
    levels = [row.level for row in found.rows]
    assert levels == ["lobar", "deep", "infratentorial", "missing"]
    assert found.missing == 0
    assert found.used == len(rows_of(hospitals))


def test_a_federation_s_unfitted_model_does_not_borrow_a_local_one(hospitals, tmp_path, monkeypatch):
    """Each hospital can fit it alone; together they are told that they cannot."""

    def refused(plan, sites, regressions, *_):
        yield from ()
        model = design_of(plan).model(regressions[0])
        status = suppressed("a test")
        return (LogisticResult(model, (), None, None, (), None, None, "not fitted", 0, status),)

    monkeypatch.setattr("common.program.fits.fit_regressions", refused)
    results = study(a_plan([MODELS[1]], release=False), hospitals, tmp_path / "out")

    judged = [c for c in results.evaluation if (c.model, c.arm) == ("Clinical", "federated")]
    alone = [c for c in results.evaluation if (c.model, c.arm) == ("Clinical", "local-east")]
    assert judged
    assert all(cell.auc.value is None for cell in judged)
    # Not "no patients": the cohorts have patients, the model does not exist.
    assert {cell.auc.standing.reason for cell in judged} == {"not fitted: a test"}
    assert any(cell.auc.value is not None for cell in alone)
