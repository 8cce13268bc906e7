"""What several parts of a study ask goes out in one message to each site, and comes back in one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.errors import ExchangeError, ProtocolError, RheError
from common.messages.envelope import join_messages, split_messages
from common.messages.protocol import Reply, decode_reply
from common.plan.message_size import MOST_TOGETHER
from common.secagg.wire.roster import Roster
from server.authenticity import insist_authentic
from server.lanes import NodeAnswers, Posting

_log = logging.getLogger(__name__)

_BUSY_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 20.0)
"""Before each time that a question in the clear is asked again whose site was busy."""


class Line(Protocol):
    """The way to the sites."""

    def attach(self, bodies: Mapping[int, bytes]) -> Mapping[int, bytes]:
        """Messages, by node, with what each site has to be told before its own."""
        ...

    def deliver(
        self, bodies: Mapping[int, bytes], take: Callable[[bytes, int], None], give_up: Callable[[str], None]
    ) -> None:
        """Send messages, by node; give each answer with its node to `take`, what failed to `give_up`."""
        ...

    def confirm(self, replies: Mapping[int, Reply]) -> None:
        """Note which nodes have answered a message to which something was attached."""
        ...

    def name_of(self, node: int) -> str:
        """The site behind a node."""
        ...

    @property
    def roster(self) -> Roster | None:
        """Has the sites' keys; None where nobody signs."""
        ...


@dataclass(frozen=True)
class Dispatch:
    """Sends what several parts ask, few messages at a time.

    Attributes
    ----------
    line : Line
        The way to the sites.
    """

    line: Line

    def send(self, postings: Sequence[Posting], *, insist: bool = False) -> list[NodeAnswers]:
        """What the nodes answered to each part: a reply, or the error that says why there is none.

        What is too much for one message of each site goes in several, one after the other; a site may leave
        questions at the end for the next, too. A site that is busy with its files, because its people look
        after them, is asked again after a while.

        Parameters
        ----------
        postings : sequence of Posting
            What each part asks.
        insist : bool
            Whether a node that fails is an error at once, which ends all.

        Raises
        ------
        ExchangeError
            If it is, and one fails.
        """
        waiting = [dict(posting.bodies) for posting in postings]
        answers: list[NodeAnswers] = [{} for _ in postings]
        pauses = iter(_BUSY_PAUSES_S)
        while any(waiting):
            places = _choose_together(postings, waiting)
            round_answers = self._send_round([waiting[place] for place in places], insist=insist)
            busy = {node for by_node in round_answers for node, answer in by_node.items() if _is_busy(answer)}
            pause = next(pauses, None) if busy else None
            for place, by_node in zip(places, round_answers, strict=True):
                for node, answer in by_node.items():
                    if pause is None or not _is_busy(answer):
                        answers[place][node] = answer
                        del waiting[place][node]
            if pause is not None:
                names = ", ".join(sorted(map(self.line.name_of, busy)))
                _log.info("busy sites=%s asked again in %g s", names, pause)
                time.sleep(pause)
        return answers

    def _send_round(self, asked: Sequence[Mapping[int, bytes]], *, insist: bool) -> list[NodeAnswers]:
        """The answers of one round; of a node that left a question for later there is none.

        Raises
        ------
        ExchangeError
            As `send`.
        """
        nodes = tuple(dict.fromkeys(node for bodies in asked for node in bodies))
        questions = {node: [bodies[node] for bodies in asked if node in bodies] for node in nodes}
        first = dict(self.line.attach({node: bodies[0] for node, bodies in questions.items()}))
        bodies = {node: join_messages([first.pop(node), *questions[node][1:]]) for node in nodes}
        answered: dict[int, list[Reply | Exception | None]] = {}
        reasons: list[str] = []

        def take(body: bytes, node: int) -> None:
            answered[node] = self._read(body, node, questions[node])
            failure = answered[node][0]
            if isinstance(failure, Exception) and insist:
                raise failure

        def give_up(reason: str) -> None:
            if insist:
                raise ExchangeError(reason)
            reasons.append(reason)

        self.line.deliver(bodies, take, give_up)
        firsts = {node: replies[0] for node, replies in answered.items()}
        self.line.confirm({node: reply for node, reply in firsts.items() if isinstance(reply, Reply)})
        for node in nodes:
            answered.setdefault(node, self._explain(node, reasons, len(questions[node])))
        results: list[NodeAnswers] = []
        for bodies_of_part in asked:
            of_part = {node: answered[node].pop(0) for node in bodies_of_part}
            results.append({node: answer for node, answer in of_part.items() if answer is not None})
        return results

    def _explain(self, node: int, reasons: Sequence[str], number: int) -> list[Reply | Exception | None]:
        """Why a node gave no answer, once for each question."""
        name = self.line.name_of(node)
        reason = next((one for one in reasons if name in one), f"{name}: gave no answer")
        return [ExchangeError(reason)] * number

    def _read(self, body: bytes, node: int, asked: Sequence[bytes]) -> list[Reply | Exception | None]:
        """The answers to each question in a node's message; None to one that it left for later."""
        name = self.line.name_of(node)
        try:
            replies = split_messages(body)
        except ProtocolError:
            replies = ()
        if len(replies) != len(asked) or not replies[0]:
            text = f"{name}: did not answer each question -> see that all run the same version of rhe"
            return [ExchangeError(text)] * len(asked)
        return [
            self._read_one(reply, name, question) if reply else None
            for reply, question in zip(replies, asked, strict=True)
        ]

    def _read_one(self, body: bytes, name: str, question: bytes) -> Reply | Exception:
        try:
            reply = decode_reply(body)
            insist_authentic(body, reply, question, self.line.roster)
        except RheError as failure:
            return ExchangeError(f"{name}: {failure}")
        return reply


def _is_busy(answer: Reply | Exception) -> bool:
    """Whether a site says in the clear that its files are in use; hidden sums ask again by themselves."""
    return isinstance(answer, Reply) and answer.sealed is None and answer.header.code == "E_BUSY"


def _choose_together(postings: Sequence[Posting], waiting: Sequence[Mapping[int, bytes]]) -> list[int]:
    """Positions of those that go in one message of each site: the small ones, otherwise a large one alone."""
    chosen, size, large = [], 0, []
    for place, bodies in enumerate(waiting):
        if not bodies:
            continue
        longest = max(len(body) for body in bodies.values())
        if postings[place].is_alone or longest > MOST_TOGETHER:
            large.append(place)
        elif size + longest <= MOST_TOGETHER:
            chosen.append(place)
            size += longest
    return chosen or large[:1]
