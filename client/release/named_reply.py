"""A reply as it leaves: it names the request that it answers, and the site has signed it."""

from __future__ import annotations

from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.messages.protocol import Reply, encode_reply
from common.messages.signed_reply import sign_reply
from common.secagg.wire.frames import Bytes


def encode_answer(reply: Reply, asked: Bytes, key: Ed25519PrivateKey | None) -> bytes:
    """The reply's bytes; large ones may be memory that is no `bytes`, which whoever sends them takes as well.

    A message that only the protocol of hidden sums reads stays as it is: the protocol itself signed it, and
    names what it answers.

    Parameters
    ----------
    reply : Reply
        The answer.
    asked : bytes
        The request, without the transcripts before it.
    key : Ed25519PrivateKey or None
        The site's in the roster; None where there is no roster.
    """
    if is_protocol_only(reply):
        return cast("bytes", encode_reply(reply))
    body = encode_reply(reply.name_request(asked))
    return cast("bytes", body) if key is None else sign_reply(body, key)


def is_protocol_only(reply: Reply) -> bool:
    """Whether nothing but a message of the protocol of hidden sums is in the reply."""
    return reply.sealed is not None and not reply.header.layout and not reply.summary.layout()
