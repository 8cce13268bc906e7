"""Which model the others are compared with: never chosen by a test."""

from dataclasses import replace

import pytest
from sites.plans import NETWORK, plan_of

from common.plan.study import CnnModel
from common.stats.estimate import undefined
from server.phases.reference import ReferenceOrigin, choose_reference_model, explain_reference
from server.phases.training import TrainedModel
from server.training.federated import Round


def trained(name, aucs, *, kind="federated", chosen=1):
    plan = plan_of({"a": "train", "b": "train"}, NETWORK)
    arm = next(arm for arm in plan.all_arms() if arm.kind == kind)
    curve = tuple(
        Round(number=number, loss=1.0, validation_auc=auc) for number, auc in enumerate(aucs, start=1)
    )
    model = CnnModel.model_validate(NETWORK | {"name": name})
    return TrainedModel(model, arm, None, chosen, curve)


PLAN = plan_of({"a": "train"}, NETWORK, NETWORK | {"name": "Second"}, NETWORK | {"name": "Third"})


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([trained("Net", [0.7]), trained("Second", [0.8]), trained("Third", [0.75])], "Second"),
        # The AUC of the round that was chosen, not of the best one
        ([trained("Net", [0.6, 0.99]), trained("Second", [0.7, 0.5])], "Second"),
        ([trained("Net", [0.9, 0.6], chosen=2), trained("Second", [0.5, 0.7], chosen=2)], "Second"),
        # Local models count only where there is no federation
        ([trained("Net", [0.6]), trained("Second", [0.9], kind="local")], "Net"),
        ([trained("Net", [0.6], kind="local"), trained("Third", [0.9], kind="local")], "Third"),
        # Equals by name; not validated, the first of the plan
        ([trained("Third", [0.8]), trained("Second", [0.8])], "Second"),
        ([trained("Second", [None]), trained("Third", [None])], "Net"),
        ([], "Net"),
    ],
)
def test_the_reference_has_the_best_validation_auc(models, expected):
    assert choose_reference_model(PLAN, tuple(models)) == expected


@pytest.mark.parametrize(
    ("models", "origin"),
    [
        ([trained("Net", [0.7]), trained("Second", [0.8])], ReferenceOrigin("validation AUC")),
        (
            [trained("Third", [0.8]), trained("Net", [0.7]), trained("Second", [0.8])],
            ReferenceOrigin("validation AUC", ("Third",)),
        ),
        ([trained("Second", [None])], ReferenceOrigin("first model")),
        ([], ReferenceOrigin("first model")),
    ],
)
def test_where_the_reference_comes_from_is_known(models, origin):
    assert explain_reference(PLAN, tuple(models)) == origin


def test_a_network_that_was_given_up_is_no_reference_unless_the_plan_names_it():
    lost = replace(trained("Net", [0.9]), standing=undefined("not trained"))

    assert choose_reference_model(PLAN, (lost,)) == "Second"
    assert choose_reference_model(PLAN, (lost, trained("Third", [0.6]))) == "Third"


@pytest.mark.parametrize("turn", [1, -1])
def test_the_plan_s_reference_is_not_chosen(turn):
    plan = plan_of(
        {"a": "train"}, NETWORK, NETWORK | {"name": "Third"}, evaluation={"reference_model": "Third"}
    )
    models = (trained("Net", [0.9]), trained("Third", [0.1]))

    assert choose_reference_model(plan, models[::turn]) == "Third"
    assert explain_reference(plan, models) == ReferenceOrigin("plan")
