"""One patient's attention map needs neither a plan nor a prepared site."""

from __future__ import annotations

import pytest
from sites.handmade import make_site
from sites.plans import LOGISTIC, NETWORK, plan_of
from typer.testing import CliRunner

from client.cli import app
from common.cards.card import describe_logistic, describe_network, make_local_card, training_centre_of
from common.cards.card_file import add_card, save_card
from common.errors import CohortError, ModelError
from common.messages.headers import Effect, Fitted
from common.models.checkpoint import Checkpoint, save
from common.models.layout import Layout
from common.models.weights import flatten
from common.models.zoo import build


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("overlaid") / "a", "a", 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    plan = plan_of({"a": "train"}, NETWORK)
    network = plan.network("Net")
    weights = build(network.network(plan.preprocessing), seed=1)
    path = tmp_path_factory.mktemp("models") / "Net" / "federated.safetensors"
    path.parent.mkdir()
    save(path, Checkpoint(flatten(weights), Layout.of(weights), {"plan": plan.digest(), "model": "Net"}))
    content = describe_network(plan, network, 1)
    add_card(path, make_local_card(plan, "Net", training_centre_of(plan, "a", 40), {}, content))
    return path


def rhe(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})


def test_one_patient_of_the_table_is_explained_without_preparing_the_site(site, model, tmp_path):
    done = rhe("explain", site, "--model", model, "--patient", "a-001", "--state", tmp_path)

    assert done.exit_code == 0, done.output
    drawn = tmp_path / "attention" / "Net" / "federated" / "row-3.png"
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["attention"]
    assert "a-001: risk " in done.output


def test_files_alone_are_explained_as_the_same_patient_of_the_table(site, model, tmp_path):
    files = ("--ct", site / "images/a-001_ct.nii.gz", "--mask", site / "images/a-001_mask.nii.gz")
    rhe("explain", site, "--model", model, "--patient", "a-001", "--state", tmp_path)

    done = rhe("explain", site, "--model", model, *files, "--state", tmp_path)
    asked = rhe("predict", model, *files, "--overlay", tmp_path / "asked")

    assert (done.exit_code, asked.exit_code) == (0, 0), asked.output
    drawn = tmp_path / "attention" / "Net" / "federated"
    expected = (drawn / "row-3.png").read_bytes()
    assert (drawn / "patient.png").read_bytes() == expected
    assert (tmp_path / "asked" / "patient.png").read_bytes() == expected


def test_an_unknown_patient_is_refused(site, model, tmp_path):
    done = rhe("explain", site, "--model", model, "--patient", "nobody", "--state", tmp_path)

    assert isinstance(done.exception, CohortError)
    assert not list(tmp_path.rglob("*.png"))


def test_a_model_without_images_has_no_map(tmp_path):
    plan = plan_of({"a": "train"}, LOGISTIC)
    effect = Effect(variable="age", log_odds=0.1, standard_error=0.1, p=0.3, p_likelihood_ratio=0.3)
    fitted = Fitted(effects=(effect,), intercept=-1.0, method="maximum likelihood", status="ok")
    centre = training_centre_of(plan, "a", 40)
    card = make_local_card(plan, "Clinical", centre, {}, describe_logistic(plan, fitted))
    save_card(tmp_path / "model.json", card)

    done = rhe("predict", tmp_path / "model.json", "--set", "age=60", "--overlay", tmp_path / "drawn")

    assert isinstance(done.exception, ModelError)
    assert "has no attention map" in str(done.exception)
