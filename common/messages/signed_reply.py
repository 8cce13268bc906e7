"""A site's signature under a reply that leaves in the clear: no one on the way can answer in its name."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.secagg.crypto.keys import is_signature_of
from common.secagg.wire.frames import Bytes

_MARK = b"rhe/reply/1\x00"
_SIGNATURE_BYTES = 64


def sign_reply(body: Bytes, key: Ed25519PrivateKey) -> bytes:
    """The bytes of a reply with a signature before them."""
    return b"".join((_MARK, key.sign(_digest(body)), body))


def take_body(message: Bytes) -> memoryview:
    """The bytes of a reply without the signature, if there is one, not copied; it is not verified here."""
    view = memoryview(message)
    return view[len(_MARK) + _SIGNATURE_BYTES :] if _is_marked(message) else view


def is_reply_signed_by(message: Bytes, public: bytes) -> bool:
    """Whether the reply is signed by the owner of this raw public key."""
    if not _is_marked(message):
        return False
    signature = bytes(message[len(_MARK) : len(_MARK) + _SIGNATURE_BYTES])
    return is_signature_of(public, signature, _digest(take_body(message)))


def _is_marked(message: Bytes) -> bool:
    return bytes(message[: len(_MARK)]) == _MARK


def _digest(body: Bytes) -> bytes:
    return hashlib.sha256(_MARK + hashlib.sha256(body).digest()).digest()
