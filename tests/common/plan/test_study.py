import json
from pathlib import Path

import pytest

from common.errors import PlanError
from common.plan.matrix import scorers_of
from common.plan.study import StudyPlan, load_plan

PLANS = sorted(Path(__file__).parents[3].glob("deploy/plans/*.toml"))


def a_plan(**changes):
    settings = {
        "name": "A study",
        "seed": 7,
        "two_site_ack": True,
        "sites": [{"name": "b", "role": "train"}, {"name": "a", "role": "train"}],
        "models": [{"name": "m", "family": "resnet18"}],
    }
    return StudyPlan.model_validate(settings | changes)


def score(name, column="vendor", **changes):
    return {"kind": "scores", "name": name, "column": column, **changes}


def sites(*names):
    return [{"name": name, "role": "train"} for name in names]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_example_plan_is_valid(path):
    assert scorers_of(load_plan(path))


def test_the_paper_s_settings_are_the_defaults():
    network = {"family": "resnet101"}
    plan = a_plan(models=[{"name": "2D", **network}, {"name": "3D", "dimensions": 3, **network}])
    flat, solid = plan.models

    assert (flat.shape.size, flat.settings.batch_size) == (224, 128)
    assert (solid.shape.size, solid.settings.batch_size) == (112, 16)
    assert flat.settings.learning_rate == 0.01
    assert flat.dropout == 0.5
    assert plan.federation.rounds * plan.federation.local_epochs == 100
    assert plan.preprocessing.spacing_mm == (1.0, 1.0, 5.0)
    assert (plan.preprocessing.window_width_hu, plan.preprocessing.window_level_hu) == (80, 40)
    assert plan.cohort.training_fraction == 0.7
    assert plan.evaluation.threshold == 0.5


def test_together_trains_one_federation_and_each_site_alone():
    arms = [(arm.name, arm.sites) for arm in a_plan().all_arms()]

    assert arms == [("federated", ("a", "b")), ("local-a", ("a",)), ("local-b", ("b",))]


LEAVE_OUT = {"design": "leave-one-centre-out", "local_models": False, "subtraction_ack": True}


def test_an_acknowledgement_that_is_not_given_changes_no_hash():
    assert "_ack" not in json.dumps(a_plan().model_dump(mode="json")["arms"])
    assert StudyPlan.model_validate_json(
        a_plan(arms=LEAVE_OUT, sites=sites("a", "b", "c")).model_dump_json()
    ) == a_plan(arms=LEAVE_OUT, sites=sites("a", "b", "c"))


def test_an_acceptance_of_rare_pairs_that_is_not_given_changes_no_hash():
    assert "rare_pairs_accepted" not in a_plan().model_dump_json()
    accepted = a_plan(regression={"rare_pairs_accepted": True})
    assert StudyPlan.model_validate_json(accepted.model_dump_json()) == accepted


def test_means_of_maps_that_are_not_asked_for_change_no_hash():
    assert "mean_maps" not in a_plan().model_dump_json()
    asked = a_plan(explanation={"mean_maps": True})
    assert asked.digest() != a_plan().digest()
    assert StudyPlan.model_validate_json(asked.model_dump_json()) == asked


def test_leave_one_centre_out_trains_one_federation_without_each():
    plan = a_plan(sites=sites("a", "b", "c"), arms=LEAVE_OUT)

    assert [arm.sites for arm in plan.all_arms()] == [("b", "c"), ("a", "c"), ("a", "b")]


def test_a_single_training_site_trains_alone_even_without_local_models():
    plan = a_plan(
        sites=[{"name": "a", "role": "train"}, {"name": "b", "role": "external"}],
        arms={"local_models": False},
    )

    assert [arm.name for arm in plan.all_arms()] == ["local-a"]


def test_the_digest_changes_with_any_setting_and_with_nothing_else():
    assert a_plan().digest() == a_plan().digest()
    assert a_plan().digest() != a_plan(seed=8).digest()
    assert a_plan().digest() != a_plan(preprocessing={"margin_mm": 1.0}).digest()
    assert a_plan().digest() == a_plan(preprocessing={"margin_mm": 0.0}).digest()


IMAGENET = {"name": "m", "family": "resnet18", "initialisation": "imagenet"}


@pytest.mark.parametrize("secure", [True, False])
def test_arms_that_begin_alike_from_imagenet_are_acknowledged_where_sums_are_hidden(secure):
    plan = {"sites": sites("a", "b", "c"), "models": [IMAGENET], "privacy": {"secure": secure}}
    told = a_plan(**plan, arms=LEAVE_OUT | {"shared_start_ack": True})

    assert told.arms.shared_start_ack
    if secure:
        with pytest.raises(ValueError, match="arms.shared_start_ack = true states that all hospitals know"):
            a_plan(**plan, arms=LEAVE_OUT)
    else:
        assert a_plan(**plan, arms=LEAVE_OUT).digest() != told.digest()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {"pooled_model": True}}, "simulation"),
        ({"arms": {"design": "leave-one-centre-out"}, "sites": sites("a")}, "at least two"),
        (
            {"arms": {"design": "leave-one-centre-out"}, "sites": sites("a", "b", "c")},
            "subtraction_ack = true",
        ),
        ({"evaluation": {"reference_model": "x"}}, "none of the models -> choose among m"),
        ({"evaluation": {"reference_model": "M"}}, "none of the models"),
        ({"evaluation": {"subgroups": ["ivh", "ivh"]}}, "subgroups lists a variable twice"),
        ({"models": [score("A", high=5000, step=1)]}, "5001 values, more than evaluation.bins = 1000"),
        ({"models": [score("A", high=24, step=7)]}, "step = 7 does not lead from 0 to 24"),
        ({"models": [score("A", high=24, step=60)]}, "step = 60 does not lead from 0 to 24"),
        ({"models": [score("A", high=24, threshold=0)]}, "0, which calls everybody positive"),
        ({"models": [score("A", high=24, risk="falls", threshold=24)]}, "24, which calls everybody positive"),
        ({"models": [score("A", high=100, probability=True)]}, "this one from 0 to 100 and rises"),
        ({"phases": ["cohort", "evaluation"]}, "need the models of training"),
        ({"phases": ["cohort", "cohort"]}, "phases lists a phase twice"),
        ({"models": [{"name": "m", "family": "resnet18"}, {"name": "M", "family": "resnet18"}]}, "same name"),
        (
            {"models": [{"name": "m", "family": "resnet18", "dimensions": 3, "initialisation": "imagenet"}]},
            "3D",
        ),
        ({"models": [{"name": "m", "family": "densenet121", "input_size": 28}]}, "29 pixels, not 28"),
        (
            {"models": [score("A", high=1.0), score("B", high=2.0)]},
            "'vendor' with the ranges 0 to 1 and 0 to 2",
        ),
        ({"models": [score("A", column="Age")]}, "'Age' and 'age' differ in capitals only"),
    ],
)
def test_contradictions_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        a_plan(**changes)


def test_a_score_of_falling_risk_calls_those_at_its_lowest_value_positive():
    (model,) = a_plan(models=[score("A", high=24, step=1, risk="falls", threshold=0)]).scores

    called = [value for value in range(25) if model.scale(value) >= model.scale(model.threshold)]

    assert called == [0]


def test_an_unknown_site_or_model_is_named():
    with pytest.raises(PlanError, match="no site 'z'; it has a, b"):
        a_plan().site("z")
    with pytest.raises(PlanError, match="no model 'z'"):
        a_plan().model("z")
