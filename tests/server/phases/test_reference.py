"""Which model the others are compared with: never chosen by a test."""

from dataclasses import replace

import pytest
from sites.plans import NETWORK, plan_of

from common.plan.study import CnnModel
from common.stats.estimate import undefined
from server.phases.preparation import PartSize, Preparation
from server.phases.reference import (
    ReferenceOrigin,
    ValidatedNetwork,
    choose_reference_model,
    explain_reference,
    list_validated,
)
from server.phases.training import TrainedModel
from server.results.file import record_validated
from server.training.federated import Round


def replace_line(line, **changes):
    return line.model_copy(update=changes)


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


def test_each_network_is_listed_by_its_best_arm_with_the_sites_that_judged_it():
    first, second = trained("Net", [0.7, 0.6]), trained("Second", [0.8])
    partly = replace(first, curve=(first.curve[0], replace_line(first.curve[1], answered=("b",))))
    unknown = replace(trained("Third", [0.65, 0.5]), curve=trained("Third", [0.65, 0.5]).curve)

    networks = list_validated((partly, trained("Net", [0.9], kind="local"), second, unknown))

    assert [(one.trained.model.name, one.auc, one.sites) for one in networks] == [
        # The round after the last is judged by every site of the arm
        ("Second", 0.8, ("a", "b")),
        # The first round was judged by those who answered the second
        ("Net", 0.7, ("b",)),
        ("Third", 0.65, None),
    ]
    assert [one.released for one in networks] == [False] * 3


def test_validation_patients_are_counted_as_far_as_they_may_be_shown():
    sizes = {"a": {"validation": PartSize(5, 3)}, "b": {"validation": PartSize(4, None)}, "c": {}}
    preparation = Preparation({}, None, sizes)
    shown = replace_line(trained("Net", [0.7]).curve[0], released=True)
    network = ValidatedNetwork(replace(trained("Net", [0.7]), curve=(shown,)), 0.7, True, ("a", "c"))

    found = record_validated(network, preparation)
    hidden = record_validated(replace(network, released=False, sites=("a", "b")), preparation)
    unknown = record_validated(replace(network, sites=None), preparation)

    assert (found.auc, found.positive, found.negative) == (0.7, 3, 5)
    assert (hidden.auc, hidden.positive, hidden.negative) == (None, None, 9)
    assert (unknown.auc, unknown.positive, unknown.negative) == (0.7, None, None)


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
