"""Flower's clients over the SuperLink's private Unix socket: Control API, Runtime API and a grid."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import httpx
from flwr.app import Error, Message, Metadata
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    inflate_object_from_contents,
    pull_objects,
)
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.superlink.grid.http_grid import HttpGrid

from server.process.restarts import SuperLinkError

_log = logging.getLogger(__name__)

_ANYWHERE = "http://superlink"
_TIMEOUT_S = 30.0
_UPLOAD_S = 600.0
"""How long a site may take to send an answer that it has announced."""
_HASTE_S = 0.01
_LONGEST_PAUSE_S = 0.2
"""Between two looks for a part that has not arrived."""


@contextmanager
def open_control(socket: Path) -> Iterator[ControlHttpClient]:
    """A context with a client of the Control API, which registers nodes and starts and stops runs."""
    with _SocketSender(socket) as sender:
        yield ControlHttpClient(_ANYWHERE, interceptors=[sender], verify=False)


@contextmanager
def open_runtime(socket: Path, token: str = "") -> Iterator[RuntimeHttpClient]:
    """A context with a client of the Runtime API, which hands out tasks; with a token, of one task."""
    named = RuntimeVersionHttpInterceptor(component_name="flwr-serverapp")
    allowed = [RuntimeTokenHttpInterceptor(token)] if token else []
    with _SocketSender(socket) as sender:
        yield RuntimeHttpClient(_ANYWHERE, interceptors=[named, *allowed, sender], verify=False)


class _SocketSender:
    """Sends a client's requests through the socket; Flower's own sender, which needs a port, is never asked.

    Parameters
    ----------
    socket : Path
        Where the SuperLink listens.
    """

    def __init__(self, socket: Path) -> None:
        self._client = httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        """The sender itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._client.close()

    def intercept(self, context: ProtobufRequestContext, _: ProtobufCall) -> httpx.Response:
        """The response to one request."""
        return self._client.send(context.request)


class SocketGrid(HttpGrid):
    """Flower's grid over the Unix socket, whose failures are the study's.

    Parameters
    ----------
    socket : Path
        Where the SuperLink listens.
    token : str
        Of the task that the grid works for.
    """

    def __init__(self, socket: Path, token: str) -> None:
        super().__init__(insecure=True, token=token)
        self._resources = ExitStack()
        self._client = self._resources.enter_context(open_runtime(socket, token))

    def close(self) -> None:
        """Close its connections."""
        self._resources.close()

    @property
    def runtime(self) -> RuntimeHttpClient:
        """The client of the task's own Runtime API."""
        return self._runtime_client

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Nodes that are connected now.

        Raises
        ------
        ExchangeError
            If the SuperLink does not answer.
        """
        with explain_failures():
            return super().get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, and return their identifiers.

        Raises
        ------
        ExchangeError
            If the SuperLink does not answer.
        """
        with explain_failures():
            return super().push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that have come to these messages; an error's message where a reply was not sent whole.

        Flower's own grid waits a second and more whenever a reply is announced before all of it has arrived.

        Raises
        ------
        ExchangeError
            If the SuperLink does not answer.
        """
        request = PullAppMessagesRequest(message_ids=message_ids)
        with explain_failures():
            found = self._runtime_client.PullMessages(request)
            return [
                self._inflate(message, tree)
                for message, tree in zip(found.messages_list, found.message_object_trees, strict=True)
            ]

    def _inflate(self, announced: ProtoMessage, tree: ObjectTree) -> Message:
        run, number = self.run.run_id, announced.metadata.message_id
        pull = make_pull_object_fn_protobuf(self._runtime_client.PullObject, self.node, run)
        try:
            contents = pull_objects(
                [part.object_id for part in iterate_object_tree(tree)],
                pull,
                max_time=_UPLOAD_S,
                max_tries_per_object=None,
                initial_backoff=_HASTE_S,
                backoff_cap=_LONGEST_PAUSE_S,
            )
            message = inflate_object_from_contents(number, contents)
        except httpx.HTTPError:
            raise
        except Exception as failure:  # noqa: BLE001 - Flower's readers, on a hospital's bytes, raise anything
            node = announced.metadata.src_node_id
            _log.warning("unreadable answer node=%d error=%s", node, type(failure).__name__)
            return self._make_unavailable(announced)
        self._runtime_client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(node=self.node, run_id=run, message_object_id=number)
        )
        if not isinstance(message, Message) or _end_points(message) != _end_points(announced):
            return self._make_unavailable(announced)
        return message

    def _make_unavailable(self, announced: ProtoMessage) -> Message:
        metadata = Metadata(
            run_id=self.run.run_id,
            message_id="",
            src_node_id=announced.metadata.src_node_id,
            dst_node_id=self.node.node_id,
            message_type=SYSTEM_MESSAGE_TYPE,
            group_id="",
            ttl=0,
            reply_to_message_id=announced.metadata.reply_to_message_id,
            created_at=announced.metadata.created_at,
        )
        return make_message(metadata=metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE, "not sent whole"))


def _end_points(message: Message | ProtoMessage) -> tuple[str, int]:
    """What a message answers, and whose it is: the SuperLink has checked what it announces, not the bytes."""
    return message.metadata.reply_to_message_id, message.metadata.src_node_id


@contextmanager
def explain_failures() -> Iterator[None]:
    """A context in which a SuperLink that refuses or does not answer is a `SuperLinkError`.

    Raises
    ------
    SuperLinkError
        If it refuses, with its reason, or does not answer.
    """
    try:
        yield
    except httpx.HTTPStatusError as failure:
        reason = f"{failure.response.status_code} {failure.response.text[:300]}"
        raise SuperLinkError(f"the SuperLink refused: {reason}") from None
    except httpx.HTTPError as failure:
        raise SuperLinkError(
            f"the SuperLink does not answer ({type(failure).__name__}) -> see that rhe-server start runs, "
            "then run the study again with --resume"
        ) from None
