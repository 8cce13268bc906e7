"""Questions of several parts in one message to each site: every answer comes to the part that asked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest

from common.errors import ExchangeError
from common.messages.envelope import answer_each, has_several, split_messages
from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply, encode_reply
from common.plan.message_size import MOST_TOGETHER
from server import dispatch
from server.dispatch import Dispatch
from server.lanes import Posting


def answer_as(name, body):
    return encode_reply(Reply(ReplyHeader(site=name)).name_request(body.removeprefix(b"told ")))


@dataclass
class Line:
    """Two nodes, which answer what they are asked, each message by itself."""

    answers: dict = field(default_factory=dict)
    sent: list = field(default_factory=list)
    confirmed: list = field(default_factory=list)
    roster: object = None

    def name_of(self, node):
        return f"site{node}"

    def attach(self, bodies):
        return {node: b"told " + body for node, body in bodies.items()}

    def confirm(self, replies):
        self.confirmed.append(sorted(replies))

    def deliver(self, bodies, take, give_up):
        self.sent.append(dict(bodies))
        for node, body in bodies.items():
            answer = self.answers.get(node, lambda one, node=node: answer_as(self.name_of(node), one))
            if isinstance(answer, str):
                give_up(answer)
            else:
                take(answer_each(body, answer), node)


def send(line, *postings, **how):
    return Dispatch(line).send(
        [posting if isinstance(posting, Posting) else Posting(posting) for posting in postings], **how
    )


def digest(body):
    return hashlib.sha256(body).hexdigest()


def test_each_part_gets_the_answers_to_its_own_questions():
    line = Line()

    first, second = send(line, {1: b"a1", 2: b"a2"}, {2: b"b2"})

    assert {node: reply.header.request for node, reply in first.items()} == {
        1: digest(b"a1"),
        2: digest(b"a2"),
    }
    assert second[2].header.request == digest(b"b2")
    (sent,) = line.sent
    # What a site has to be told stands before the first of its messages; one alone travels as it is
    assert sent[1] == b"told a1"
    assert split_messages(sent[2]) == (b"told a2", b"b2")
    assert line.confirmed == [[1, 2]]


def test_an_answer_to_another_question_costs_that_part_alone():
    line = Line({1: lambda one: answer_as("site1", b"another" if one == b"b" else one)})

    first, second, third = send(line, {1: b"a"}, {1: b"b"}, {1: b"c"})

    assert first[1].header.request == digest(b"a")
    assert third[1].header.request == digest(b"c")
    assert isinstance(second[1], ExchangeError)
    assert "site1" in str(second[1])


def test_a_site_that_fails_is_an_error_of_every_part_that_asked_it():
    line = Line({2: "site2: no answer"})

    first, second = send(line, {1: b"a1", 2: b"a2"}, {2: b"b2"})

    assert isinstance(first[1], Reply)
    assert str(first[2]) == str(second[2]) == "site2: no answer"
    with pytest.raises(ExchangeError, match="site2: no answer"):
        send(line, {2: b"a2"}, insist=True)


def test_fewer_or_more_answers_than_questions_are_refused():
    for answers in (b"", answer_as("site1", b"a")):
        line = Line()
        line.deliver = lambda bodies, take, _, answers=answers: take(answers, 1)

        first, second = send(line, {1: b"a"}, {1: b"b"})

        assert "did not answer each question" in str(first[1])
        assert "did not answer each question" in str(second[1])


def test_what_a_site_leaves_for_later_is_asked_again():
    line, late = Line(), []

    def answer(body):
        late.append(body)
        return b"" if body == b"b" and late.count(b"b") == 1 else answer_as("site1", body)

    line.answers[1] = answer

    first, second = send(line, {1: b"a"}, {1: b"b"})

    assert isinstance(first[1], Reply)
    assert second[1].header.request == digest(b"b")
    assert len(line.sent) == 2


def test_what_is_large_or_has_large_answers_travels_alone():
    line = Line()

    answers = send(
        line,
        {1: b"small"},
        {1: bytes(MOST_TOGETHER + 1)},
        Posting({1: b"its answer is large"}, is_alone=True),
        {1: b"small, too"},
        {1: bytes(MOST_TOGETHER - 4)},
    )

    assert all(isinstance(answer[1], Reply) for answer in answers)
    sizes = [len(split_messages(sent[1])) for sent in line.sent]
    assert sorted(sizes) == [1, 1, 1, 2]
    assert all(len(sent[1]) < MOST_TOGETHER + 200 for sent in line.sent if has_several(sent[1]))


@pytest.fixture
def pauses(monkeypatch):
    slept = []
    monkeypatch.setattr(dispatch.time, "sleep", slept.append)
    return slept


def refuse(site, code, body):
    reply = Reply(ReplyHeader(site=site, code=code))
    return encode_reply(reply.name_request(body.removeprefix(b"told ")))


def test_a_site_that_is_busy_is_asked_again_after_a_while(pauses):
    line, times = Line(), iter(range(100))
    line.answers[1] = lambda body: (
        refuse("site1", "E_BUSY", body) if next(times) < 3 else answer_as("site1", body)
    )

    (answers,) = send(line, {1: b"a1", 2: b"a2"}, insist=True)

    assert {node: reply.header.code for node, reply in answers.items()} == {1: "OK", 2: "OK"}
    assert [sorted(sent) for sent in line.sent] == [[1, 2], [1], [1], [1]]
    # The same bytes, before which it is told the same again
    assert {sent[1] for sent in line.sent} == {b"told a1"}
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


@pytest.mark.parametrize(("code", "times"), [("E_BUSY", 1 + len(dispatch._BUSY_PAUSES_S)), ("E_POLICY", 1)])
def test_a_site_that_stays_busy_or_refuses_says_so_at_last(pauses, code, times):
    line = Line({1: lambda body: refuse("site1", code, body)})

    (answers,) = send(line, {1: b"a1"})

    assert answers[1].header.code == code
    assert len(line.sent) == times == 1 + len(pauses)
