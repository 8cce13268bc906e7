"""A model of an earlier study at a site's door: its file comes once, in its place, with nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from sites.plans import plan_of

from client.door.follower import AskedStep, Follower
from common.errors import NotThePlanError
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader

CARD = {
    "kind": "card",
    "file": "old.json",
    "sha256": "5" * 64,
    "bytes": 4000,
    "computes": "logistic",
    "trained_by": ["b"],
    "threshold": 0.3,
    "covariates": ["age"],
}
PLAN = plan_of(
    {"a": "external", "b": "external", "c": "external"}, CARD | {"name": "Old"}, CARD | {"name": "Older"}
)


def ask(model="Old", arm="earlier", parameters=None, **fields):
    header = RequestHeader(
        operation=Operation.SCORE,
        plan_hash=PLAN.digest(),
        site="a",
        model=model,
        arm=arm,
        procedure=f"scoring {model} {arm}",
        step=1,
        has_weights=True,
        parameters=tuple(parameters or ()),
        **fields,
    )
    return AskedStep(header, parameters or {})


def follow(*steps):
    follower = Follower(PLAN, "a", lambda *_: 0.0)
    return [follower.follow(step) for step in steps]


def test_each_model_is_asked_about_once_in_the_plan_s_order():
    assert follow(ask(), ask("Older")) == [True, True]
    with pytest.raises(NotThePlanError):
        follow(ask(), ask())
    with pytest.raises(NotThePlanError):
        follow(ask("Older"), ask())


@pytest.mark.parametrize(
    "step",
    [
        ask(parameters={"coefficients": np.zeros(2)}),
        ask(parameters={"gammas": np.ones(1)}),
        ask(arm="federated"),
        ask(round=3),
        ask(regressions=(("age",),)),
        ask("Other"),
    ],
)
def test_nothing_else_comes_with_it(step):
    with pytest.raises(NotThePlanError):
        follow(step)
