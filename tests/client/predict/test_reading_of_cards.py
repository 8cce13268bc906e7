"""A new patient's CT is read as the study that trained the model read its patients'."""

from __future__ import annotations

from pathlib import Path

import pytest
from sites.plans import LOGISTIC, plan_of

from client.predict import predictor
from client.predict.new_patient import make_new_patient
from client.predict.predictor import Predictor
from common.cards.card import ModelCard, describe_logistic, make_local_card, training_centre_of
from common.cards.card_file import CardedModel
from common.cohort.patient import Patient
from common.errors import ScanError
from common.imaging.options import ReadingOptions, SeriesRule
from common.messages.headers import Effect, Fitted

FITTED = Fitted(
    effects=(
        Effect(
            variable="ich_volume_ml",
            level="",
            log_odds=0.1,
            standard_error=0.1,
            p=0.3,
            p_likelihood_ratio=0.3,
        ),
    ),
    intercept=-1.0,
    method="maximum likelihood",
    status="ok",
)


@pytest.fixture
def card() -> ModelCard:
    plan = plan_of(
        {"a": "train"},
        LOGISTIC | {"covariates": ["ich_volume_ml"]},
        scans={"missing_slices": "far-from-lesion"},
    )
    centre = training_centre_of(plan, "a", 40)
    return make_local_card(plan, "clinical", centre, {}, describe_logistic(plan, FITTED))


@pytest.mark.parametrize("age", ["new", "older"])
def test_a_gap_is_allowed_where_the_study_allowed_it(card, monkeypatch, age):
    written = card.model_dump(mode="json")
    if age == "older":
        del written["missing_slices"]
    asked = list[ReadingOptions]()

    def note_options(_: Path, options: ReadingOptions) -> None:
        asked.append(options)
        raise ScanError("enough")

    monkeypatch.setattr(predictor, "read_scan", note_options)
    rule = SeriesRule(kernel="H31s")
    model = Predictor(CardedModel(ModelCard.model_validate(written)), options=ReadingOptions(series=rule))
    model.predict([make_new_patient(Patient("P", 2, Path("ct"), Path("mask"), None, None, {}))])

    allowed = "far-from-lesion" if age == "new" else "refuse"
    assert asked == [ReadingOptions(series=rule, missing_slices=allowed)]
