"""An ASGI filter before Flower's app: what a site's link sends passes, letter for letter, and nothing else.

It is the last gate, whatever stands before it. It hands Flower a request that it wrote itself: the path as a
constant, the headers of `FLEET_HEADERS`, a host of its own. The host matters: Flower decides by
``request.url.path`` whether a node must sign in, and Starlette builds that from the Host header.

Nobody's body is read before a signature: an enrolled hospital's, or, to sign in, that of anybody's own key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from server.gateway.allowances import ANNOUNCEMENT_BYTES, STRANGERS, Allowances
from server.gateway.fleet_paths import (
    BODY_RATE,
    FLEET_CALLS,
    FLEET_HEADERS,
    FLEET_PREFIX,
    HEALTH_PATH,
    largest_body,
)
from server.gateway.fleet_reply import is_own_reply
from server.gateway.fleet_signature import is_signed, read_claimed_key

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
_GRACE_S = 10.0
"""How much longer than at the lowest rate a body may take."""
_UNSIGNED = b'{"detail":"Invalid SuperNode authentication"}'
"""As Flower itself refuses: the link tells a wrong clock from a missing card by it."""
_UNWANTED = b'{"code":2007,"detail":"The current run status does not allow this Fleet API operation."}'
"""As Flower refuses what comes after a run's end: the link then drops the answer, and tries no more."""

_REQUESTS = {
    **{("POST", f"{FLEET_PREFIX}{call}".encode()): f"{FLEET_PREFIX}{call}" for call in FLEET_CALLS},
    ("GET", HEALTH_PATH.encode()): HEALTH_PATH,
}
_HEADERS = frozenset(name.encode() for name in FLEET_HEADERS)
_LENGTH = re.compile(rb"[0-9]{1,12}")

_SIGN_IN, _PULL = f"{FLEET_PREFIX}activate-node", f"{FLEET_PREFIX}pull-messages"
_ANNOUNCE, _UPLOAD = f"{FLEET_PREFIX}push-messages", f"{FLEET_PREFIX}push-object"

_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_TOO_SLOW, _TOO_LARGE, _TOO_MANY = 408, 413, 429


class FleetOnly:
    """An ASGI app that passes a site's requests to another app and answers everything else without a word.

    Its lifespan is not the other app's: that app is served unfiltered elsewhere and starts once. A server of
    the filter alone sets `owns_lifespan`.

    Parameters
    ----------
    app : callable
        Flower's app.
    is_known : callable
        Tells whether a public key, PEM, is an enrolled hospital's.
    largest_message : int
        Most bytes that an answer of the study needs.
    owns_lifespan : bool
        Whether starting and ending the filter starts and ends the app.
    grace_s : float
        How much longer than at the lowest rate a body may take, in seconds.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        is_known: Callable[[bytes], bool],
        largest_message: int,
        owns_lifespan: bool = False,
        grace_s: float = _GRACE_S,
    ) -> None:
        self._app = app
        self._is_known = is_known
        self._allowances = Allowances(largest_message)
        self._owns_lifespan = owns_lifespan
        self._grace_s = grace_s

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
        if length > largest_body(path):
            await _refuse(send, _TOO_LARGE)
            return
        if path == HEALTH_PATH:
            await self._pass_on(_rewrite(scope, path, length), receive, send, STRANGERS)
            return
        await self._admit(_rewrite(scope, path, length), receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a hospital that signs its request and has not too many under way."""
        sender = self._identify(scope["path"], scope)
        if sender is None:
            await _refuse(send, _UNAUTHORIZED, _UNSIGNED)
        elif not self._allowances.enter(sender):
            await _refuse(send, _TOO_MANY)
        else:
            try:
                await self._pass_on(scope, receive, send, sender)
            finally:
                self._allowances.leave(sender)

    def _identify(self, path: str, scope: Scope) -> bytes | None:
        """Whose key has signed the request; None if nobody's that this path is for."""
        key = read_claimed_key(scope["headers"])
        if key is None:
            return None
        known = self._is_known(key)
        if not (known or path == _SIGN_IN) or not is_signed(scope["headers"], key):
            return None
        return key if known else STRANGERS

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, sender: bytes) -> None:
        """Read the body, and let the app answer."""
        path = scope["path"]
        try:
            body = await self._read(receive, _read_length(scope))
        except TimeoutError:
            await _refuse(send, _TOO_SLOW)
            return
        if body is None:
            await _refuse(send, _NOT_FOUND)
        elif path == _ANNOUNCE and not is_own_reply(body):
            await _refuse(send, _FORBIDDEN)
        elif not self._allowances.spend(sender, _cost(path, len(body))):
            await _refuse(send, _FORBIDDEN, _UNWANTED)
        else:
            reply = self._watch(send, sender) if path == _PULL else send
            await self._app(scope, _replay(body, receive), reply)

    async def _read(self, receive: Receive, length: int) -> bytes | None:
        """A body of exactly this length; None if the sender leaves before, or sends more.

        Raises
        ------
        TimeoutError
            If it arrives more slowly than `BODY_RATE`.
        """
        body, begin = bytearray(), asyncio.get_running_loop().time()
        while True:
            async with asyncio.timeout_at(begin + self._grace_s + len(body) / BODY_RATE):
                event = await receive()
            if event["type"] != "http.request":
                return None
            body += event.get("body", b"")
            if len(body) > length:
                return None
            if not event.get("more_body", False):
                return bytes(body) if len(body) == length else None

    def _watch(self, send: Send, sender: bytes) -> Send:
        """What passes an answer to pull-messages on; one that holds an instruction is not empty."""
        succeeds = False

        async def send_next(event: Event) -> None:
            nonlocal succeeds
            if event["type"] == "http.response.start":
                succeeds = event["status"] == _OK
            elif event.get("body") and succeeds:
                self._allowances.grant(sender)
            await send(event)

        return send_next


def _cost(path: str, size: int) -> int:
    """What a request takes from the bytes that its sender may push."""
    if path == _ANNOUNCE:
        return max(size, ANNOUNCEMENT_BYTES)
    return size if path == _UPLOAD else 0


def _read_length(scope: Scope) -> int:
    """What we wrote ourselves."""
    return int(dict(scope["headers"])[b"content-length"])


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


async def _refuse(send: Send, status: int, body: bytes = b"") -> None:
    # Closed: a sender whose body was not read cannot hide a second request in it
    headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    if body:
        headers.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(_scope: Scope, receive: Receive, send: Send) -> None:
    """Start and end when the server says so, and do nothing else."""
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
