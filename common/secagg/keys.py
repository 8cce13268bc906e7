"""Identities, session keys and what is derived from them; every use has its own prefix.

References
----------
RFC 8032 (Ed25519), RFC 7748 (X25519; section 6.1 for the zero secret), RFC 5869 (HKDF).
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.errors import ProtocolError
from common.secagg.errors import SecAggError

KEY_BYTES = 32
"""Of every public key, secret, seed and mask key of the protocol."""
SIGNATURE_BYTES = 64

_FINGERPRINT_BYTES = 20


def sign(key: Ed25519PrivateKey, kind: str, body: bytes) -> bytes:
    """The signature, 64 bytes, of a message of one kind: of another kind the same bytes are not signed."""
    return key.sign(_signed(kind, body))


def verify(public: bytes, kind: str, body: bytes, signature: bytes) -> bool:
    """Whether the owner of the raw public key signed these bytes as a message of this kind.

    False also if the key or the signature is malformed.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _signed(kind, body))
    except (ValueError, InvalidSignature):
        return False
    return True


def public_hex(public: bytes) -> str:
    """A raw public key as 64 lower-case hexadecimal digits, as rosters and messages carry it."""
    return public.hex()


def public_bytes(text: str) -> bytes:
    """The raw public key that `public_hex` wrote.

    Raises
    ------
    ProtocolError
        If it is not 64 lower-case hexadecimal digits: one key has one spelling.
    """
    try:
        public = bytes.fromhex(text)
    except ValueError:
        public = b""
    if len(public) != KEY_BYTES or public.hex() != text:
        raise ProtocolError("a public key is not 64 lower-case hexadecimal digits")
    return public


def fingerprint(public: bytes) -> str:
    """Eight groups of four letters and digits that two people compare by telephone: 160 bits.

    Examples
    --------
    >>> fingerprint(bytes(32))
    'PKXY 4SNS QLLH 7HZ2 ZAKO KGV4 ZPDI QLDJ'
    """
    digest = hashlib.sha256(b"SA1/fp" + public).digest()[:_FINGERPRINT_BYTES]
    text = base64.b32encode(digest).decode("ascii")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def ephemeral() -> X25519PrivateKey:
    """A fresh session key; its raw public half is ``.public_key().public_bytes_raw()``."""
    return X25519PrivateKey.generate()


def shared_secret(private: X25519PrivateKey, peer: bytes) -> bytes:
    """The 32 bytes that both owners of two session keys arrive at.

    Raises
    ------
    SecAggError
        E_BAD_POINT if the peer's raw public key is not 32 bytes or is a low-order point: the secret would
        be zero whatever the private key, hence known to everybody.
    """
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise SecAggError("a peer's session key is a low-order point", code="E_BAD_POINT") from None


def pair_key(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """The mask key, 32 bytes, of two sites and one vector.

    Parameters
    ----------
    secret : bytes
        From `shared_secret`.
    salt : bytes
        Hash of the agreed set.
    info : bytes
        Canonical JSON of everything that both must agree on; otherwise the masks do not cancel.
    """
    return _derived(secret, salt, b"SA1/pair" + info)


def self_key(seed: bytes, info: bytes) -> bytes:
    """The key, 32 bytes, of a site's own mask, from the seed that it reveals in the end."""
    return _derived(seed, None, b"SA1/self" + info)


def _signed(kind: str, body: bytes) -> bytes:
    return hashlib.sha256(b"SA1/" + kind.encode("ascii") + b"\0" + body).digest()


def _derived(secret: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, salt, info).derive(secret)
