"""A grid that loses messages as a real one does: at each site and question, what the fates say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo

from simulations.backends.local_grid import LocalGrid

FATES = ("question lost", "answer lost", "answer torn", "engine died", "link restarted", "away")
"""What may happen to a message; anything else: nothing."""
_ERRORS = {
    "question lost": Error(ErrorCode.NODE_UNAVAILABLE),
    "answer lost": Error(ErrorCode.NODE_UNAVAILABLE),
    "answer torn": Error(ErrorCode.MESSAGE_UNAVAILABLE),
    "engine died": Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "E_ENGINE"),
    "stalled": Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "E_STALLED"),
    "away": Error(ErrorCode.NODE_UNAVAILABLE),
    "other": Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "E_CONTEXT"),
}
_AWAY_LOOKS = 3


class LossyGrid(LocalGrid):
    """Asks the fates, with a site's name and how many messages were sent to it, before each message."""

    def __init__(
        self, engines: Mapping[str, Callable[[bytes], bytes]], fates: Callable[[str, int], str]
    ) -> None:
        super().__init__(engines)
        self.fates = fates
        self.sent = dict.fromkeys(engines, 0)
        self.lost: list[str] = []
        self._fate: dict[str, str] = {}
        self._away: dict[int, int] = {}
        self._activated: dict[int, str] = {}

    def get_nodes(self) -> Iterable[NodeInfo]:
        """The nodes that are connected; one that is away comes back after a few looks."""
        gone = {node for node, looks in self._away.items() if looks > 0}
        self._away = {node: looks - 1 for node, looks in self._away.items() if looks > 0}
        return [
            NodeInfo(
                node_id=node.node_id, name=node.name, last_activated_at=self._activated.get(node.node_id)
            )
            for node in super().get_nodes()
            if node.node_id not in gone
        ]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Queue the messages, and draw what happens to each."""
        identifiers = list(super().push_messages(messages))
        for identifier in identifiers:
            name = self._names[self._pending[identifier].metadata.dst_node_id]
            self.sent[name] += 1
            self._fate[identifier] = self.fates(name, self.sent[name])
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The next answer, or what is told of a message that was lost."""
        waiting = [identifier for identifier in message_ids if identifier in self._pending]
        for identifier in sorted(waiting, key=int):
            fate, message = self._fate[identifier], self._pending[identifier]
            node = message.metadata.dst_node_id
            if fate not in {*FATES, *_ERRORS}:
                return super().pull_messages([identifier])
            self.lost.append(fate)
            if fate == "link restarted":
                # Nobody ever answers, and Flower tells nothing; its clock is a bit later than the message's
                del self._pending[identifier]
                self._activated[node] = datetime.fromtimestamp(time.time() + 1e-3, UTC).isoformat()
                time.sleep(2e-3)
                continue
            if fate == "answer lost":
                list(super().pull_messages([identifier]))
            self._pending.pop(identifier, None)
            if fate == "away":
                self._away[node] = _AWAY_LOOKS
            return [Message(_ERRORS[fate], reply_to=message)]
        return []
