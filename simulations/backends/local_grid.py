"""Flower grids without a network: engines in this process answer one after another, others side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import count
from typing import TypeAlias

from flwr.app import Error, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from client.link.connection import EngineLink
from common.errors import RheError
from common.messages.protocol import from_record, to_record

_log = logging.getLogger(__name__)

_RUN = 1
_COORDINATOR = 1

BeginAnswer: TypeAlias = "Callable[[bytes], Future[bytes]]"
"""Gives a site's engine a message, and returns where its answer will be."""


class LocalGrid(Grid):
    """The same coordinator and engines as in hospitals, with function calls instead of links and a network.

    Parameters
    ----------
    engines : mapping of str to EngineLink
        Each site's engine by the site's name.
    """

    def __init__(self, engines: Mapping[str, EngineLink]) -> None:
        self._names = dict(enumerate(sorted(engines), start=2))
        self._engines = {number: engines[name] for number, name in self._names.items()}
        self._numbers = count(1)
        self._pending: dict[str, Message] = {}
        self._run = Run.create_empty(_RUN)
        # Flower's Message constructor reads the identity of its process, which SuperExec would have set.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = _RUN, _COORDINATOR, _RUN

    def set_run(self, run: Run) -> None:
        """Keep the run's description."""
        self._run = run

    @property
    def run(self) -> Run:
        """The one run of this process."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message to one node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """The sites' node ids, one for each site."""
        return sorted(self._engines)

    def get_nodes(self) -> Iterable[NodeInfo]:
        """The sites' nodes, with the sites' names."""
        return [NodeInfo(node_id=number, name=name) for number, name in sorted(self._names.items())]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Queue the messages until their replies are pulled, and return their identifiers."""
        identifiers = []
        for message in messages:
            identifier = str(next(self._numbers))
            self._pending[identifier] = make_message(
                _number_message(message.metadata, identifier), message.content
            )
            identifiers.append(identifier)
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The reply to the first of these messages, computed now: a deadline is checked between sites."""
        waiting = [identifier for identifier in message_ids if identifier in self._pending]
        if not waiting:
            return []
        message = self._pending.pop(min(waiting, key=int))
        return [_answer(self._engines[message.metadata.dst_node_id], message)]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """All replies; nothing here can be late, so `timeout` is not needed."""
        del timeout
        replies: list[Message] = []
        for identifier in self.push_messages(messages):
            replies += self.pull_messages([identifier])
        return replies


class ConcurrentGrid(LocalGrid):
    """As `LocalGrid`, but a message is at work as soon as it is pushed.

    Parameters
    ----------
    links : mapping of str to BeginAnswer
        By the site's name. What a future raises ends the study.
    """

    def __init__(self, links: Mapping[str, BeginAnswer]) -> None:
        self._under_way: dict[str, Future[bytes]] = {}
        super().__init__({name: _await_answer(begin) for name, begin in links.items()})
        self._links = {number: links[name] for number, name in self._names.items()}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Give each site its message, and return their identifiers."""
        identifiers = list(super().push_messages(messages))
        for identifier in identifiers:
            message = self._pending[identifier]
            begin = self._links[message.metadata.dst_node_id]
            self._under_way[identifier] = begin(from_record(message.content))
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that are there: at least one, for which this waits, if any is at work."""
        asked = {number: self._under_way[number] for number in message_ids if number in self._under_way}
        wait(asked.values(), return_when=FIRST_COMPLETED)
        return [self._take(number) for number, future in asked.items() if future.done()]

    def _take(self, identifier: str) -> Message:
        body = self._under_way.pop(identifier).result()
        return _answer(lambda _: body, self._pending.pop(identifier))


def _await_answer(begin: BeginAnswer) -> EngineLink:
    return lambda message: begin(message).result()


def _answer(engine: EngineLink, message: Message) -> Message:
    """What a site's link would send: the engine's answer, or an error's code alone."""
    try:
        return Message(to_record(engine(from_record(message.content))), reply_to=message)
    except RheError as failure:
        _log.error("no answer code=%s reason=%s", failure.code, failure)
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, failure.code), reply_to=message)


def _number_message(metadata: Metadata, identifier: str) -> Metadata:
    return Metadata(
        run_id=metadata.run_id,
        message_id=identifier,
        src_node_id=metadata.src_node_id,
        dst_node_id=metadata.dst_node_id,
        reply_to_message_id=metadata.reply_to_message_id,
        group_id=metadata.group_id,
        created_at=metadata.created_at,
        ttl=metadata.ttl,
        message_type=metadata.message_type,
    )
