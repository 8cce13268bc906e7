"""Several messages in one come out as they went in; what is no envelope is one message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ProtocolError
from common.messages.envelope import MOST_MEMBERS, answer_each, has_several, join_messages, split_messages
from common.plan.message_size import MOST_TOGETHER

MESSAGES = st.lists(st.binary(max_size=40), min_size=2, max_size=6)


@given(MESSAGES)
def test_what_is_joined_comes_apart_again(messages):
    assert split_messages(join_messages(messages)) == tuple(messages)


def test_one_message_stays_as_it_is():
    assert join_messages([b"alone"]) == b"alone"
    assert split_messages(b"alone") == (b"alone",)
    assert not has_several(b"alone")


@given(MESSAGES, st.data())
def test_a_byte_more_or_less_is_refused(messages, data):
    joined = join_messages(messages)
    cut = data.draw(st.integers(16, len(joined) - 1))

    with pytest.raises(ProtocolError):
        split_messages(joined[:cut])
    with pytest.raises(ProtocolError):
        split_messages(joined + b"\x00")


@pytest.mark.parametrize("number", [0, 1, MOST_MEMBERS + 1, 2**63])
def test_a_number_of_messages_that_cannot_be_is_refused(number):
    joined = join_messages([b"a", b"b"])

    with pytest.raises(ProtocolError):
        split_messages(joined[:16] + number.to_bytes(8, "little") + joined[24:])


def test_each_is_answered_in_its_order():
    asked = []

    answers = answer_each(join_messages([b"a", b"b", b"c"]), lambda one: asked.append(one) or one * 2)

    assert asked == [b"a", b"b", b"c"]
    assert split_messages(answers) == (b"aa", b"bb", b"cc")


def test_what_cannot_be_opened_is_answered_as_one_message():
    broken = join_messages([b"a", b"b"])[:-1]

    assert answer_each(broken, lambda one: b"refused" if one == broken else b"") == b"refused"


def test_after_a_long_answer_the_rest_is_left_for_the_next_message():
    asked = []

    def answer(one):
        asked.append(one)
        return bytes(MOST_TOGETHER + 1)

    first, second = split_messages(answer_each(join_messages([b"a", b"b"]), answer))

    assert asked == [b"a"]
    assert len(first) > MOST_TOGETHER
    assert second == b""
