"""An ASGI filter before Flower's app: what a site's link sends passes, letter for letter, and nothing else.

It is the last gate, whatever stands before it. It hands Flower a request that it wrote itself: the path as a
constant, the headers of `FLEET_HEADERS`, a host of its own. The host matters: Flower decides by
``request.url.path`` whether a node must sign in, and Starlette builds that from the Host header.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from server.gateway.fleet_paths import (
    FLEET_CALLS,
    FLEET_HEADERS,
    FLEET_PREFIX,
    HEALTH_PATH,
    LARGEST_BODY_BYTES,
)

Scope: TypeAlias = MutableMapping[str, Any]
"""What an ASGI server knows of a request before its body."""
Event: TypeAlias = MutableMapping[str, Any]
"""One event of the ASGI protocol, such as a part of a body."""
Receive: TypeAlias = Callable[[], Awaitable[Event]]
"""Waits for the next event from the sender."""
Send: TypeAlias = Callable[[Event], Awaitable[None]]
"""Hands an event to the server."""
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application of the ASGI protocol, version 3."""

_HOST = b"superlink"
_BODY_S = 600.0
"""Longest time for one body: 5 MiB in eight pieces side by side at 1 Mbit/s take less."""

_REQUESTS = {
    **{("POST", f"{FLEET_PREFIX}{call}".encode()): f"{FLEET_PREFIX}{call}" for call in FLEET_CALLS},
    ("GET", HEALTH_PATH.encode()): HEALTH_PATH,
}
_HEADERS = frozenset(name.encode() for name in FLEET_HEADERS)
_LENGTH = re.compile(rb"[0-9]{1,12}")

_NOT_FOUND, _TOO_SLOW, _TOO_LARGE = 404, 408, 413


class FleetOnly:
    """An ASGI app that passes a site's requests to another app and answers everything else without a word.

    Its lifespan is not the other app's: that app is served unfiltered elsewhere and starts once. A server of
    the filter alone sets `owns_lifespan`.

    Parameters
    ----------
    app : callable
        Flower's app.
    owns_lifespan : bool
        Whether starting and ending the filter starts and ends the app.
    body_s : float
        Longest time for a body to arrive, in seconds.
    """

    def __init__(self, app: AsgiApp, *, owns_lifespan: bool = False, body_s: float = _BODY_S) -> None:
        self._app = app
        self._owns_lifespan = owns_lifespan
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "lifespan":
            await (self._app if self._owns_lifespan else _live)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _REQUESTS.get((scope["method"], scope.get("raw_path") or b""))
        length = None if path is None else _measure(scope)
        if path is None or length is None:
            await _refuse(send, _NOT_FOUND)
            return
        if length > LARGEST_BODY_BYTES:
            await _refuse(send, _TOO_LARGE)
            return
        try:
            async with asyncio.timeout(self._body_s):
                body = await _read(receive, length)
        except TimeoutError:
            await _refuse(send, _TOO_SLOW)
            return
        if body is None:
            await _refuse(send, _NOT_FOUND)
            return
        await self._app(_rewrite(scope, path, length), _replay(body, receive), send)


def _measure(scope: Scope) -> int | None:
    """The length of the body that a request announces, in bytes; None if it is not plainly written."""
    if scope.get("query_string") or scope.get("root_path") or scope.get("http_version") != "1.1":
        return None
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    announced = [value for name, value in headers if name == b"content-length"]
    if any(name == b"transfer-encoding" for name, _ in headers) or len(announced) > 1:
        return None
    if scope["method"] == "GET":
        return 0 if announced in ([], [b"0"]) else None
    return int(announced[0]) if announced and _LENGTH.fullmatch(announced[0]) else None


async def _read(receive: Receive, length: int) -> bytes | None:
    """A body of exactly this length; None if the sender leaves before, or sends more."""
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return None
        body += event.get("body", b"")
        if len(body) > length:
            return None
        if not event.get("more_body", False):
            return bytes(body) if len(body) == length else None


def _rewrite(scope: Scope, path: str, length: int) -> Scope:
    """The request as Flower sees it; of the sender's words it has the headers of `FLEET_HEADERS` alone."""
    headers = [(name.lower(), value) for name, value in scope["headers"] if name.lower() in _HEADERS]
    headers += [(b"host", _HOST), (b"content-length", str(length).encode())]
    return {
        **scope,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
    }


def _replay(body: bytes, receive: Receive) -> Receive:
    """What gives the app the whole body once, and afterwards what the server says."""
    events: list[Event] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_next() -> Event:
        return events.pop() if events else await receive()

    return receive_next


async def _refuse(send: Send, status: int) -> None:
    # Closed: a sender whose body was not read cannot hide a second request in it
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _live(_scope: Scope, receive: Receive, send: Send) -> None:
    """Start and end when the server says so, and do nothing else."""
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
