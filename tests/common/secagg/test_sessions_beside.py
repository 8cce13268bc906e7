"""Sessions of one set of sites beside each other: phases of one family, in which nothing leaves twice."""

import pytest
from secagg.world import SESSIONS, World, check_sums, code_of

from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import finish, open_session, run_step
from common.secagg.coordinator.gathering import SiteRefusedError
from common.secagg.site.rules import PhaseRules

BESIDE = f"{SESSIONS}/1"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path, 3)
    made.plan.phases[BESIDE] = PhaseRules(mode="session", rounds=10)
    return made


def open_both(world):
    both = world.session(), world.session(2, phase=BESIDE, round=1)
    for server in both:
        open_session(server, world.exchange)
    return both


def test_both_answer_in_any_order(world):
    first, second = open_both(world)

    for server, question in [(first, b"a"), (second, b"bb"), (second, b"ccc"), (first, b"dddd")]:
        check_sums(run_step(server, world.exchange, question), [1, 2, 3], factor=1 + len(question))

    for server in (first, second):
        server.close()
        assert finish(server, world.exchange)


def test_a_question_that_is_not_open_in_one_waits_for_nothing_in_the_other(world):
    first, second = open_both(world)
    with pytest.raises(SecAggError, match="not answered: centre3"):
        run_step(first, world.exchange_without("centre3"), b"a")

    check_sums(run_step(second, world.exchange, b"bb"), [1, 2, 3], factor=3)
    check_sums(run_step(first, world.exchange, b"a"), [1, 2, 3], factor=2)


def test_what_left_in_one_does_not_leave_in_the_other(world):
    first, second = open_both(world)
    run_step(first, world.exchange, b"a")

    with pytest.raises(SiteRefusedError, match="E_ALREADY_RELEASED"):
        run_step(second, world.exchange, b"a")


def test_one_of_other_sites_is_refused(world):
    """Two sums that differ in one site tell its numbers."""
    first, _ = open_both(world)
    run_step(first, world.exchange, b"a")
    world.plan.phases[f"{SESSIONS}/2"] = PhaseRules(mode="session", rounds=10)
    other = world.session(3, phase=f"{SESSIONS}/2", round=1)

    with pytest.raises(SecAggError) as refused:
        open_session(other, world.exchange_without("centre3"))

    assert refused.value.code in {"E_MIN", "E_SET_CHANGE"}


def test_a_phase_that_the_plan_does_not_have_is_refused(world):
    server = world.session(2, phase=f"{SESSIONS}/7", round=1)

    answers = world.exchange(server.make_requests())

    assert {code_of(answer) for answer in answers.values()} == {"E_CONTEXT"}
