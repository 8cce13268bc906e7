"""A site's signature under a reply that leaves in the clear: no one on the way can answer in its name."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MARK = b"rhe/reply/1\x00"
_SIGNATURE_BYTES = 64


def sign_reply(body: bytes, key: Ed25519PrivateKey) -> bytes:
    """The bytes of a reply with a signature before them."""
    return b"".join((_MARK, key.sign(_digest(body)), body))


def take_body(message: bytes) -> bytes:
    """The bytes of a reply without the signature, if there is one; it is not verified here."""
    return message[len(_MARK) + _SIGNATURE_BYTES :] if message.startswith(_MARK) else message


def is_reply_signed_by(message: bytes, public: bytes) -> bool:
    """Whether the reply is signed by the owner of this raw public key."""
    if not message.startswith(_MARK):
        return False
    signature = message[len(_MARK) : len(_MARK) + _SIGNATURE_BYTES]
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _digest(take_body(message)))
    except InvalidSignature:
        return False
    return True


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(_MARK + hashlib.sha256(body).digest()).digest()
