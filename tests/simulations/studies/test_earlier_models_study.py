"""Models of an earlier study at hospitals that train nothing: judged as their pooled patients are by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.progress import Progress
from sites.earlier import an_effect, first_plan, section_of, write_logistic
from sites.tables import Habits, read_cohort, table_only_hospital
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from client.predict.request import PredictRequest, predict_patients
from common.errors import ModelError
from common.plan.study import StudyPlan
from server.planning.message_rounds import expect_rounds
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = pytest.mark.slow

ROLES = {"old1": "train", "new1": "external", "new2": "external"}
NEW = ("new1", "new2")
OTHER = (an_effect("ich_volume_ml", 0.03), an_effect("ivh", -0.2))


def write_models(folder):
    """The files of two models, by name."""
    folder.mkdir()
    first = write_logistic(folder, first_plan()).rename(folder / "first.json")
    return {
        "Clinical": first,
        "Other": write_logistic(folder, first_plan(), OTHER).rename(folder / "other.json"),
    }


def a_plan(models, **changes):
    settings = {
        "name": "New hospitals",
        "seed": 3,
        "profile": "simulation",
        "phases": ["evaluation"],
        "sites": [{"name": name, "role": role} for name, role in ROLES.items()],
        "models": [section_of(path, name=name) for name, path in models.items()],
        "evaluation": {"bins": 20_000, "reference_model": "Clinical"},
    }
    return StudyPlan.model_validate(settings | changes)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("earlier")
    folders = {
        name: table_only_hospital(root / name, name, 90, seed, habits=Habits(blank=0.02))
        for seed, name in enumerate(ROLES)
    }
    models = write_models(root / "cards")
    plan = a_plan(models)
    run = StudyRun(plan, root / "out", derive_simulated_key(plan), cards=root / "cards")
    return run_in_process(run, folders, Progress(disable=True)), folders, run, models


def grows(row):
    return float(row["followup_ich_volume_ml"]) - float(row["ich_volume_ml"]) >= 6


def score_by_hand(row):
    """Log odds of the model Clinical on a raw row; None where it gives none."""
    if row["location"] not in {"lobar", "deep"}:
        return None
    return -3 + 0.0413 * float(row["age"]) + 0.9 * float(row["ivh"]) - 0.7 * (row["location"] == "deep")


def pool(folders, names=NEW):
    """Log odds and outcomes of everybody who has a score, in one place."""
    rows = [row for name in names for row in read_cohort(folders[name])]
    known = [(score, grows(row)) for row in rows if (score := score_by_hand(row)) is not None]
    return tuple(np.array(column) for column in zip(*known, strict=True))


def find_cell(results, model, names=NEW, part="whole"):
    (found,) = [
        cell
        for cell in results.evaluation
        if (cell.model, cell.cohort_sites, cell.part) == (model, names, part)
    ]
    return found


def test_it_is_judged_as_the_pooled_raw_rows(study):
    results, folders, *_ = study
    scores, outcomes = pool(folders)

    cell = find_cell(results, "Clinical")

    assert cell.auc.value == pytest.approx(roc_auc_score(outcomes, np.round(scores, 9)), abs=1e-9)
    assert (cell.positive, cell.negative) == (outcomes.sum(), (~outcomes).sum())
    assert cell.missing == 180 - len(scores) > 0
    called = 1 / (1 + np.exp(-scores)) >= 0.4
    assert cell.threshold == 0.4
    assert cell.sensitivity.value == pytest.approx(called[outcomes].mean())
    assert cell.specificity.value == pytest.approx((~called)[~outcomes].mean())


@pytest.mark.parametrize("names", [NEW, ("new1",), ("new2",)])
def test_it_is_recalibrated_per_centre_and_over_all_new_ones(study, names):
    results, folders, *_ = study
    scores, outcomes = pool(folders, names)

    calibration = find_cell(results, "Clinical", names).calibration

    expected = LogisticRegression(C=np.inf, tol=1e-12).fit(scores[:, np.newaxis], outcomes)
    assert calibration.slope.value == pytest.approx(expected.coef_[0][0], rel=1e-5)
    assert calibration.offset == pytest.approx(expected.intercept_[0], rel=1e-5, abs=1e-6)
    assert any(f"at {names[0]}: expit({calibration.offset:.4g}" in note for note in results.notes) is (
        len(names) == 1
    )


def test_the_site_s_scores_are_those_of_predict(study):
    _, folders, run, models = study
    for name, path in models.items():
        (stored,) = (run.out / "sites/new1/scores").glob(f"*/{name}/earlier.npz")
        told = predict_patients(PredictRequest(path, folder=folders["new1"]), Progress(disable=True)).outcomes
        with np.load(stored) as kept:
            scores = kept["scores"][~np.isnan(kept["scores"])]
        predicted = sorted(one.risk for one in told if hasattr(one, "risk"))
        assert sorted(scores.tolist()) == predicted


def test_where_it_was_trained_it_is_neither_tested_nor_compared(study):
    results = study[0]
    by_sites: dict[tuple[str, ...], set[str]] = {}
    for cell in results.evaluation:
        by_sites.setdefault(cell.cohort_sites, set()).add(cell.relation)

    assert by_sites == {
        ("old1",): {"seen centre"},
        ("new1",): {"external"},
        ("new2",): {"external"},
        NEW: {"external"},
        tuple(sorted(ROLES)): {"seen centre"},
    }
    assert all("old1" not in comparison.cohort_sites for comparison in results.comparisons)


def test_models_are_compared_on_the_same_patients(study):
    results = study[0]

    pairs = [
        pair
        for comparison in results.comparisons
        for pair in comparison.pairs
        if comparison.cohort_sites == NEW
    ]

    assert [(pair.first_model, pair.second_model) for pair in pairs] == [("Clinical", "Other")]


def test_results_and_page_say_whose_model_it_is(study):
    results, _, run, models = study
    told = {one.model: one for one in results.earlier_models}

    assert told["Other"].name == "Clinical"
    assert told["Other"].trained_by == ("old1", "old2")
    assert told["Clinical"].seen_sites == ("old1",)
    assert sum("was not trained here" in note for note in results.notes) == 2
    page = run.report.read_text()
    assert "Earlier model" in page
    assert told["Clinical"].sha256[:12] in page
    assert json.loads(run.results.read_text())["earlier_models"][0]["study"] == "A study"
    assert models["Clinical"].name in page


def test_it_takes_one_round_a_model(study):
    _, _, run, models = study

    without = expect_rounds(a_plan({"Clinical": models["Clinical"]}))["evaluation"]
    assert expect_rounds(run.plan)["evaluation"].fewest == without.fewest + 1


def test_nobody_is_asked_where_a_file_is_missing_or_another(study, tmp_path):
    _, folders, run, models = study
    other = tmp_path / "cards"
    other.mkdir()
    for path in models.values():
        (other / path.name).write_bytes(models["Other"].read_bytes())

    for cards, expected in ((None, "--cards"), (tmp_path, "no such file"), (other, "unaltered")):
        again = StudyRun(run.plan, tmp_path / "out", run.key, cards=cards, resume=True)
        with pytest.raises(ModelError, match=expected):
            run_in_process(again, folders, Progress(disable=True))
    assert not any((tmp_path / "out").glob("sites/*/door"))
