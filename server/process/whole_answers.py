"""Flower's middleware without Starlette's streams: each of a study's small requests takes half the work.

Flower's app has nine layers of Starlette's `BaseHTTPMiddleware`, each of which hands an answer on through a
task and a queue of its own: most of what a SuperLink computes in a round of messages. Here the same layers
hand whole answers on. Which layers there are, their order and what they do stay Flower's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response

from server.gateway.fleet_paths import FLEET_CALLS, FLEET_PREFIX

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_RUNTIME_CALLS = (
    *("push-messages", "pull-messages", "push-object", "pull-object", "confirm-message-received"),
    *("get-nodes", "send-task-heartbeat"),
)
WHOLE = frozenset(
    [*(f"{FLEET_PREFIX}{call}" for call in FLEET_CALLS), *(f"/v1/runtime/{call}" for call in _RUNTIME_CALLS)]
)
"""Paths of a study's rounds, whose answers are one message each: a stream would have to end first."""


def hand_on_whole_answers(app: Starlette) -> None:
    """Let every layer of an app that has not begun to serve hand whole answers on.

    Parameters
    ----------
    app : Starlette
        Flower's.
    """
    app.user_middleware[:] = [Middleware(WholeAnswers, layer) for layer in app.user_middleware]


class WholeAnswers:
    """One layer of an app.

    Parameters
    ----------
    app : ASGIApp
        What lies below the layer.
    layer : Middleware
        What the app itself would have put there.
    """

    def __init__(self, app: ASGIApp, layer: Middleware) -> None:
        self._app = app
        self._layer = layer.cls(app, *layer.args, **layer.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as the layer does."""
        layer = self._layer
        if not isinstance(layer, BaseHTTPMiddleware) or not _is_answered_whole(scope):
            await layer(scope, receive, send)
            return
        body = await _read_body(receive)
        request = Request(scope, _replay(body, receive))

        async def call_next(asked: Request) -> Response:
            answer = _Answer()
            await self._app(asked.scope, _replay(body, receive), answer.collect)
            return answer.make()

        response = await layer.dispatch_func(request, call_next)
        await response(scope, _replay(body, receive), send)


class _Answer:
    """What an app sends in answer to one request."""

    def __init__(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []

    async def collect(self, event: Message) -> None:
        """Keep a part."""
        if event["type"] == "http.response.start":
            self._status, self._headers = event["status"], list(event["headers"])
        elif event["type"] == "http.response.body":
            self._pieces.append(event.get("body", b""))

    def make(self) -> Response:
        """The answer, with its own headers.

        Raises
        ------
        RuntimeError
            If there is none.
        """
        if not self._status:
            raise RuntimeError("No response returned.")
        response = Response(b"".join(self._pieces), self._status)
        response.raw_headers = self._headers
        return response


def _is_answered_whole(scope: MutableMapping[str, Any]) -> bool:
    return scope["type"] == "http" and scope["path"] in WHOLE


async def _read_body(receive: Receive) -> bytes | None:
    """The request's body; None if the sender left before its end."""
    pieces = []
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return None
        pieces.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(pieces)


def _replay(body: bytes | None, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """What gives the body once, and afterwards what the server says."""
    events: list[Message] = (
        [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]
    )

    async def receive_next() -> Message:
        if events:
            return events.pop()
        return {"type": "http.disconnect"} if body is None else await receive()

    return receive_next
