"""Dialogues: who answers, what comes back, and what happens when an answer fails."""

import numpy as np
import pytest

from common.errors import ExchangeError
from common.stats.contract import Summary
from common.stats.dialogue import answer_all, relay


def number(value):
    return Summary(counts={"n": np.array([value])})


def count_up(limit, closed):
    """Asks for 0, 1, 2, ... and adds what is answered until it is more than the limit."""
    total, question = 0, 0
    try:
        while total <= limit:
            answer = yield question
            total += int(answer.counts["n"][0])
            question += 1
    finally:
        closed.append(question)
    return total


def test_every_question_gets_its_own_answer_and_the_result_is_returned():
    asked = []

    def ask(question):
        asked.append(question)
        return number(10 * question)

    assert answer_all(count_up(25, []), ask) == 30
    assert asked == [0, 1, 2]


def test_a_dialogue_without_a_question_asks_nobody():
    assert answer_all(count_up(-1, []), pytest.fail) == 0


@pytest.mark.parametrize(
    "failure", [ExchangeError("b is silent"), StopIteration("no end"), KeyboardInterrupt()]
)
def test_an_answer_that_fails_ends_the_dialogue_and_the_failure_is_raised(failure):
    closed = []

    def ask(question):
        if question == 2:
            raise failure
        return number(1)

    with pytest.raises(type(failure)) as raised:
        answer_all(count_up(25, closed), ask)

    assert raised.value is failure
    assert closed == [2]


def test_a_failure_of_the_dialogue_itself_is_raised():
    def refuse():
        yield 0
        raise ValueError("separated")

    with pytest.raises(ValueError, match="separated"):
        answer_all(refuse(), number)


def ask_twice(question):
    """Asks for a question and its negative instead, and adds the answers."""
    first = yield f"{question}"
    second = yield f"-{question}"
    return first + second


def test_a_question_may_be_relayed_as_several_others():
    asked = []

    def ask(question):
        asked.append(question)
        return number(5)

    assert answer_all(relay(count_up(15, []), ask_twice), ask) == 20
    assert asked == ["0", "-0", "1", "-1"]


def test_a_failure_on_the_way_ends_a_relayed_dialogue_too():
    closed = []

    def ask(question):
        raise ExchangeError(f"no answer to {question}")

    with pytest.raises(ExchangeError, match="no answer to 0"):
        answer_all(relay(count_up(25, closed), ask_twice), ask)

    assert closed == [0]


def test_an_exception_thrown_into_a_relayed_dialogue_ends_it():
    closed = []
    relayed = relay(count_up(25, closed), ask_twice)
    next(relayed)
    relayed.send(number(1))

    with pytest.raises(ExchangeError):
        relayed.throw(ExchangeError("b is silent"))

    assert closed == [0]
