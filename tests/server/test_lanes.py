"""Parts of a study that ask side by side: each as if it were alone, all in as few rounds as the longest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ExchangeError
from server.lanes import MOST_UNDER_WAY, Lanes


class Sites:
    """Answers each body with its own value, so that a part can tell its answers from others'."""

    def __init__(self):
        self.rounds = []

    def send(self, postings):
        self.rounds.append([posting.bodies for posting in postings])
        return [dict(posting.bodies) for posting in postings]


@st.composite
def draw_parts(draw):
    """By part: how many questions it has, and after which earlier parts it begins."""
    number = draw(st.integers(1, 8))
    return [
        (draw(st.integers(0, 5)), tuple(draw(st.sets(st.integers(0, place - 1)))) if place else ())
        for place in range(number)
    ]


def ask_in_turn(lanes, name, questions, seen):
    answers = []
    for question in range(questions):
        body = f"{name}/{question}".encode()
        seen.append(body)
        answers.append(lanes.ask({1: body})[1])
    return answers


@settings(max_examples=60, deadline=None)
@given(draw_parts())
def test_each_part_has_its_own_answers_and_all_take_as_long_as_the_longest_chain(parts):
    sites, seen = Sites(), []
    lanes = Lanes(sites.send)
    added = [
        lanes.add(
            str(place),
            "phase",
            lambda place=place, questions=questions: ask_in_turn(lanes, place, questions, seen),
            [str(before) for before in after],
        )
        for place, (questions, after) in enumerate(parts)
    ]

    lanes.run()

    lengths = []
    for questions, after in parts:
        lengths.append(questions + max((lengths[before] for before in after), default=0))
    for place, (questions, _) in enumerate(parts):
        assert added[place].outcome == [f"{place}/{number}".encode() for number in range(questions)]
    assert len(sites.rounds) == max(lengths)
    # In the parts' order within a round, so that a study that is conducted again asks the same
    for bodies in sites.rounds:
        places = [int(body[1].split(b"/")[0]) for body in bodies]
        assert places == sorted(places)
    for place, (_, after) in enumerate(parts):
        mine = [number for number, body in enumerate(seen) if body.startswith(b"%d/" % place)]
        for before in after:
            theirs = [number for number, body in enumerate(seen) if body.startswith(b"%d/" % before)]
            assert not mine or not theirs or min(mine) > max(theirs)


def test_what_travels_alone_waits_until_nothing_else_is_asked():
    sites, seen = Sites(), []
    lanes = Lanes(sites.send)
    for name in ("large", "larger"):
        lanes.add(name, "phase", lambda name=name: ask_in_turn(lanes, name, 2, seen), is_alone=True)
    for name in ("small", "tiny"):
        lanes.add(name, "phase", lambda name=name: ask_in_turn(lanes, name, 3, seen))

    lanes.run()

    sizes = [len(bodies) for bodies in sites.rounds]
    assert sizes == [2, 2, 2, 1, 1, 1, 1]
    alone = [bodies[0][1] for bodies in sites.rounds[3:]]
    assert alone == [b"large/0", b"large/1", b"larger/0", b"larger/1"]


def test_not_all_begin_at_once():
    sites, seen = Sites(), []
    lanes = Lanes(sites.send)
    number = 2 * MOST_UNDER_WAY + 1
    added = [
        lanes.add(str(place), "phase", lambda place=place: ask_in_turn(lanes, place, 1, seen))
        for place in range(number)
    ]

    lanes.run()

    assert [len(bodies) for bodies in sites.rounds] == [MOST_UNDER_WAY, MOST_UNDER_WAY, 1]
    assert [lane.outcome for lane in added] == [[b"%d/0" % place] for place in range(number)]


def test_one_that_fails_loses_no_answer_of_the_others():
    sites, kept = Sites(), []
    lanes = Lanes(sites.send)

    def fail():
        lanes.ask({1: b"a"})
        raise ExchangeError("a site is gone")

    def keep():
        kept.extend(lanes.ask({1: b"%d" % number})[1] for number in range(9))

    lanes.add("first", "phase", keep)
    lanes.add("second", "phase", fail)
    lanes.add("third", "phase", keep)
    later = lanes.add("fourth", "phase", keep, ["second"])

    with pytest.raises(ExchangeError, match="a site is gone"):
        lanes.run()

    assert kept == [b"0", b"0"]
    assert len(sites.rounds) == 1
    assert not later.has_begun


def test_of_two_that_fail_the_first_is_told():
    lanes = Lanes(Sites().send)

    def fail(name):
        lanes.ask({1: b""})
        raise ExchangeError(name)

    lanes.add("first", "phase", lambda: fail("first"))
    lanes.add("second", "phase", lambda: fail("second"))

    with pytest.raises(ExchangeError, match="first"):
        lanes.run()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ExchangeError("the line is dead")])
def test_where_sending_fails_all_parts_end_where_they_wait(failure):
    ended = []

    def send(_):
        raise failure

    lanes = Lanes(send)

    def ask(name):
        try:
            lanes.ask({1: b""})
        finally:
            ended.append(name)

    for name in "ab":
        lanes.add(name, "phase", lambda name=name: ask(name))

    with pytest.raises(type(failure) if isinstance(failure, Exception) else failure):
        lanes.run()

    assert ended == ["a", "b"]
    assert not lanes.is_running


def test_nobody_asks_outside_of_a_part():
    with pytest.raises(ValueError, match="turn"):
        Lanes(Sites().send).ask({1: b""})
