"""Predictions from files on disk are the scores of the study that left the files."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from rich.progress import Progress
from sites.handmade import make_site
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort
from typer.testing import CliRunner

from client.cli import app
from client.predict.request import PredictRequest, predict_patients
from common.cards.card_file import CARD_KEY, _envelop, load_card
from common.errors import CohortError, ModelError, ScanError
from common.models.checkpoint import Checkpoint, load, save
from common.plan.study import StudyPlan
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

TRAINING = {"batch_size": 8, "learning_rate": 0.003}
NETWORKS = [
    {"name": "flat", "family": "resnet10-narrow", "input_size": 16, "training": TRAINING},
    {"name": "solid", "family": "densenet-small", "dimensions": 3, "input_size": 32, "training": TRAINING},
]
REGRESSIONS = [
    {"kind": "logistic", "name": "BRAIN", "covariates": ["brain_score"]},
    {"kind": "logistic", "name": "Clinical", "covariates": ["onset_to_ct_h", "ich_volume_ml", "location"]},
]


def a_plan(models):
    sites = [
        {"name": "a", "role": "train", "model_release": False},
        {"name": "b", "role": "train", "model_release": False},
    ]
    settings = {"name": "Predicted", "seed": 3, "threads": 1, "profile": "simulation", "two_site_ack": True}
    phases = ["training", "evaluation"]
    parts = {"sites": sites, "models": models, "phases": phases, "federation": {"rounds": 1}}
    parts["cohort"] = {"brain_a": "anticoagulation"}
    return StudyPlan.model_validate(settings | parts)


def study(models, sites, out):
    plan = a_plan(models)
    run_in_process(StudyRun(plan, out, derive_simulated_key(plan)), sites, Progress(disable=True))
    return out


def stored_scores(out, site, model, arm):
    """By patient, in the order of the identifiers, as the site keeps them."""
    (path,) = (out / "sites" / site / "scores").glob(f"*/{model}/{arm}.npz")
    with np.load(path) as kept:
        return kept["scores"]


@pytest.fixture(scope="module")
def imaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imaged")
    sites = {"a": make_site(folder / "a", "a", 18), "b": make_site(folder / "b", "b", 15, seed=1)}
    return sites, study(NETWORKS, sites, folder / "out")


@pytest.fixture(scope="module")
def tabled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tabled")
    habits = Habits(split=("train", "validation", "train", "test"))
    sites = {
        name: table_only_hospital(folder / name, name, 120, seed, habits=habits)
        for seed, name in enumerate("ab")
    }
    for site in sites.values():
        rows = read_cohort(site)
        for row in rows:
            row["recurrent_ich"] = int(row["patient"].endswith("7"))
            row["location"] = "deep" if row["location"] == "infratentorial" else row["location"]
        write_cohort(site, rows)
    return sites, study(REGRESSIONS, sites, folder / "out")


def ask(model, **request):
    return predict_patients(PredictRequest(model, **request), Progress(disable=True))


def rhe(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.mark.parametrize("model", ["flat", "solid"])
def test_a_network_gives_a_patient_the_bits_of_the_study(imaged, model):
    sites, out = imaged
    expected = stored_scores(out, "b", model, "federated")

    whole = ask(out / f"models/{model}/federated.safetensors", folder=sites["b"])
    one = ask(
        out / f"models/{model}/federated.safetensors",
        ct=sites["b"] / "images/b-004_ct.nii.gz",
        mask=sites["b"] / "images/b-004_mask.nii.gz",
    )

    assert [found.risk for found in whole.outcomes] == expected.tolist()
    assert one.outcomes[0].risk == expected[4]


@pytest.mark.parametrize("model", ["BRAIN", "Clinical"])
def test_a_logistic_model_gives_the_study_s_risks(tabled, model):
    sites, out = tabled
    expected = stored_scores(out, "a", model, "federated")

    found = ask(out / f"models/{model}/federated.json", folder=sites["a"])

    assert [one.risk for one in found.outcomes] == pytest.approx(expected.tolist(), rel=1e-12, abs=0)


def test_a_model_that_stays_has_its_card_there(imaged, tabled):
    (network,) = (imaged[1] / "sites/a/models").glob("*/flat/local.safetensors")
    (regression,) = (tabled[1] / "sites/a/models").glob("*/Clinical/local.json")
    network_scores = stored_scores(imaged[1], "a", "flat", "local-a")
    risks = stored_scores(tabled[1], "a", "Clinical", "local-a")

    by_network = ask(network, folder=imaged[0]["a"])
    by_regression = ask(regression, folder=tabled[0]["a"])

    assert by_network.card.arm == "local-a"
    assert [one.risk for one in by_network.outcomes] == network_scores.tolist()
    assert [one.risk for one in by_regression.outcomes] == pytest.approx(risks.tolist(), rel=1e-12)


def test_the_card_tells_where_the_model_comes_from(imaged, tabled):
    results = json.loads((imaged[1] / "results.json").read_text())
    card = load_card(imaged[1] / "models/flat/federated.safetensors").card
    sizes = {p["site"]: p["positive"] + p["negative"] for p in results["parts"] if p["part"] == "train"}
    cells = [c for c in results["evaluation"] if (c["model"], c["arm"]) == ("flat", "federated")]

    assert card.plan_hash == a_plan(NETWORKS).digest()
    assert {centre.site: centre.patients for centre in card.training} == sizes
    assert [one.auc for one in card.metrics] == [cell["auc"]["value"] for cell in cells]
    for share in ("sensitivity", "specificity"):
        assert [getattr(one, share) for one in card.metrics] == [cell[share]["value"] for cell in cells]
    assert any(one.specificity is not None for one in card.metrics)
    regression = load_card(tabled[1] / "models/Clinical/federated.json").card
    assert sum(centre.patients for centre in regression.training) == regression.content.fitted.used
    assert (regression.operating_point, regression.operating_point_from) == (0.5, "plan")


def damaged(source, folder, change):
    path = folder / source.name
    path.write_bytes(change(source.read_bytes()))
    return path


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("change", [flip, lambda content: content[: len(content) // 2]])
@pytest.mark.parametrize("kind", ["network", "logistic"])
def test_an_altered_or_truncated_file_is_refused(imaged, tabled, tmp_path, change, kind):
    network, logistic = "models/flat/federated.safetensors", "models/Clinical/federated.json"
    source = imaged[1] / network if kind == "network" else tabled[1] / logistic

    with pytest.raises(ModelError, match=r"altered|truncated|damaged"):
        load_card(damaged(source, tmp_path, change))


def test_every_byte_of_a_logistic_card_counts(tabled, tmp_path):
    content = (tabled[1] / "models/BRAIN/federated.json").read_bytes()
    path = tmp_path / "card.json"

    for place in range(0, len(content), 13):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ModelError):
            load_card(path)


def test_a_card_of_another_version_is_refused(imaged, tabled, tmp_path):
    card = json.loads((tabled[1] / "models/BRAIN/federated.json").read_text())[CARD_KEY]
    (tmp_path / "later.json").write_bytes(_envelop(card | {"version": 2}))
    kept = load(imaged[1] / "models/flat/federated.safetensors")
    later = json.dumps(json.loads(kept.metadata[CARD_KEY]) | {"version": 2})
    metadata = {**kept.metadata, CARD_KEY: later}
    save(tmp_path / "later.safetensors", Checkpoint(kept.weights, kept.layout, metadata))

    for name in ("later.json", "later.safetensors"):
        with pytest.raises(ModelError, match="format version 2"):
            load_card(tmp_path / name)


def test_a_card_beside_another_plan_s_weights_is_refused(imaged, tmp_path):
    kept = load(imaged[1] / "models/flat/federated.safetensors")
    save(
        tmp_path / "m.safetensors", Checkpoint(kept.weights, kept.layout, {**kept.metadata, "plan": "0" * 64})
    )

    with pytest.raises(ModelError, match="weights of plan 000000000000"):
        load_card(tmp_path / "m.safetensors")


def test_a_model_of_another_plan_is_refused(tabled, tmp_path):
    plan = tmp_path / "study.toml"
    plan.write_text(
        'name = "Other"\nseed = 1\n[[sites]]\nname = "a"\nrole = "train"\n'
        '[[models]]\nname = "m"\nfamily = "resnet18"\n'
    )

    with pytest.raises(ModelError, match="not of"):
        ask(tabled[1] / "models/BRAIN/federated.json", values=("age=60",), plan=plan)


def test_missing_covariates_are_named(tabled):
    found = ask(tabled[1] / "models/BRAIN/federated.json", values=("ich_volume_ml=20", "ivh=0"))

    assert isinstance(found.failure, CohortError)
    assert "recurrent_ich, anticoagulation, onset_to_ct_h: no value" in str(found.failure)


def test_values_may_come_from_the_command_line(tabled):
    sites, out = tabled
    row = read_cohort(sites["a"])[3]
    names = ("onset_to_ct_h", "ich_volume_ml", "location")

    found = ask(out / "models/Clinical/federated.json", values=tuple(f"{n}={row[n]}" for n in names))

    expected = stored_scores(out, "a", "Clinical", "federated")[3]
    assert found.outcomes[0].risk == pytest.approx(expected, rel=1e-12)
    assert {entry.source for entry in found.outcomes[0].inputs} == {"--set"}


def test_a_level_that_no_training_patient_had_is_refused(tabled):
    values = ("onset_to_ct_h=3", "ich_volume_ml=20", "location=infratentorial")

    found = ask(tabled[1] / "models/Clinical/federated.json", values=values)

    assert "location = 'infratentorial' is a level that the model does not know" in str(found.failure)


@pytest.mark.parametrize(
    ("pair", "message"),
    [("location=brainstem", "is none of"), ("agee=60", "did you mean 'age'"), ("age=600", "impossible")],
)
def test_impossible_values_are_refused(tabled, pair, message):
    with pytest.raises(CohortError, match=message):
        ask(tabled[1] / "models/BRAIN/federated.json", values=(pair,))


@pytest.mark.parametrize(
    ("covariate", "message"),
    [
        ("score:flat", "takes the score of flat: not given"),
        ("original_shape_Sphericity", "radiomics features original_shape_Sphericity: not given"),
    ],
)
def test_scores_and_features_that_are_not_given_are_named(tabled, tmp_path, covariate, message):
    card = json.loads((tabled[1] / "models/BRAIN/federated.json").read_text())[CARD_KEY]
    card["content"]["covariates"][0]["name"] = covariate
    card["content"]["fitted"]["effects"][0]["variable"] = covariate
    (tmp_path / "m.json").write_bytes(_envelop(card))

    without = ask(tmp_path / "m.json", values=("age=60",))
    given = ask(tmp_path / "m.json", values=(f"{covariate}=0.5",))

    assert message in str(without.failure)
    fitted = load_card(tmp_path / "m.json").card.content.fitted
    value = 0.0 if covariate.startswith("score:") else 0.5  # the logit of a half is nothing
    linear = fitted.intercept + value * fitted.effects[0].log_odds
    assert given.outcomes[0].risk == pytest.approx(1 / (1 + np.exp(-linear)), rel=1e-12)


def test_one_bad_patient_costs_only_itself_and_the_exit_code_says_so(imaged, tmp_path):
    _, out = imaged
    hurt = make_site(tmp_path / "b", "b", 15, seed=1)
    (hurt / "images" / "b-004_ct.nii.gz").write_bytes(b"\x1f\x8b broken")

    done = rhe(out / "models/flat/federated.safetensors", "--folder", hurt, "--out", tmp_path / "risks.csv")

    with (tmp_path / "risks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = stored_scores(out, "b", "flat", "federated").tolist()
    assert done.exit_code == ScanError.exit_code
    assert [row["patient"] for row in rows if row["decision"] == "refused"] == ["b-004"]
    assert [float(row["risk"]) for row in rows if row["risk"]] == expected[:4] + expected[5:]
    assert len(re.findall("For research use only", done.output)) == 1


def test_a_mask_without_the_lesion_is_refused(imaged, tmp_path):
    import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation

    ct, mask = (imaged[0]["b"] / f"images/b-004_{what}.nii.gz" for what in ("ct", "mask"))
    sitk.WriteImage(sitk.ReadImage(str(mask)) * 2, str(tmp_path / "ivh.nii.gz"))

    found = ask(imaged[1] / "models/flat/federated.safetensors", ct=ct, mask=tmp_path / "ivh.nii.gz")

    assert isinstance(found.failure, ScanError)
    assert "IVH only" in str(found.failure)


def rewrite(source, path, change):
    """A copy of the volume with other voxels."""
    image = sitk.ReadImage(str(source))
    changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(path))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda labels: 1 - labels, "the mask marks 2,"),
        (lambda labels: np.roll(labels, 36, axis=2), "the median within the lesion is"),
    ],
    ids=["inverted", "in air"],
)
def test_an_impossible_mask_gives_no_risk(imaged, tmp_path, change, message):
    sites, out = imaged
    images, model = sites["b"] / "images", out / "models/flat/federated.safetensors"
    mask = rewrite(images / "b-004_mask.nii.gz", tmp_path / "mask.nii.gz", change)

    found = ask(model, ct=images / "b-004_ct.nii.gz", mask=mask)

    assert isinstance(found.failure, ScanError)
    assert message in str(found.failure)


def test_what_a_person_must_look_at_stands_beside_the_risk(imaged, tmp_path):
    """The mask of another place lies on brain, and the table tells of another hematoma."""
    sites, out = imaged
    images, model = sites["b"] / "images", out / "models/flat/federated.safetensors"
    mask = rewrite(
        images / "b-004_mask.nii.gz", tmp_path / "mask.nii.gz", lambda labels: np.roll(labels, 14, axis=2)
    )
    values = ("ivh=1", "ich_volume_ml=90", "ivh_volume_ml=2")

    (outcome,) = ask(model, ct=images / "b-004_ct.nii.gz", mask=mask, values=values).outcomes
    shown = rhe(model, "--ct", images / "b-004_ct.nii.gz", "--mask", mask, "--out", tmp_path / "risks.csv")

    assert "ich_volume_ml is 90.0 ml in the table" in outcome.doubts[-3]
    assert "ivh is yes in the table, the mask marks no IVH" in outcome.doubts[-1]
    assert not set(outcome.doubts) & set(outcome.notes)
    assert "look at this" in shown.output
    with (tmp_path / "risks.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert "the median within the ICH is 32 HU" in row["look_at_this"]
    assert row["decision"] in {"positive", "negative"}


def test_a_logistic_model_needs_no_torch(tabled):
    model = tabled[1] / "models/BRAIN/federated.json"
    code = (
        "import sys\nfrom pathlib import Path\nfrom rich.progress import Progress\n"
        "from client.predict.request import PredictRequest, predict_patients\n"
        f"predict_patients(PredictRequest(Path({str(model)!r}), folder=Path({str(tabled[0]['a'])!r})), "
        "Progress(disable=True))\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
