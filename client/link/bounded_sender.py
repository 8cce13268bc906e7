"""The link's HTTP client: it follows no redirect, unpacks nothing and reads no more than it may."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol

import httpx

from client.link.markers import Trouble
from client.link.troubles import ERROR_LIMIT, LineError, SlowError, explain_answer
from common.errors import ProtocolError

PROTOBUF = "application/protobuf"
"""Content type of Flower's requests and answers."""
ANSWER_LIMIT = 4 * 2**20
"""Bytes of any answer but an object: so many announce a message of 200 GB."""
OBJECT_LIMIT = 16 * 2**20
"""Bytes of one object: Flower cuts an array into pieces of 5 MiB."""

_CONNECT_S = 10.0
"""A firewall that drops connections is told after two of these; Flower waits 30 s."""
_GRACE_S, _SLOWEST = 30.0, 16 * 2**10
"""After so many seconds an answer must have come at so many bytes a second: the bound of a call's silence
says nothing of one that drips."""
_PULL_OBJECT = "/flwr.proto.Fleet/PullObject"


class FleetCall(Protocol):
    """A call that Flower's client has prepared."""

    @property
    def rpc_method(self) -> str:
        """Name of the call, "/flwr.proto.Fleet/PullObject" for one."""

    @property
    def request(self) -> httpx.Request:
        """What will be sent."""


class BoundedSender:
    """The last interceptor of Flower's client: it sends instead of the client, which has no bound.

    Parameters
    ----------
    address : str
        HOST:PORT of the coordinator.
    tls : ssl.SSLContext
        Whom to trust.

    Attributes
    ----------
    timeout_s : float or None
        Longest silence of the next calls; None for Flower's own.
    """

    def __init__(self, address: str, tls: ssl.SSLContext) -> None:
        self._address = address
        self.timeout_s: float | None = None
        # A proxy of the environment leads to other hosts than this one
        is_far = not address.startswith(("127.", "localhost:", "[::1]:"))
        nowhere = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._http = httpx.Client(verify=tls, follow_redirects=False, trust_env=is_far, cookies=nowhere)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def intercept(self, context: FleetCall, call_next: Callable[..., httpx.Response]) -> httpx.Response:
        """Send the request, and read the answer.

        Raises
        ------
        LineError
            If it is not the coordinator that answers.
        """  # noqa: DOC501 - `explain_answer` gives one
        del call_next
        context.request.headers["accept-encoding"] = "identity"
        timeouts = context.request.extensions["timeout"]
        if self.timeout_s is not None:
            timeouts = httpx.Timeout(self.timeout_s).as_dict()
        timeouts["connect"] = min(timeouts["connect"], _CONNECT_S)
        context.request.extensions["timeout"] = timeouts
        is_object = context.rpc_method == _PULL_OBJECT
        response = self._read(self._http.send(context.request, stream=True), is_object=is_object)
        if response.is_success and not response.headers.get("content-type", "").startswith(PROTOBUF):
            raise explain_answer(response, self._address)
        return response

    def _read(self, response: httpx.Response, *, is_object: bool) -> httpx.Response:
        """The answer with its content.

        Raises
        ------
        ProtocolError
            If it is an object larger than a coordinator of this release makes them.
        LineError
            If it is another answer, and larger than any of the coordinator's.
        SlowError
            If it comes too slowly.
        """
        limit = OBJECT_LIMIT if is_object else ANSWER_LIMIT
        pieces, size, begun = [], 0, time.monotonic()
        try:
            for piece in response.iter_raw():
                size += len(piece)
                if not response.is_success and size >= ERROR_LIMIT:
                    pieces.append(piece[: len(piece) - (size - ERROR_LIMIT)])
                    break
                if time.monotonic() - begun > _GRACE_S + size / _SLOWEST:
                    raise SlowError(f"{self._address} sends too slowly -> ask the hospital's network people")
                if size > limit:
                    text = f"{self._address} sent more than {limit} bytes at once -> is it the coordinator?"
                    raise ProtocolError(text) if is_object else LineError(Trouble.PROXY, text)
                pieces.append(piece)
        finally:
            response.close()
        # Nothing is unpacked: a few bytes could become as many as fit into memory
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _LEFT_OUT]
        content = b"".join(pieces)
        return httpx.Response(
            response.status_code, headers=headers, content=content, request=response.request
        )


_LEFT_OUT = ("content-encoding", "content-length", "transfer-encoding")
