"""Radiomics in a study: extracted, selected over hospitals as on pooled data, judged, and predicting."""

import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
from rich.progress import Progress
from sites.handmade import make_site
from sklearn.linear_model import Lasso, LogisticRegression

from client.cohort.prepare import prepare_site
from client.predict.request import PredictRequest, predict_patients
from common.cards.card_file import CARD_KEY, _envelop, load_card
from common.errors import CohortError, ModelError, ScanError
from common.plan.study import StudyPlan
from common.radiomics.features import FEATURES
from common.stats.folds import deal_folds
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = pytest.mark.slow

PATIENTS = 18
FEW = 6


def a_plan(**changes):
    settings = {
        "name": "Radiomics",
        "seed": 11,
        "threads": 1,
        "profile": "simulation",
        "two_site_ack": True,
        "sites": [
            {"name": "a", "role": "train", "model_release": True},
            {"name": "b", "role": "train"},
        ],
        "models": [
            {
                "name": "net",
                "family": "resnet10-narrow",
                "input_size": 16,
                "training": {"batch_size": 8, "learning_rate": 0.003},
            },
            {"kind": "logistic", "name": "Combined", "covariates": ["ich_volume_ml", "radiomics"]},
            {
                "kind": "svm",
                "name": "Machine",
                "covariates": ["ich_volume_ml", "radiomics"],
                "c_grid": [0.1, 10.0],
                "gamma_grid": [0.01, 0.1],
                "folds": 3,
                "fourier_features": 16,
            },
            {"kind": "logistic", "name": "Fusion", "covariates": ["ich_volume_ml", "score:net"]},
        ],
        "radiomics": {"folds": 3},
        "federation": {"rounds": 1},
        "phases": ["regression", "training", "evaluation"],
        "regression": {"candidates": ["ich_volume_ml"]},
        "evaluation": {"reference_model": "net"},
    }
    return StudyPlan.model_validate(settings | changes)


@pytest.fixture(scope="module", autouse=True)
def empty_pictures():
    """Here they are drawn: this study has models of every kind, and with them figures of every kind."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sites")
    return {name: make_site(root / name, name, patients=PATIENTS) for name in ("a", "b")}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The first patients of b, in a folder of their own: the extraction takes them one after the other."""
    return make_site(tmp_path_factory.mktemp("few") / "b", "b", patients=FEW)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "out"


@pytest.fixture(scope="module")
def results(folders, out):
    plan = a_plan()
    return run_in_process(StudyRun(plan, out, derive_simulated_key(plan)), folders, Progress(disable=True))


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


def selection_of(results, arm):
    (found,) = [one for one in results.selections if one.arm == arm]
    return found


@pytest.mark.parametrize("arm", ["federated", "local-a"])
def test_the_lasso_is_scikit_learn_s_on_the_arm_s_patients(results, training, arm):
    found = selection_of(results, arm)
    if arm == "local-a":
        training = [row for row in training if row[0] == "a"]
    features, labels = np.array([row[2] for row in training]), np.array([row[3] for row in training], float)
    # A third of them may be in a fold; half as many features as the smallest fold has patients.
    folds = np.concatenate(
        [
            deal_folds(11, site, [row[1] for row in rows], np.array([row[3] for row in rows]), 3)
            for site in ("a", "b")
            if (rows := [row for row in training if row[0] == site])
        ]
    )
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
    at = [point.penalty for point in found.path].index(found.penalty)
    assert [one.profile[at] for one in found.features] == coefficients
    assert found.path[at].active == len(found.features)
    assert found.used == len(labels)


def test_a_selection_leaves_with_a_released_model_alone(results):
    assert [one.arm for one in results.selections] == ["federated", "local-a"]


@pytest.mark.parametrize("arm", ["federated", "local-a"])
def test_a_card_has_the_moments_of_its_own_arm_s_patients(results, out, arm):
    card = load_card(out / f"models/Combined/{arm}.json").card.content
    selected = {one.name: (one.mean, one.sd) for one in selection_of(results, arm).features}

    described = {one.name: (one.mean, one.sd) for one in card.covariates if one.name in FEATURES}

    assert described == selected


def test_the_combined_model_takes_what_was_selected(results):
    selection = selection_of(results, "federated")
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

    models = ("net", "Combined", "Machine", "Fusion")
    assert {(model, arm) for model in models for arm in ("federated", "local-a", "local-b")} <= judged
    external = {(c.model, c.cohort_sites) for c in results.evaluation if c.relation == "external"}
    assert external == {(model, ("b",)) for model in models}


