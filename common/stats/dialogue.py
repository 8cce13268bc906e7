"""Loops that ask the sites, written as generators that know no site: they yield questions and receive sums.

Whoever drives such a loop decides who answers: all sites through the exchange, one site from its own rows, or
a site that follows the loop with sums that it verified.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import TypeAlias, TypeVar

from common.stats.contract import Summary

_Question = TypeVar("_Question")
_Result = TypeVar("_Result")
_Yielded = TypeVar("_Yielded")
_Received = TypeVar("_Received")

Dialogue: TypeAlias = Generator[_Question, Summary, _Result]
"""Yields one question after the other, receives the summed answer to each, and returns a result."""


def answer_all(dialogue: Dialogue[_Question, _Result], ask: Callable[[_Question], Summary]) -> _Result:
    """The result of a dialogue whose questions are answered one by one; it ends if an answer fails.

    Parameters
    ----------
    ask : callable
        Puts one question to all sites and returns the sum of their answers.
    """
    with closing(dialogue):
        advance = partial(next, dialogue)
        while True:
            try:
                question = advance()
            except StopIteration as end:
                result: _Result = end.value
                return result
            advance = partial(dialogue.send, ask(question))


def relay(
    dialogue: Dialogue[_Question, _Result],
    ask: Callable[[_Question], Generator[_Yielded, _Received, Summary]],
) -> Generator[_Yielded, _Received, _Result]:
    """The result of a dialogue whose questions are asked in other words, within a longer dialogue.

    Parameters
    ----------
    ask : callable
        A generator for one question: it yields what is asked instead, once or several times, and returns the
        sum of the answers to the question.
    """
    with closing(dialogue):
        advance = partial(next, dialogue)
        while True:
            try:
                question = advance()
            except StopIteration as end:
                result: _Result = end.value
                return result
            advance = partial(dialogue.send, (yield from ask(question)))
