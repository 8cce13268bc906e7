"""Flower's clients over the SuperLink's private Unix socket: Control API, Runtime API and a grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import httpx
from flwr.app import Message
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.superlink.grid.http_grid import HttpGrid

from common.errors import ExchangeError

_ANYWHERE = "http://superlink"
_TIMEOUT_S = 30.0


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
        """Replies that have come to these messages.

        Raises
        ------
        ExchangeError
            If the SuperLink does not answer.
        """
        with explain_failures():
            return super().pull_messages(message_ids)


@contextmanager
def explain_failures() -> Iterator[None]:
    """A context in which a SuperLink that refuses or does not answer is an `ExchangeError`.

    Raises
    ------
    ExchangeError
        If it refuses, with its reason, or does not answer.
    """
    try:
        yield
    except httpx.HTTPStatusError as failure:
        reason = f"{failure.response.status_code} {failure.response.text[:300]}"
        raise ExchangeError(f"the SuperLink refused: {reason}") from None
    except httpx.HTTPError as failure:
        raise ExchangeError(
            f"the SuperLink does not answer ({type(failure).__name__}) -> see that rhe-server start runs, "
            "then run the study again with --resume"
        ) from None