def test_a_study_that_takes_no_radiomics_extracts_none(folders, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ZeroDivisionError("extracted")

    monkeypatch.setattr("client.cohort.radiomics.extract_cases", refuse)
    plan = a_plan(
        models=[{"kind": "logistic", "name": "Volume", "covariates": ["ich_volume_ml"]}], evaluation={}
    )
    prepared = prepare_site(folders["a"], plan, tmp_path / "cache", Progress(disable=True))

    assert all(case.features is None for case in prepared.cases)


def stored_scores(out, site, model, arm="federated"):
    (path,) = (out / "sites" / site / "scores").glob(f"*/{model}/{arm}.npz")
    with np.load(path) as kept:
        return kept["scores"]


def ask(model, **request):
    return predict_patients(PredictRequest(model, **request), Progress(disable=True))


def files_of(folder, number=4):
    images = folder / "images"
    return {what: images / f"{folder.name}-{number:03d}_{what}.nii.gz" for what in ("ct", "mask")}


@pytest.mark.parametrize(
    ("model", "arm"), [("Combined", "federated"), ("Machine", "federated"), ("Machine", "local-a")]
)
def test_predict_extracts_the_features_and_gives_the_study_s_risks(results, few, out, model, arm):
    card = out / f"models/{model}/{arm}.json"
    expected = stored_scores(out, "b", model, arm)[:FEW]

    whole = ask(card, folder=few)
    one = ask(card, **files_of(few))

    assert np.std(expected) > 0.01
    assert [found.risk for found in whole.outcomes] == pytest.approx(expected.tolist(), rel=1e-9, abs=0)
    assert one.outcomes[0].risk == pytest.approx(expected[4], rel=1e-9, abs=0)
    sources = {entry.source for entry in one.outcomes[0].inputs if entry.name in FEATURES}
    assert sources == {"CT and mask"}


def test_a_logistic_model_that_stays_predicts_at_home(results, few, out):
    (card,) = (out / "sites/b/models").glob("*/Combined/local.json")

    found = ask(card, folder=few)

    expected = stored_scores(out, "b", "Combined", "local-b")[:FEW]
    assert [one.risk for one in found.outcomes] == pytest.approx(expected.tolist(), rel=1e-9, abs=0)


def test_a_machine_s_card_says_how_far_its_linear_form_lies_from_the_exact_one(results, folders, out):
    (shown,) = [one for one in results.machines if one.arm == "local-a"]

    (found,) = ask(out / "models/Machine/local-a.json", **files_of(folders["b"])).outcomes

    assert any(f"{shown.deviation:.3f} (root mean square)" in note for note in found.notes)


def test_a_feature_may_be_given_instead(results, folders, out):
    card = out / "models/Combined/federated.json"
    name = selection_of(results, "federated").features[0].name
    files = files_of(folders["b"])

    measured, given = ask(card, **files), ask(card, values=(f"{name}=0.5",), **files)

    assert given.outcomes[0].risk != measured.outcomes[0].risk
    assert [entry.source for entry in given.outcomes[0].inputs if entry.name == name] == ["--set"]


def test_without_a_mask_or_any_file_the_message_says_what_to_give(results, folders, out):
    card = out / "models/Combined/federated.json"

    maskless = ask(card, ct=files_of(folders["b"])["ct"])
    nothing = ask(card, values=("ich_volume_ml=20",))

    assert isinstance(maskless.failure, ScanError)
    assert "mask is not given -> give --ct and --mask" in str(maskless.failure)
    assert isinstance(nothing.failure, CohortError)
    assert "from which they are extracted" in str(nothing.failure)


def masked(source, path, voxels):
    """The scan's mask with these voxels alone."""
    image = sitk.ReadImage(str(source))
    labels = np.zeros_like(sitk.GetArrayFromImage(image))
    for place in voxels:
        labels[place] = 1
    mask = sitk.GetImageFromArray(labels)
    mask.CopyInformation(image)
    sitk.WriteImage(mask, str(path))
    return path


def test_a_lesion_of_one_voxel_is_refused(results, folders, out, tmp_path):
    """Of the extraction's own grid: a larger one would become several."""
    voxels = np.full((12, 200, 200), -1000, np.int16)
    voxels[1:11, 30:170, 30:170] = 40
    fine = sitk.GetImageFromArray(voxels)
    fine.SetSpacing((1.0, 1.0, 5.0))
    sitk.WriteImage(fine, str(tmp_path / "ct.nii.gz"))
    mask = masked(tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz", [(6, 90, 80)])

    (found,) = ask(out / "models/Combined/federated.json", ct=tmp_path / "ct.nii.gz", mask=mask).outcomes

    assert isinstance(found.failure, ScanError)
    assert "PyRadiomics refuses the lesion of 1 voxels" in str(found.failure)


def test_four_parts_are_predicted_and_noted(results, folders, out, tmp_path):
    files = files_of(folders["b"])
    parts = [
        np.s_[z : z + 2, y : y + 4, x : x + 4]
        for z, y, x in ((2, 20, 20), (2, 40, 40), (8, 20, 40), (8, 40, 20))
    ]
    mask = masked(files["mask"], tmp_path / "parts.nii.gz", parts)

    (found,) = ask(out / "models/Combined/federated.json", ct=files["ct"], mask=mask).outcomes

    assert 0 <= found.risk <= 1
    assert "the lesion has 4 parts, extracted as one" in found.notes


def rewritten(source, path, **changes):
    card = json.loads(source.read_text())[CARD_KEY]
    card["content"]["radiomics"] |= changes
    path.write_bytes(_envelop(card))
    return path


def test_features_of_another_extraction_are_refused(results, folders, out, tmp_path):
    card = out / "models/Machine/federated.json"
    other = rewritten(card, tmp_path / "other.json", version="PyRadiomics 2.2.0")

    with pytest.raises(ModelError, match="takes inputs of PyRadiomics 2.2.0, not PyRadiomics 3.0.1"):
        ask(other, **files_of(folders["b"]))


def test_the_card_s_own_settings_are_followed(results, folders, out, tmp_path):
    card, files = out / "models/Combined/federated.json", files_of(folders["b"])
    settings = json.loads(card.read_text())[CARD_KEY]["content"]["radiomics"]["settings"]
    finer = rewritten(card, tmp_path / "finer.json", settings=settings | {"spacing_mm": [2.0, 2.0, 5.0]})

    assert settings["spacing_mm"] == [1.0, 1.0, 5.0]
    assert ask(finer, **files).outcomes[0].risk != ask(card, **files).outcomes[0].risk


def test_an_altered_card_of_a_machine_is_refused(results, out, tmp_path):
    content = (out / "models/Machine/federated.json").read_bytes()
    (tmp_path / "m.json").write_bytes(content.replace(b'"seed": 11', b'"seed": 12'))

    with pytest.raises(ModelError, match="altered"):
        load_card(tmp_path / "m.json")
