"""A whole study with an ICC filter: features that a second mask changes never reach the LASSO."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from rich.progress import Progress
from sites.handmade import make_site, read_rows, write_table
from sites.readings import icc_2_1
from sklearn.linear_model import Lasso
from studies.page import Page

from client.answers.patient_arrays import labels_of
from client.cohort.prepare import prepare_site
from common.cards.card_file import load_card
from common.plan.study import StudyPlan, load_plan
from common.radiomics.features import FEATURES
from common.stats.folds import deal_folds
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = pytest.mark.slow

PAPER = Path(__file__).parents[3] / "deploy/plans/paper.toml"
PATIENTS = 18
SEED = 11


def a_plan(**changes):
    return StudyPlan.model_validate(
        {
            "name": "Reproducible radiomics",
            "seed": SEED,
            "threads": 1,
            "profile": "simulation",
            "two_site_ack": True,
            "sites": [{"name": name, "role": "train", "model_release": True} for name in ("a", "b")],
            "models": [
                {"kind": "logistic", "name": "Combined", "covariates": ["ich_volume_ml", "radiomics"]}
            ],
            "agreement": {"same_readers": True},
            "radiomics": {"folds": 3, "readings": ["inter"]},
            "phases": ["agreement", "training", "evaluation"],
        }
        | changes
    )


def read_by_another(root, seed):
    """A second reader who moves a mask by a voxel, or draws it wider; the markers of two patients differ."""
    random = np.random.default_rng(seed)
    rows = read_rows(root)
    for number, row in enumerate(rows):
        mask = sitk.ReadImage(str(root / row["baseline_mask"]))
        voxels = sitk.GetArrayFromImage(mask)
        if random.random() < 0.5:
            moved = np.roll(voxels, int(random.choice([-1, 1])), axis=int(random.integers(1, 3)))
        else:
            moved = sitk.GetArrayFromImage(sitk.BinaryDilate(mask, [1, 1, 0]))
        again = sitk.GetImageFromArray(moved)
        again.CopyInformation(mask)
        path = f"images/{row['patient']}_again.nii.gz"
        sitk.WriteImage(again, str(root / path))
        grows = number % 3 == 0
        row["hypodensity"] = int(grows)
        row["recurrent_ich"] = int(number % 4 == 0)
        row["baseline_mask_second_reader"] = path
        row["hypodensity_second_reader"] = int(grows != (number in {0, 1}))
    write_table(root, rows)
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sites")
    return {
        name: read_by_another(make_site(root / name, name, PATIENTS, seed=seed), seed)
        for seed, name in enumerate(("a", "b"))
    }


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "out"


@pytest.fixture(scope="module")
def results(folders, out):
    return run_in_process(
        StudyRun(a_plan(), out, derive_simulated_key(a_plan())), folders, Progress(disable=True)
    )


@pytest.fixture(scope="module")
def training(results, folders, out):
    """Site and case of every training patient."""
    found = []
    for name, folder in folders.items():
        prepared = prepare_site(folder, a_plan(), out / "sites" / name / "cache", Progress(disable=True))
        found += [(name, case) for case in prepared.cases if case.part != "test"]
    return found


def reproducible(cases):
    """Names of the features with an ICC(2,1) above 0.80, one after the other."""
    kept = set()
    for index, name in enumerate(FEATURES):
        ratings = np.array([(c.features[index], c.readings.features["inter"][index]) for c in cases])
        if np.ptp(ratings) > 0 and icc_2_1(ratings) > 0.80:
            kept.add(name)
    return kept


def test_the_filter_keeps_what_is_reproducible_in_all_training_patients(results, training):
    (found,) = results.reproducibility.filters

    assert (found.arm, found.sites, found.form, found.threshold) == ("federated", ("a", "b"), "ICC(2,1)", 0.8)
    assert set(found.retained) == reproducible([case for _, case in training])
    assert 50 < len(found.retained) < 800
    (reading,) = found.readings
    assert (reading.reading, reading.used) == ("inter", len(training))


def test_the_lasso_is_scikit_learn_s_on_pooled_patients_and_reproducible_features(results, training):
    (judged,) = results.reproducibility.filters
    (found,) = [one for one in results.selections if one.arm == judged.arm]
    features = np.array([case.features for _, case in training])
    labels = np.array([case.positive for _, case in training], float)
    folds = np.concatenate(
        [
            deal_folds(SEED, site, [case.patient.identifier for case in own], labels_of(own), 3)
            for site in ("a", "b")
            for own in [[case for name, case in training if name == site]]
        ]
    )
    limit = np.bincount(folds, minlength=3).min() // 2
    spread = features.std(axis=0)
    usable = np.array([name in judged.retained for name in FEATURES]) & (spread > 0)
    z = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    strength = np.where(usable, np.abs(z.T @ (labels - labels.mean())), -1)
    kept = np.sort(np.argsort(-strength, kind="stable")[:limit])

    expected = Lasso(alpha=found.penalty, tol=1e-12, max_iter=1_000_000).fit(z[:, kept], labels)

    assert (found.candidates, found.reproducible, found.prescreened) == (851, len(judged.retained), limit)
    assert [one.name for one in found.features] == [FEATURES[kept[i]] for i in np.flatnonzero(expected.coef_)]
    coefficients = [one.coefficient for one in found.features]
    assert coefficients == pytest.approx(expected.coef_[expected.coef_ != 0].tolist(), abs=1e-7)
    # Without the filter another feature would have gone into the LASSO
    unfiltered = np.sort(np.argsort(-np.abs(z.T @ (labels - labels.mean())), kind="stable")[:limit])
    assert not np.array_equal(unfiltered, kept)


def test_a_local_model_takes_what_is_reproducible_in_its_own_patients(training, out):
    taken = {}
    for site in ("a", "b"):
        content = load_card(out / f"models/Combined/local-{site}.json").card.content
        taken[site] = {effect.variable for effect in content.fitted.effects} & set(FEATURES)

        assert taken[site] <= reproducible([case for name, case in training if name == site])
    assert taken["a"]


def test_agreement_of_volumes_and_markers_is_reported(results):
    found = {(one.kind, one.name, one.reader): one for one in results.reproducibility.agreements}

    volume = found["volume", "ich_volume_ml", "inter"]
    assert (volume.used, volume.method, volume.agreement.standing.kind) == (2 * PATIENTS, "ICC(2,1)", "ok")
    # Of 12 growing and 24 other patients the second reader takes two of each for the other kind
    marker = found["marker", "hypodensity", "inter"]
    observed, expected = 32 / 36, (12 * 12 + 24 * 24) / 36**2
    assert marker.agreement.value == pytest.approx((observed - expected) / (1 - expected))
    # Dark cores are drawn where hematomas grow
    assert found["suggestion", "hypodensity", "first"].agreement.value == 1
    assert found["volume", "ich_volume_ml", "intra"].used == 0


def test_the_report_shows_readers_suggestions_and_features(results, out):
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    (judged,) = results.reproducibility.filters

    assert any(element.get("id") == "reproducibility" for element in page.all("section"))
    assert "Computed suggestion against" in page.text
    assert f"{len(judged.retained)} of 851" in page.text
    (figure,) = [image for image in page.all("img") if "A dot for each feature" in image["alt"]]
    assert f"{len(judged.retained)} of" in figure["alt"]


def test_the_tables_hold_every_feature(results, out):
    (judged,) = results.reproducibility.filters
    with (out / "tables/feature_agreement.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [row["feature"] for row in rows] == list(FEATURES)
    assert {row["feature"] for row in rows if row["retained"] == "1"} == set(judged.retained)
    with (out / "tables/agreement.csv").open(newline="") as file:
        kinds = [row["kind"] for row in csv.DictReader(file)]
    assert (kinds.count("volume"), kinds.count("marker"), kinds.count("computed suggestion")) == (4, 18, 18)


def test_readers_of_their_own_judge_features_centre_by_centre(results, training, folders, out, tmp_path):
    """Sums of other readers' readings are never added; each centre's own leave it in the clear."""
    plan = a_plan(agreement={"same_readers": False}, phases=["training"])
    for name in folders:
        shutil.copytree(out / "sites" / name / "cache", tmp_path / "out" / "sites" / name / "cache")

    found = run_in_process(
        StudyRun(plan, tmp_path / "out", derive_simulated_key(plan)), folders, Progress(disable=True)
    )

    (judged,) = found.reproducibility.filters
    own = {site: reproducible([case for name, case in training if name == site]) for site in folders}
    assert [(one.sites, one.used) for one in judged.readings] == [
        ((site,), sum(name == site for name, _ in training)) for site in folders
    ]
    assert set(judged.retained) == own["a"] & own["b"]
    assert own["a"] != own["b"]
    (selection,) = [one for one in found.selections if one.arm == judged.arm]
    assert {one.name for one in selection.features} <= set(judged.retained)
    assert selection.reproducible == len(judged.retained)


def a_small_paper_plan():
    """deploy/plans/paper.toml with small networks, one of each dimension, and the readings of these sites."""
    settings = load_plan(PAPER).model_dump(mode="json")
    flat, solid = (
        network
        | {"family": family, "input_size": size, "initialisation": "random", "training": {"batch_size": 8}}
        for network, family, size in (
            (settings["models"][0], "resnet10-narrow", 16),
            (settings["models"][4], "densenet-small", 32),
        )
    )
    settings["models"] = [flat, solid, *settings["models"][8:]]
    for site, name in zip(settings["sites"], ("a", "b"), strict=True):
        site["name"] = name
    settings["radiomics"] |= {"readings": ["inter"], "folds": 3}
    settings["models"][-1] |= {"folds": 3, "c_grid": [1.0], "gamma_grid": [0.01]}
    settings["federation"]["rounds"] = settings["explanation"]["per_site"] = 1
    return StudyPlan.model_validate(settings | {"profile": "simulation", "threads": 1, "seed": SEED})


@pytest.mark.usefixtures("no_page", "training")
def test_the_paper_s_plan_runs_whole_with_small_networks(folders, out, tmp_path):
    """Every model of Table 3 is judged at both centres, or says why not; predictors are those of Table 2."""
    plan = a_small_paper_plan()
    for name in folders:
        shutil.copytree(out / "sites" / name / "cache", tmp_path / "out" / "sites" / name / "cache")

    found = run_in_process(
        StudyRun(plan, tmp_path / "out", derive_simulated_key(plan)), folders, Progress(disable=True)
    )

    assert found.reproducibility.readers == ("Radiologist A", "Radiologist B")
    kappas = {(one.name, one.reader): one for one in found.reproducibility.agreements if one.kind == "marker"}
    assert kappas["hypodensity", "inter"].agreement.value > 0.7
    assert kappas["hypodensity", "intra"].agreement.standing.reason
    predictors = {
        row.variable
        for row in found.regression.rows
        if row.multivariable and (row.multivariable.p_value or 1) < plan.regression.entry_p
    }
    assert predictors
    cards = {
        model.name: load_card(tmp_path / "out/models" / model.name / "local-a.json").card.content
        for model in plan.regressions
    }
    assert {one.name for one in cards["Clinical-radiologic"].covariates} == predictors
    combined = {one.name for one in cards["Combined-logistic"].covariates}
    assert combined - set(FEATURES) == predictors
    assert combined & set(FEATURES)
    assert [one.brain_a for one in cards["BRAIN-score"].covariates] == ["anticoagulation"]
    for model in plan.models:
        judged = [cell for cell in found.evaluation if cell.model == model.name]
        assert {("a",), ("b",)} <= {cell.cohort_sites for cell in judged}
        assert all(cell.auc.value is not None or cell.auc.standing.reason for cell in judged)
