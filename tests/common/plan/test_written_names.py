"""A plan takes names as people write them, keeps them, and derives the same names from them everywhere."""

from __future__ import annotations

import unicodedata

import pytest
from pydantic import ValidationError

from common.plan.study import StudyPlan

PLAN = {
    "name": "A study",
    "seed": 1,
    "two_site_ack": True,
    "sites": [{"name": "Klinikum Köln", "role": "train"}, {"name": "b", "role": "train"}],
    "models": [
        {"name": "Net 1", "family": "resnet18"},
        {"kind": "scores", "name": "Vendor X", "column": "vendor_x"},
        {"kind": "logistic", "name": "Both", "covariates": ["age", "score:Net 1"]},
    ],
    "evaluation": {"reference_model": "Vendor X"},
}


def test_names_are_derived_and_what_was_written_is_kept():
    plan = StudyPlan.model_validate(PLAN)
    assert plan.site_names == ("Klinikum-Koeln", "b")
    assert plan.site("Klinikum-Koeln").title == "Klinikum Köln"
    assert plan.site("b").title == "b"
    assert [(model.name, model.title) for model in plan.models] == [
        ("Net-1", "Net 1"),
        ("Vendor-X", "Vendor X"),
        ("Both", "Both"),
    ]
    assert plan.evaluation.reference_model == "Vendor-X"
    assert plan.table_models[0].networks == ("Net-1",)
    assert [arm.name for arm in plan.all_arms()] == ["federated", "local-Klinikum-Koeln", "local-b"]


def test_a_plan_that_was_sent_is_the_same_plan():
    plan = StudyPlan.model_validate(PLAN)
    again = StudyPlan.model_validate(plan.model_dump(mode="json"))
    assert again == plan
    assert again.digest() == plan.digest()


def test_the_two_forms_of_an_umlaut_are_one_plan():
    decomposed = {"name": unicodedata.normalize("NFD", "Klinikum Köln"), "role": "train"}
    plan = StudyPlan.model_validate(PLAN | {"sites": [decomposed, PLAN["sites"][1]]})
    assert plan.digest() == StudyPlan.model_validate(PLAN).digest()


def test_a_plan_of_plain_names_keeps_its_hash():
    plain = StudyPlan.model_validate(
        {
            "name": "A",
            "seed": 1,
            "sites": [{"name": "a", "role": "train"}],
            "models": [PLAN["models"][0] | {"name": "m"}],
        }
    )
    assert "label" not in str(plain.model_dump(mode="json", include={"sites", "models"}))


def test_names_that_differ_in_spelling_alone_are_two_of_the_same():
    twice = [*PLAN["models"], {"kind": "scores", "name": "Vendor-X", "column": "other"}]
    with pytest.raises(ValidationError, match="two models have the same name"):
        StudyPlan.model_validate(PLAN | {"models": twice})


@pytest.mark.parametrize("label", ["<b>", "a\u202eb", "x" * 61, "Another clinic", "Klinikum  Köln"])
def test_a_label_says_no_other_name(label):
    with pytest.raises(ValidationError):
        StudyPlan.model_validate(
            PLAN | {"sites": [{"name": "Klinikum-Koeln", "role": "train", "label": label}, PLAN["sites"][1]]}
        )
