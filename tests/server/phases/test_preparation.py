"""Whether the training patients of an arm can train a network, by the sites' own counts."""

from __future__ import annotations

import numpy as np
import pytest
from sites.plans import NETWORK, plan_of

from common.stats.estimate import OK, suppressed, undefined
from server.phases.preparation import Preparation, judge_training

ONE_CLASS = undefined("training patients of one class only")


def prepared(*training):
    """Sites a, b, c with so many training patients without and with expansion."""
    tables = {name: np.array([row, [2, 2], [3, 3]]) for name, row in zip("abc", training, strict=False)}
    return Preparation({}, None, {}, tables)


def judged(plan, preparation):
    return {arm.name: judge_training(plan, preparation, arm) for arm in plan.all_arms()}


@pytest.mark.parametrize(
    ("training", "federated"),
    [
        (([5, 3], [4, 4], [6, 2]), OK),
        # A site with one outcome is part of the mean over all
        (([5, 3], [4, 4], [6, 0]), OK),
        (([5, 0], [0, 4], [6, 0]), OK),
        (([5, 0], [4, 0], [6, 0]), ONE_CLASS),
        # One patient cannot train; two sites are left, as the plan accepts
        (([5, 3], [4, 4], [1, 0]), OK),
        (([5, 3], [1, 0], [0, 0]), suppressed("fewer than 2 sites with training patients")),
        (([1, 0], [0, 1], [0, 0]), undefined("too few training patients")),
        # The outcome that only an untrained patient has is no outcome of the training
        (([5, 0], [4, 0], [0, 1]), ONE_CLASS),
    ],
)
def test_a_federated_training_needs_both_outcomes_over_its_sites(training, federated):
    plan = plan_of(dict.fromkeys("abc", "train"), NETWORK)

    assert judged(plan, prepared(*training))["federated"] == federated


def test_without_the_plan_s_word_no_sum_is_of_fewer_sites_than_it_promises():
    names = dict.fromkeys("abc", "train")
    plan = plan_of(names, NETWORK, two_site_ack=False, profile="standard")

    assert judged(plan, prepared([5, 3], [4, 4], [6, 2]))["federated"] == OK
    assert judged(plan, prepared([5, 3], [4, 4], [1, 0]))["federated"] == suppressed(
        "fewer than 3 sites with training patients"
    )


def test_a_local_training_needs_both_outcomes_at_its_site():
    plan = plan_of(dict.fromkeys("abc", "train"), NETWORK)

    found = judged(plan, prepared([5, 3], [4, 0], [0, 1]))

    assert found["local-a"] == OK
    assert found["local-b"] == ONE_CLASS
    assert found["local-c"] == undefined("too few training patients")
