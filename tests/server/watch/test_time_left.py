"""How long a study will still take, by its rounds so far."""

from __future__ import annotations

import pytest

from server.watch.time_left import PhaseCost, Reckoning, Work

PHASES = {"preparation": 1, "cohort": 2, "training": 40, "scoring": 4, "evaluation": 20}
TWO = (Work("m", "federated", 10), Work("m", "local-a", 10))


def a_reckoning(**fields):
    return Reckoning(usual=PHASES, trainings=TWO, **fields)


def test_before_a_round_of_training_nothing_is_known():
    reckoning = a_reckoning(costs={"cohort": PhaseCost(4.0, 2)})

    assert reckoning.reckon().seconds is None
    assert "first round" in reckoning.reckon().basis


def test_rounds_that_are_left_take_as_long_as_the_last_ones():
    reckoning = a_reckoning(costs={"cohort": PhaseCost(4.0, 2)}, done={"preparation", "cohort"})
    reckoning.note_end("m", "local-a")
    for number, seconds in enumerate((100.0, 10.0, 20.0), start=1):
        reckoning.note_round("m", "federated", number, seconds)

    # Seven rounds of 15 s (the first one loads), 24 rounds of statistics of 2 s
    assert reckoning.reckon().seconds == pytest.approx(7 * 15 + 24 * 2)


def test_the_time_left_falls_while_a_round_goes_on_by_no_more_than_a_round():
    reckoning = Reckoning(usual={"training": 5}, trainings=(Work("m", "federated", 5),))
    reckoning.note_round("m", "federated", 1, 30.0)

    left = [reckoning.reckon(under_way_s).seconds for under_way_s in (0.0, 10.0, 30.0, 500.0)]

    assert left == [120.0, 110.0, 90.0, 90.0]


def test_a_first_round_that_measured_nothing_leaves_it_to_the_next_one():
    reckoning = Reckoning(usual={"training": 5}, trainings=(Work("m", "federated", 5),))
    reckoning.note_round("m", "federated", 1, None)

    assert reckoning.reckon().basis == "known after the next round of training"


def test_arms_that_go_on_together_share_the_time_of_their_rounds():
    reckoning = Reckoning(
        usual={"training": 20}, trainings=(Work("m", "without-a", 4), Work("m", "without-b", 4))
    )
    for number in (1, 2):
        # The answers to both come in one message: the second takes no time of its own
        reckoning.note_round("m", "without-a", number, 30.0)
        reckoning.note_round("m", "without-b", number, 0.0)

    assert reckoning.reckon().seconds == pytest.approx(2 * 30, rel=0.4)


def test_what_rides_along_with_a_training_takes_no_time_of_its_own():
    reckoning = Reckoning(usual={"regression": 30, "training": 5}, trainings=(Work("m", "federated", 5),))
    reckoning.costs["regression"] = PhaseCost(10.0, 1)
    reckoning.note_round("m", "federated", 4, 8.0)

    assert reckoning.reckon().seconds == pytest.approx(8.0)


def test_a_resumed_training_measures_by_the_rounds_of_this_run_alone():
    reckoning = a_reckoning(costs={"scoring": PhaseCost(8.0, 4)})
    reckoning.note_round("m", "federated", 9, None)

    assert reckoning.reckon().seconds is None


def test_a_training_that_failed_takes_no_more_time():
    reckoning = Reckoning(usual={"training": 5}, trainings=TWO)
    reckoning.note_end("m", "federated")
    reckoning.note_end("m", "local-a")

    assert reckoning.reckon().seconds == 0


def test_a_study_without_networks_is_reckoned_by_its_statistics():
    reckoning = Reckoning(usual={"preparation": 1, "cohort": 2, "regression": 30})
    assert reckoning.reckon().seconds is None

    reckoning.done |= {"preparation", "cohort"}
    reckoning.costs["cohort"] = PhaseCost(3.0, 2)
    assert reckoning.reckon().seconds == pytest.approx(45.0)
