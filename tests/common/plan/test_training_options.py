"""Options of training: unset they change no plan, and what makes no sense is refused with what to change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from sites.plans import NETWORK, plan_of

from common.plan.leaving import list_leaving
from common.plan.study import StudyPlan

SITES = {"a": "train", "b": "train"}


SCAFFOLD = {"control_variates": True, "local_steps": 3}


def a_plan(schedule=None, *, optimiser="adam", privacy=None, **federation):
    training = {} if schedule is None else {"schedule": schedule}
    network = NETWORK | {"training": {"batch_size": 4, "optimiser": optimiser} | training}
    return plan_of(SITES, network, federation={"rounds": 10} | federation, privacy=privacy or {})


def test_options_that_are_not_given_change_no_hash():
    bare = a_plan()
    for unset in ("schedule", "early_stopping", '"optimiser"', "local_steps", "control_variates"):
        assert unset not in bare.model_dump_json()
    for given in (
        a_plan({"shape": "cosine"}),
        a_plan(early_stopping={"patience": 3}),
        a_plan(optimiser="sgd"),
        a_plan(local_steps=3),
        a_plan(optimiser="sgd", **SCAFFOLD),
    ):
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


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"optimiser": "adam"}, 'Net: training.optimiser is "adam", .* -> optimiser = "sgd"'),
        ({"local_steps": None}, "local_steps is not given: .* -> e.g. local_steps = 4"),
        ({"local_steps": 0}, "greater than or equal to 1"),
        ({"proximal_mu": 0.1}, "proximal_mu is FedProx -> one of the two"),
        ({"server_optimiser": "adam"}, 'server_optimiser is "adam", .* -> "none" or "sgd"'),
        ({"batch_norm": "local"}, 'batch_norm = "local" trains weights that no other site has -> "averaged"'),
        ({"privacy": {"clip_fraction": 0.1}}, "privacy.clip_fraction lets changes be cut, .* -> 0"),
        ({"privacy": {"noise": {"multiplier": 1.0}}}, "privacy.noise would go .* -> leave noise out"),
    ],
)
def test_scaffold_refuses_what_its_algorithm_does_not_have(changes, told):
    with pytest.raises(ValidationError, match=told) as refusal:
        a_plan(**{"optimiser": "sgd", **SCAFFOLD, **changes})
    assert str(refusal.value).count("(SCAFFOLD): ") == (changes != {"local_steps": 0})


@pytest.mark.parametrize(("rounds", "factor"), [(30, 0.1), (200, 0.7)])
def test_scaffold_refuses_a_rate_by_which_no_gradient_can_be_divided(rounds, factor):
    schedule = {"shape": "exponential", "factor": factor}
    assert a_plan(schedule, optimiser="sgd", rounds=rounds)
    with pytest.raises(ValidationError, match=r"\(SCAFFOLD\): Net: the learning rate .* -> a larger factor"):
        a_plan(schedule, optimiser="sgd", **SCAFFOLD, rounds=rounds)


def test_scaffold_takes_the_server_s_step_size_and_a_rate_that_changes():
    server = {"server_optimiser": "sgd", "server_learning_rate": 0.5}
    assert a_plan({"shape": "cosine"}, optimiser="sgd", **SCAFFOLD, **server)


def test_who_approves_reads_what_scaffold_keeps_and_that_nothing_more_leaves():
    bare, given = (
        list_leaving(a_plan(optimiser="sgd", **options), "a") for options in ({"local_steps": 3}, SCAFFOLD)
    )
    assert not any("SCAFFOLD" in item for item in bare)
    assert "This hospital keeps its own, and computes that of all from the models" in given[0]
    assert "nothing more leaves for it. A round waits until all hospitals are there" in given[0]
    assert given[1:] == bare[1:]
