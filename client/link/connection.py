"""How the link reaches the engine: bytes in, bytes out, over a Unix socket that only the site can open."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from common.errors import SiteError

EngineLink = Callable[[bytes], bytes]
"""Answers a request's bytes with the reply's bytes: the engine itself, or a socket to it."""

METHOD = "/rhe.Engine/Handle"
MESSAGE_LIMIT = -1
"""No limit, instead of gRPC's 4 MiB: a ResNet-152 has 470 MB."""

OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
)


def open_socket_link(address: str, patience_s: float = 120.0) -> EngineLink:
    """A link to the engine listening at ``unix:PATH``.

    Parameters
    ----------
    address : str
        "unix:" and the socket's path.
    patience_s : float
        How long to wait for the engine to come up.

    Raises
    ------
    SiteError
        On use, if the engine cannot be reached in that time or goes away.
    """

    def ask(request: bytes) -> bytes:
        with grpc.insecure_channel(address, options=OPTIONS) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=patience_s)
                reply: bytes = channel.unary_unary(
                    METHOD, request_serializer=_as_is, response_deserializer=_as_is
                )(request)
            except (grpc.RpcError, grpc.FutureTimeoutError) as failure:
                raise SiteError(
                    f"{address}: the site's engine does not answer ({type(failure).__name__}) -> "
                    "is `rhe-client start` running?"
                ) from None
            return reply

    return ask


def _as_is(message: bytes) -> bytes:
    return message
