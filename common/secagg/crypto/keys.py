"""Identity keys, session keys and the keys that derive from them; every use has its own prefix.

References
----------
RFC 8032 (Ed25519; section 5.1.3 for canonical encodings), RFC 7748 (X25519; section 6.1 for the zero secret),
RFC 5869 (HKDF). Chalkias, Garillot, Nikolaenko 2020, "Taming the many EdDSAs" (keys of small order).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.errors import ProtocolError
from common.secagg.codes import SecAggError

KEY_BYTES = 32
"""Length of every public key, secret, seed and mask key of the protocol."""
SIGNATURE_BYTES = 64
"""Length of an Ed25519 signature."""

_FINGERPRINT_BYTES = 20

_PRIME = 2**255 - 19
"""Of the field of Curve25519."""
_ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
"""y of two of the four points of order 8; that of the other two is its negative."""
_SMALL_ORDER_Y = frozenset({0, 1, _PRIME - 1, _ORDER_8_Y, _PRIME - _ORDER_8_Y})
"""y of the eight points whose order divides 8. No other point of the curve has one of them."""


def sign_message(key: Ed25519PrivateKey, kind: str, body: bytes) -> bytes:
    """The signature, 64 bytes, of a message of one kind; invalid for the same bytes of another kind."""
    return key.sign(_hash_message(kind, body))


def load_verifying_key(public: bytes) -> Ed25519PublicKey:
    """The Ed25519 key of these raw bytes: the one way from bytes to a key that judges signatures.

    OpenSSL takes any 32 bytes. Under a key of small order a signature that anybody can make is valid for many
    messages; a point that has several encodings would be a second key of the same party.

    Raises
    ------
    ProtocolError
        If they are not 32 bytes, the point is of small order, or another encoding is its canonical one.
    """
    if len(public) != KEY_BYTES:
        raise ProtocolError("a public key is not 32 bytes")
    # The highest bit is the sign of x
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if y >= _PRIME:
        raise ProtocolError("a public key is not canonically encoded -> ask its owner for it again")
    if y in _SMALL_ORDER_Y:
        raise ProtocolError("a public key is a point of small order, for which anybody can sign")
    return Ed25519PublicKey.from_public_bytes(public)


def is_signature_of(public: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether the owner of the raw public key signed these bytes; false, too, if key or signature is none."""
    try:
        load_verifying_key(public).verify(signature, signed)
    except (ValueError, InvalidSignature, ProtocolError):
        return False
    return True


def verify_signature(public: bytes, kind: str, body: bytes, signature: bytes) -> bool:
    """Whether the owner of the raw public key signed these bytes as a message of this kind.

    Also false if the key or the signature is malformed.
    """
    return _judge_signature(public, signature, _hash_message(kind, body))


@lru_cache(maxsize=2048)
def _judge_signature(public: bytes, signature: bytes, digest: bytes) -> bool:
    # Where all sites are in one process, each is shown what every other has checked already
    return is_signature_of(public, signature, digest)


def encode_public_key(public: bytes) -> str:
    """A raw public key as 64 lower-case hexadecimal digits, as rosters and messages carry it."""
    return public.hex()


def decode_public_key(text: str) -> bytes:
    """The raw public key, 32 bytes, in a text from `encode_public_key`.

    Raises
    ------
    ProtocolError
        If the text is not 64 lower-case hexadecimal digits: a key has only one spelling; as
        `load_verifying_key`.
    """
    try:
        public = bytes.fromhex(text)
    except ValueError:
        public = b""
    if len(public) != KEY_BYTES or public.hex() != text:
        raise ProtocolError("a public key is not 64 lower-case hexadecimal digits")
    load_verifying_key(public)
    return public


def fingerprint(public: bytes) -> str:
    """Eight groups of four letters and digits that two people compare by telephone: 160 bits of SHA-256.

    Examples
    --------
    >>> fingerprint(bytes(32))
    'PKXY 4SNS QLLH 7HZ2 ZAKO KGV4 ZPDI QLDJ'
    """
    digest = hashlib.sha256(b"SA1/fp" + public).digest()[:_FINGERPRINT_BYTES]
    text = base64.b32encode(digest).decode("ascii")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def derive_shared_secret(private: X25519PrivateKey, peer: bytes) -> bytes:
    """The 32 bytes that the owners of two session keys both compute.

    Raises
    ------
    SecAggError
        E_BAD_POINT if the peer's raw public key is not 32 bytes or is a low-order point: then the secret
        would be zero whatever the private key, and known to everybody.
    """
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise SecAggError("a peer's session key is a low-order point", code="E_BAD_POINT") from None


def derive_pair_key(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """The mask key, 32 bytes, of two sites and one vector.

    Parameters
    ----------
    secret : bytes
        From `derive_shared_secret`.
    salt : bytes
        SHA-256 of the agreed set, 32 bytes.
    info : bytes
        Canonical JSON of all that both must agree on; if they differ, the masks do not cancel.
    """
    return expand_pair_key(extract_pair_secret(secret, salt), info)


def extract_pair_secret(secret: bytes, salt: bytes) -> bytes:
    """The first step of `derive_pair_key`, 32 bytes: it is the same for all vectors of a set.

    References
    ----------
    RFC 5869, section 2.2.
    """
    return hmac.digest(salt, secret, "sha256")


def expand_pair_key(extracted: bytes, info: bytes) -> bytes:
    """The second step of `derive_pair_key`, 32 bytes: one block is a whole key.

    References
    ----------
    RFC 5869, section 2.3.
    """
    return hmac.digest(extracted, b"SA1/pair" + info + b"\x01", "sha256")


def derive_self_key(seed: bytes, info: bytes) -> bytes:
    """The key, 32 bytes, of a site's own mask, from the seed that the site reveals at the end."""
    return _derive_key(seed, None, b"SA1/self" + info)


def derive_wrap_key(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """32 bytes that hide a tag key on its way from one member to another; used once.

    Parameters
    ----------
    secret : bytes
        From `derive_shared_secret`.
    salt : bytes
        SHA-256 of the agreed set, 32 bytes.
    info : bytes
        Canonical JSON of round, attempt, set and both members.
    """
    return _derive_key(secret, salt, b"SA1/tag-wrap" + info)


def derive_tag_mask_key(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """The key, 32 bytes, of two members' mask on one vector's tag; parameters as in `derive_pair_key`."""
    return _derive_key(secret, salt, b"SA1/tag-mask" + info)


def derive_tag_key(shared: bytes, salt: bytes, info: bytes) -> bytes:
    """The key, 32 bytes, of one vector's tag, from the tag key that the members of a set share."""
    return _derive_key(shared, salt, b"SA1/tag" + info)


def _hash_message(kind: str, body: bytes) -> bytes:
    return hashlib.sha256(b"SA1/" + kind.encode("ascii") + b"\0" + body).digest()


def _derive_key(secret: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, salt, info).derive(secret)
