"""Who has signed a Fleet request, told from its headers alone: before a byte of its body is read.

Flower judges the same once more, afterwards, and compares the key with the node that the body names.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

AHEAD_S, BEHIND_S = 5.0, 305.0
"""How far a sender's clock may be from ours: Flower's SYSTEM_TIME_TOLERANCE, and TIMESTAMP_TOLERANCE more."""

_KEY, _SIGNATURE, _TIME = b"flwr-public-key", b"flwr-signature", b"flwr-timestamp"
_LONGEST = 2048
"""Bytes of a header; a key on the largest curve has 360."""


def read_claimed_key(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The public key, PEM, in the name of which a request is sent; None if it says none, or two."""
    found = _take_once(headers, _KEY)
    return None if found is None else _decode(found)


def is_signed(headers: Iterable[tuple[bytes, bytes]], key: bytes) -> bool:
    """Whether this key has signed the request's time, and that is now.

    Parameters
    ----------
    headers : iterable of (bytes, bytes)
        The request's headers.
    key : bytes
        Public key, PEM.
    """
    headers = list(headers)
    time, encoded = _take_once(headers, _TIME), _take_once(headers, _SIGNATURE)
    signature = None if encoded is None else _decode(encoded)
    if time is None or signature is None or not _is_now(time):
        return False
    try:
        _load_key(key).verify(signature, time, ec.ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _take_once(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a header that was sent exactly once, and is no longer than one of ours."""
    values = [value for other, value in headers if other.lower() == name]
    return values[0] if len(values) == 1 and len(values[0]) <= _LONGEST else None


def _decode(text: bytes) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _is_now(time: bytes) -> bool:
    try:
        age_s = (datetime.now(UTC) - datetime.fromisoformat(time.decode("ascii"))).total_seconds()
    except (ValueError, TypeError, OverflowError):  # no time; one without its zone; one before the year 1
        return False
    return -AHEAD_S < age_s < BEHIND_S


@lru_cache(maxsize=64)
def _load_key(key: bytes) -> ec.EllipticCurvePublicKey:
    """The key of these bytes.

    Raises
    ------
    ValueError
        If they are no key on a curve that a card may name.
    """
    loaded = load_pem_public_key(key)
    curves = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
    if not isinstance(loaded, ec.EllipticCurvePublicKey) or not isinstance(loaded.curve, curves):
        raise ValueError("no key on a NIST curve")  # noqa: TRY004 - as of any other unfit bytes
    return loaded
