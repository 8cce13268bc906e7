"""Noise sized by epsilon: what follows keeps to the target, is the least, and old plans keep their hash."""

from __future__ import annotations

import pytest
from sites.plans import NETWORK, plan_of

from common.hiding.noise import site_privacy
from common.hiding.rounds import parts_of
from common.models.layout import Layout
from common.models.zoo import build
from common.plan.study import StudyPlan

SITES = {"a": "train", "b": "train", "c": "train"}


def plan_with(sites=SITES, design="together", **noise):
    return plan_of(
        sites,
        NETWORK,
        privacy={"noise": noise},
        arms={"design": design, "subtraction_ack": True},
        federation={"rounds": 20},
    )


def found_epsilon(plan):
    """What the trained networks' own sizes give, as in the text before approval and in the report."""
    (model,) = plan.networks
    parts = parts_of(plan, Layout.of(build(model.network(plan.preprocessing))))
    return site_privacy(plan, [(arm, parts) for arm in plan.all_arms()]).outside


@pytest.mark.parametrize("sites", ["ab", "abc", "abcde"])
@pytest.mark.parametrize("target", [0.1, 1.0, 8.0, 1000.0])
def test_the_noise_that_follows_keeps_to_the_target_and_is_the_least(sites, target):
    plan = plan_with(dict.fromkeys(sites, "train"), epsilon=target)

    assert 0.995 * target < found_epsilon(plan) <= target
    less = plan_with(dict.fromkeys(sites, "train"), multiplier=plan.noise_multiplier * 0.99)
    assert found_epsilon(less) > target


def test_each_further_training_that_a_site_joins_asks_for_more_noise():
    together, in_turn = (plan_with(epsilon=1.0, design=d) for d in ("together", "leave-one-centre-out"))

    # Two of the three trainings without one centre include a given centre.
    assert in_turn.noise_multiplier == pytest.approx(2**0.5 * together.noise_multiplier, rel=1e-3)
    assert found_epsilon(in_turn) <= 1.0


def test_a_multiplier_that_is_given_is_taken_and_without_noise_there_is_none():
    assert plan_with(multiplier=0.5).noise_multiplier == 0.5
    assert plan_of(SITES, NETWORK).noise_multiplier is None


def test_a_plan_of_before_keeps_its_hash():
    """Hashes of the program of 28 November 2026, before epsilon could be given."""
    plans = [
        plan_of(SITES, NETWORK, privacy={"noise": {"multiplier": 0.5}}),
        plan_of(SITES, NETWORK, privacy={"noise": {"multiplier": 2, "norm": 3.0, "delta": 1e-6}}),
        plan_of(SITES, NETWORK),
    ]

    assert [plan.digest()[:16] for plan in plans] == [
        "43d705be57d5bf48",
        "715906e17c2cebf0",
        "dfe50fbb438ed651",
    ]


def test_a_plan_with_a_target_survives_being_written_and_read():
    plan = plan_with(epsilon=2.0)
    again = StudyPlan.model_validate(plan.model_dump(mode="json"))

    assert again.digest() == plan.digest()
    assert again.noise_multiplier == plan.noise_multiplier


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        ({"multiplier": 1.0, "epsilon": 1.0}, "give one of the two"),
        ({}, "give one of the two"),
        ({"multiplier": 1.0, "delta": 0.011}, "noise.delta"),
        ({"multiplier": 1.0, "delta": 1.0}, "noise.delta"),
        ({"epsilon": 0}, "noise.epsilon"),
    ],
)
def test_noise_of_no_or_two_sizes_and_a_large_delta_are_refused(noise, said):
    with pytest.raises(ValueError, match=said):
        plan_with(**noise)


def test_a_target_that_no_noise_keeps_is_refused():
    with pytest.raises(ValueError, match=r"no noise keeps to privacy.noise.epsilon = 0.001 -> a larger one"):
        plan_of(SITES, NETWORK, privacy={"noise": {"epsilon": 1e-3}}, federation={"rounds": 10**16})


def test_epsilon_needs_a_training_of_several_sites():
    with pytest.raises(ValueError, match="no network is trained over several sites"):
        plan_of(SITES, privacy={"noise": {"epsilon": 1.0}})


def test_the_largest_permitted_delta_is_a_hundredth():
    assert plan_with(multiplier=1.0, delta=1e-2).privacy.noise.delta == 1e-2
