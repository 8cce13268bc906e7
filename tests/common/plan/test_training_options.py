"""Options of training: unset they change no plan, and what makes no sense is refused with what to change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from sites.plans import NETWORK, plan_of

from common.plan.leaving import list_leaving
from common.plan.study import StudyPlan

SITES = {"a": "train", "b": "train"}


def a_plan(schedule=None, **federation):
    training = {} if schedule is None else {"schedule": schedule}
    network = NETWORK | {"training": {"batch_size": 4} | training}
    return plan_of(SITES, network, federation={"rounds": 10} | federation)


def test_options_that_are_not_given_change_no_hash():
    bare = a_plan()
    assert "schedule" not in bare.model_dump_json()
    assert "early_stopping" not in bare.model_dump_json()
    for given in (a_plan({"shape": "cosine"}), a_plan(early_stopping={"patience": 3})):
        assert given.digest() != bare.digest()
        assert StudyPlan.model_validate_json(given.model_dump_json()) == given


@pytest.mark.parametrize(
    ("schedule", "federation", "told"),
    [
        ({"warm_up_epochs": 10}, {}, "rises for 10 epochs .* but the training has 10"),
        ({"shape": "step"}, {}, "needs every_epochs and factor"),
        ({"shape": "linear"}, {}, "linear"),
        (None, {"early_stopping": {"patience": 8}}, "ends after round 10 at the earliest, but has 10 rounds"),
        (None, {"early_stopping": {"patience": 0}}, "greater than or equal to 1"),
        (None, {"early_stopping": {}}, "patience"),
    ],
)
def test_what_makes_no_sense_is_refused(schedule, federation, told):
    with pytest.raises(ValidationError, match=told):
        a_plan(schedule, **federation)


def test_the_longest_that_makes_sense_is_taken():
    assert a_plan({"warm_up_epochs": 9}, early_stopping={"patience": 7})


def test_an_early_end_needs_validation_patients():
    changes = a_plan(early_stopping={"patience": 3}).model_dump(mode="json")
    changes["cohort"]["validation_fraction"] = 0
    with pytest.raises(ValidationError, match="validation_fraction is 0 -> give patients to validation"):
        StudyPlan.model_validate(changes)


def test_who_approves_reads_that_a_training_may_end_early():
    bare, given = (
        list_leaving(a_plan(**options), "a")[0]
        for options in ({}, {"early_stopping": {"patience": 3, "minimum_gain": 0.01}})
    )
    assert "in each of 10 rounds. " in bare
    assert "at most 10 rounds, fewer if 3 of them in a row do not raise by more than 0.01" in given
