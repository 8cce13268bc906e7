"""A model of a plan's own variables predicts for new patients by its card alone."""

import numpy as np
import pytest
from rich.progress import Progress
from sites.plans import plan_of

from client.predict.request import PredictRequest, predict_patients
from common.cards.card import ModelCard, describe_logistic, make_local_card, training_centre_of
from common.cards.card_file import save_card
from common.errors import CohortError
from common.messages.headers import Effect, Fitted

OWN = [
    {"name": "gcs", "kind": "count", "range": [3, 15]},
    {"name": "cause", "kind": "categorical", "levels": ["hypertensive", "CAA", "other"]},
]
POOR = {"endpoint": "column", "column": "poor", "label": "Poor outcome", "meaning": "mRS 3 to 6"}


def effect(variable, log_odds, level=""):
    error = {"standard_error": 0.1, "p": 0.3, "p_likelihood_ratio": 0.3}
    return Effect(variable=variable, level=level, log_odds=log_odds, **error)


FITTED = Fitted(
    effects=(effect("gcs", -0.25), effect("cause", 0.5, "CAA"), effect("cause", -0.5, "other")),
    intercept=2.0,
    method="maximum likelihood",
    status="ok",
)


@pytest.fixture
def model(tmp_path):
    plan = plan_of(
        {"a": "train"},
        {"kind": "logistic", "name": "Own", "covariates": ["gcs", "cause"]},
        variables=OWN,
        cohort={"outcome": POOR, "described": ["gcs", "cause"]},
        eligibility={
            "paper": [],
            "rules": [{"variable": "gcs", "label": "Deep coma", "below": 4}],
        },
    )
    card = make_local_card(
        plan, "Own", training_centre_of(plan, "a", 40), {}, describe_logistic(plan, FITTED)
    )
    path = tmp_path / "own.json"
    save_card(path, ModelCard.model_validate(card.model_dump(mode="json")), private=True)
    return path


def predict(model, **asked):
    return predict_patients(PredictRequest(model, **asked), Progress(disable=True))


def test_values_of_own_variables_give_the_risk(model):
    (outcome,) = predict(model, values=("gcs=12", "cause=caa")).outcomes

    assert outcome.risk == pytest.approx(1 / (1 + np.exp(-(2.0 - 0.25 * 12 + 0.5))))
    assert outcome.notes == ()


def test_a_table_needs_the_model_s_columns_alone(model, tmp_path):
    table = tmp_path / "new.csv"
    table.write_text("patient,gcs,cause\nP1,3,other\n")

    (outcome,) = predict(model, table=table).outcomes

    assert outcome.risk == pytest.approx(1 / (1 + np.exp(-(2.0 - 0.25 * 3 - 0.5))))
    assert outcome.notes == ("outside the study's population: Deep coma",)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("gcs=16", "cause=CAA"), "16 is impossible"),
        (("gcs=12", "cause=trauma"), "none of: hypertensive, CAA, other"),
        (("gc=12", "cause=CAA"), "did you mean 'gcs'"),
    ],
)
def test_values_outside_the_declaration_are_refused(model, values, said):
    with pytest.raises(CohortError, match=said):
        predict(model, values=values)


def test_the_table_of_risks_names_the_outcome(model):
    assert predict(model, values=("gcs=12", "cause=CAA")).card.outcome.event == "Poor outcome"
