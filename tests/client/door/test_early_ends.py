"""A training that the plan lets end early is judged once, after the last round asked; none follows."""

from __future__ import annotations

import numpy as np
import pytest
from sites.plans import NETWORK, plan_of

from client.door.course import AskedStep
from client.door.follower import Follower
from common.errors import NotThePlanError
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader
from common.program.names import name_training
from common.program.trainings import number_round
from common.stats.contract import Summary

TRAIN, WEIGHT, VALIDATE = Operation.TRAIN, Operation.WEIGHT, Operation.VALIDATE
HONEST = [(TRAIN, 1), (WEIGHT, 0), (TRAIN, 2), (TRAIN, 3), (VALIDATE, 3)]


def follow(*asked, **federation):
    plan = plan_of(
        {"a": "train", "b": "train"}, NETWORK, federation={"rounds": 8} | federation, phases=["training"]
    )
    (model,), arm = plan.networks, plan.all_arms()[0]
    follower = Follower(plan, "a", lambda *_: 0.0)
    for operation, number in asked:
        header = RequestHeader(
            operation=operation,
            plan_hash=plan.digest(),
            site="",
            model="" if operation is WEIGHT else model.name,
            arm=arm.name,
            round=number,
            procedure=name_training(model, arm),
            step=number_round(plan, model, arm, operation, number),
            has_weights=operation is not WEIGHT,
        )
        follower.follow(AskedStep(header, {}))
        if operation is WEIGHT:
            follower.learn({arm.sites: Summary({"patients": np.array(90)})})


@pytest.mark.parametrize(
    "asked",
    [
        HONEST,
        # A site that missed rounds; its sum of the last one is of others
        [(TRAIN, 1), (VALIDATE, 3)],
        [(VALIDATE, 3)],
        [(TRAIN, number) for number in range(1, 9)] + [(VALIDATE, 8)],
    ],
)
def test_it_may_end_after_any_round(asked):
    follow(*asked, early_stopping={"patience": 1})


@pytest.mark.parametrize("more", [(TRAIN, 4), (VALIDATE, 3), (VALIDATE, 4)])
def test_nothing_follows_its_end(more):
    with pytest.raises(NotThePlanError, match="this or a later step was answered"):
        follow(*HONEST, more, early_stopping={"patience": 1})


@pytest.mark.parametrize("number", [1, 2, 9])
def test_an_earlier_round_or_one_beyond_the_plan_is_not_judged(number):
    with pytest.raises(NotThePlanError, match="nothing more follows"):
        follow(*HONEST[:-1], (VALIDATE, number), early_stopping={"patience": 1})


def test_without_the_option_the_last_round_alone_is_judged():
    follow(*HONEST[:-1], (VALIDATE, 8))
    with pytest.raises(NotThePlanError, match="nothing more follows"):
        follow(*HONEST)
