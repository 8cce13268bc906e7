"""What is sent to many sites lies in the coordinator's memory once while they work."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field

from common.messages.envelope import answer_each
from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply, encode_reply
from server.dispatch import Dispatch
from server.lanes import Posting

NODES, TOLD = 20, b"told " * 20_000
"""Each node is first told 100 kB of opened sums."""


@dataclass
class Line:
    """Nodes to which much has to be told before their questions."""

    roster: object = None
    held: list = field(default_factory=list)

    def name_of(self, node):
        return f"site{node}"

    def attach(self, bodies):
        return {node: TOLD + body for node, body in bodies.items()}

    def confirm(self, replies):
        pass

    def deliver(self, bodies, take, give_up):
        self.held.append(tracemalloc.get_traced_memory()[0])
        for node, body in bodies.items():
            take(answer_each(body, lambda asked, node=node: self.answer(node, asked)), node)

    def answer(self, node, asked):
        reply = Reply(ReplyHeader(site=self.name_of(node)))
        return encode_reply(reply.name_request(asked.removeprefix(TOLD)))


def test_what_the_sites_are_told_is_held_once_while_they_answer():
    postings = [Posting(dict.fromkeys(range(NODES), b"question %d" % part)) for part in range(2)]
    line = Line()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        Dispatch(line).send(postings)
    finally:
        tracemalloc.stop()

    (held,) = line.held
    assert held - before < 1.5 * NODES * len(TOLD)
