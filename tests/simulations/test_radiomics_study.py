"""Radiomics in a study: extracted from CT, selected over hospitals as on pooled data, and judged."""

import numpy as np
import pytest
from rich.progress import Progress
from sites.handmade import make_site
from sklearn.linear_model import Lasso, LogisticRegression

from client.prepare import prepare_site
from common.card_file import load_card
from common.radiomics.features import FEATURES
from common.radiomics.selection import fold_of
from common.study import StudyPlan
from server.run import StudyRun
from simulations.two_centres import run_in_process, simulated_key

PATIENTS = 24


def a_plan(**changes):
    settings = {
        "name": "Radiomics",
        "seed": 11,
        "threads": 1,
        "profile": "simulation",
        "two_site_ack": True,
        "sites": [{"name": name, "role": "train"} for name in ("a", "b")],
        "models": [
            {
                "name": "net",
                "family": "resnet10-narrow",
                "input_size": 16,
                "training": {"batch_size": 8, "learning_rate": 0.003},
            },
            {"kind": "logistic", "name": "Combined", "covariates": ["ich_volume_ml", "radiomics"]},
            {"kind": "logistic", "name": "Fusion", "covariates": ["ich_volume_ml", "score:net"]},
        ],
        "radiomics": {"folds": 3},
        "federation": {"rounds": 1},
        "phases": ["regression", "training", "evaluation"],
        "regression": {"candidates": ["ich_volume_ml"]},
        "evaluation": {"reference_model": "net"},
    }
    return StudyPlan.model_validate(settings | changes)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sites")
    return {name: make_site(root / name, name, patients=PATIENTS) for name in ("a", "b")}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "out"


@pytest.fixture(scope="module")
def results(folders, out):
    plan = a_plan()
    return run_in_process(StudyRun(plan, out, simulated_key(plan)), folders, Progress(disable=True))


@pytest.fixture(scope="module")
def training(results, folders, out):
    """Every training patient in one place: name of the site, identifier, features, outcome."""
    rows = []
    for name, folder in folders.items():
        prepared = prepare_site(folder, a_plan(), out / "sites" / name / "cache", Progress(disable=True))
        rows += [
            (name, case.patient.identifier, case.features, case.positive)
            for case in prepared.cases
            if case.part != "test"
        ]
    return rows


def test_the_lasso_over_hospitals_is_scikit_learn_s_on_pooled_patients(results, training):
    (found,) = results.selections
    features, labels = np.array([row[2] for row in training]), np.array([row[3] for row in training], float)
    # A third of them may be in a fold; half as many features as the smallest fold has patients.
    folds = np.array([fold_of(11, site, name, 3) for site, name, _, _ in training])
    limit = np.bincount(folds, minlength=3).min() // 2
    z = (features - features.mean(axis=0)) / np.where(features.std(axis=0) > 0, features.std(axis=0), 1)
    strength = np.abs(z.T @ (labels - labels.mean()))
    kept = np.sort(np.argsort(-strength, kind="stable")[:limit])

    expected = Lasso(alpha=found.penalty, tol=1e-12, max_iter=1_000_000).fit(z[:, kept], labels)

    assert found.standing.kind == "ok"
    assert (found.candidates, found.prescreened) == (851, limit)
    assert [one.name for one in found.features] == [FEATURES[kept[i]] for i in np.flatnonzero(expected.coef_)]
    coefficients = [one.coefficient for one in found.features]
    assert coefficients == pytest.approx(expected.coef_[expected.coef_ != 0].tolist(), abs=1e-7)
    assert len(found.path) == 100


def test_the_combined_model_takes_what_was_selected(results):
    (selection,) = results.selections
    (found,) = [one for one in results.fitted if (one.model, one.arm) == ("Combined", "federated")]

    assert [row.variable for row in found.rows if row.variable in FEATURES] == [
        one.name for one in selection.features
    ]


def test_a_fusion_is_the_regression_on_the_network_s_logits(results, folders, out):
    """scikit-learn on the scores that lie at the sites."""
    rows, labels = [], []
    for name, folder in folders.items():
        cases = prepare_site(folder, a_plan(), out / "sites" / name / "cache", Progress(disable=True)).cases
        kept = np.load(next((out / "sites" / name / "scores").glob("*/net/federated.npz")))["scores"]
        for case, score in zip(cases, kept, strict=True):
            if case.part != "test":
                rows.append([case.baseline.ich_ml, np.log(score / (1 - score))])
                labels.append(case.positive)
    kept = load_card(out / "models/Fusion/federated.json").card.content.fitted
    assert kept.method == "maximum likelihood"
    expected = LogisticRegression(C=np.inf, tol=1e-12, max_iter=100_000, solver="newton-cholesky")
    expected.fit(np.array(rows), labels)

    logs = [effect.log_odds for effect in kept.effects]
    assert logs == pytest.approx(expected.coef_[0].tolist(), rel=1e-4, abs=1e-6)


def test_every_baseline_is_judged_beside_the_network(results):
    judged = {(c.model, c.arm) for c in results.evaluation if c.part == "test"}

    assert {("net", "federated"), ("Combined", "federated"), ("Fusion", "federated")} <= judged


def test_a_study_that_takes_no_radiomics_extracts_none(folders, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ZeroDivisionError("extracted")

    monkeypatch.setattr("client.radiomics.extract_cases", refuse)
    plan = a_plan(
        models=[{"kind": "logistic", "name": "Volume", "covariates": ["ich_volume_ml"]}], evaluation={}
    )
    prepared = prepare_site(folders["a"], plan, tmp_path / "cache", Progress(disable=True))

    assert all(case.features is None for case in prepared.cases)
