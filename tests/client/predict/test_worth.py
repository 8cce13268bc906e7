"""Beside a risk stands what it is worth: how the model did elsewhere, for whom, with which inputs."""

from __future__ import annotations

import json

import pytest
from rich.progress import Progress
from sites.plans import LOGISTIC, plan_of
from typer.testing import CliRunner

from client.cli import app
from client.predict.request import PredictRequest, describe_predictions, predict_patients
from client.predict.worth import describe_worth, find_judgements, list_worth
from common.cards.card import (
    Metric,
    ModelCard,
    UsualRange,
    describe_logistic,
    make_local_card,
    training_centre_of,
)
from common.cards.card_file import save_card
from common.messages.headers import Effect, Fitted

FITTED = Fitted(
    effects=(
        Effect(variable="ich_volume_ml", log_odds=-0.2, standard_error=0.1, p=0.3, p_likelihood_ratio=0.3),
        Effect(variable="age", log_odds=0.01, standard_error=0.1, p=0.3, p_likelihood_ratio=0.3),
    ),
    intercept=-1.0,
    method="maximum likelihood",
    status="ok",
)


def metric(relation, part="whole", **values):
    shared = {"cohort_sites": ("far",), "auc": 0.712, "low": 0.6, "high": 0.81, "method": "DeLong"}
    return Metric(relation=relation, part=part, **shared | values)


JUDGED = metric(
    "external", sensitivity=0.64, specificity=0.7, calibration_intercept=-0.321, calibration_slope=0.8
)


def card_of(**changes) -> ModelCard:
    plan = plan_of({"a": "train"}, LOGISTIC | {"covariates": ["ich_volume_ml", "age"]})
    card = make_local_card(
        plan, "clinical", training_centre_of(plan, "a", 40), {}, describe_logistic(plan, FITTED)
    )
    return ModelCard.model_validate(card.model_dump(mode="json") | changes)


@pytest.fixture
def model(tmp_path):
    def write(**changes):
        path = tmp_path / "model.json"
        save_card(path, card_of(**changes))
        return path

    return write


def predict(path, *values):
    return predict_patients(PredictRequest(path, values=values), Progress(disable=True))


def test_the_terminal_says_how_the_model_did_elsewhere_and_for_whom_it_was_made(model):
    path = model(metrics=[JUDGED.model_dump(mode="json")])
    shown = CliRunner().invoke(
        app, ["predict", str(path), "--set", "ich_volume_ml=20", "--set", "age=60"], env={"COLUMNS": "200"}
    )
    assert shown.exit_code == 0, shown.output
    assert "trained on: simulated patients of a (40 patients)" in shown.output
    assert "not made for: Age < 18 years; Baseline CT > 24 h after onset" in shown.output
    assert (
        "at centres new to the model (far): AUC 0.71 (95 % CI 0.60 to 0.81); sensitivity 64 % and "
        "specificity 70 % from 0.5; calibration intercept -0.32"
    ) in shown.output
    assert "Follow-up CT" not in shown.output


def test_an_older_card_reads_as_before_and_says_not_known(model):
    written = JUDGED.model_dump(mode="json")
    for name in ("sensitivity", "specificity", "calibration_intercept", "calibration_slope"):
        del written[name]
    lines = list_worth(predict(model(metrics=[written]), "ich_volume_ml=20", "age=60").card)
    assert any("sensitivity not known and specificity not known" in line for line in lines)
    assert any(line.endswith("calibration not known") for line in lines)
    assert "usual range of the training patients not known for: ich_volume_ml, age" in lines


def test_a_model_that_was_not_judged_elsewhere_says_so():
    internal = metric("internal", part="test")
    card = card_of(metrics=[internal.model_dump(mode="json")])
    assert find_judgements(card) == (internal,)
    assert any("not known, it was not judged there" in line for line in list_worth(card))
    assert any(line.startswith("held-out patients of its own") for line in list_worth(card))
    assert describe_worth(card_of())["judged"] == []


def test_all_patients_of_a_new_centre_count_before_a_part_of_them():
    part, whole = metric("external", part="test", auc=0.9), metric("external")
    card = card_of(metrics=[one.model_dump(mode="json") for one in (part, whole)])
    assert find_judgements(card) == (whole,)


@pytest.mark.parametrize(("volume", "unusual"), [("390", True), ("82", False)])
def test_an_input_outside_the_usual_range_is_named(model, volume, unusual):
    usual = UsualRange(variable="ich_volume_ml", low=0, high=82.5, how="quartiles and 3 IQR")
    path = model(ranges=[usual.model_dump(mode="json")])
    (outcome,) = predict(path, f"ich_volume_ml={volume}", "age=60").outcomes
    expected = (
        "ich_volume_ml = 390 lies outside the training patients' usual range, 0 to 82.5 (quartiles and 3 "
        "IQR): the risk is extrapolated"
    )
    assert outcome.notes == ((expected,) if unusual else ())


def test_a_program_reads_the_worth_and_every_digit_of_the_risk(model):
    usual = UsualRange(variable="ich_volume_ml", low=0, high=82.5, how="quartiles and 3 IQR")
    path = model(ranges=[usual.model_dump(mode="json")], metrics=[JUDGED.model_dump(mode="json")])
    told = json.loads(json.dumps(describe_predictions(predict(path, "ich_volume_ml=60", "age=60"))))
    assert told["worth"]["judged"][0]["specificity"] == 0.7
    assert told["worth"]["usual_ranges"] == {
        "ich_volume_ml": {"low": 0.0, "high": 82.5, "how": "quartiles and 3 IQR"}
    }
    assert told["worth"]["left_out"][0] == "Age < 18 years"
    assert 0 < told["patients"][0]["risk"] < 1e-5


def test_a_tiny_risk_is_no_zero(model):
    path = str(model())
    shown = CliRunner().invoke(
        app, ["predict", path, "--set", "ich_volume_ml=60", "--set", "age=60"], env={"COLUMNS": "200"}
    )
    assert "< 0.1 %" in shown.output
    assert "0.0000" not in shown.output
