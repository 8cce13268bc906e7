"""How a message lies in bytes: kind, signed header, signature, then the payload's raw words.

::

    0   "SA1" and the byte 1
    4   u8  kind, three zero bytes
    8   u32 length of the header, four zero bytes
    16  header (canonical JSON), signature (64 bytes), zeros up to a multiple of 16, payload

The payload starts at a multiple of 16 bytes, so its words are read, masked and added where they lie.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ProtocolError
from common.secagg.keys import SIGNATURE_BYTES, sign, verify

Bytes: TypeAlias = bytes | bytearray | memoryview
"""A message, or a part of one."""

_PREFIX = struct.Struct("<4sB3xI4x")
_MAGIC = b"SA1\x01"
_ALIGNMENT = 16


class Kind(IntEnum):
    """What a message is; the name is part of what is signed."""

    ROUND_REQUEST = 1
    JOIN = 2
    CONTRIBUTE_REQUEST = 3
    CONTRIBUTION = 4
    REVEAL_REQUEST = 5
    REVEAL = 6
    CLOSE = 7
    CLOSED = 8
    ADMITTED = 9
    ITERATE = 10
    ITERATION = 11
    REFUSAL = 12
    ROSTER = 13
    CARD = 14
    WAIVER = 15


@dataclass(frozen=True)
class Frame:
    """A message taken apart; nothing in it is trusted yet.

    Attributes
    ----------
    kind : Kind
    header : bytes
        Canonical JSON.
    signature : bytes
        Of kind and header.
    payload : memoryview
        Into the message, not copied.
    """

    kind: Kind
    header: bytes
    signature: bytes
    payload: memoryview

    def is_signed_by(self, public: bytes) -> bool:
        """Whether the owner of the raw public key signed kind and header."""
        return verify(public, self.kind.name, self.header, self.signature)

    @property
    def digest(self) -> str:
        """SHA-256 of the header, which commits to the payload; 64 hexadecimal digits."""
        return sha256(self.header)


def is_sealed(message: Bytes) -> bool:
    """Whether the bytes are a message of this protocol, well-formed or not."""
    return bytes(message[: len(_MAGIC)]) == _MAGIC


def sha256(*parts: Bytes) -> str:
    """64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def pack(kind: Kind, header: bytes, key: Ed25519PrivateKey, *payload: Bytes) -> bytes:
    """A signed message; the parts of its payload follow one another."""
    return b"".join((_front(kind, header, sign(key, kind.name, header)), *payload))


def repack(kind: Kind, header: bytes, signature: bytes) -> bytes:
    """A message without payload whose signature is known already."""
    return _front(kind, header, signature)


def blank(header_bytes: int, payload_bytes: int) -> tuple[bytearray, memoryview]:
    """Room for a message and, in it, for its payload, so that a large payload is made where it will lie."""
    start = _payload_start(header_bytes)
    message = bytearray(start + payload_bytes)
    return message, memoryview(message)[start:]


def seal(message: bytearray, kind: Kind, header: bytes, key: Ed25519PrivateKey) -> None:
    """Writes header and signature in front of the payload that `blank` made room for.

    Raises
    ------
    ValueError
        If the header has another length than there is room for.
    """
    front = _front(kind, header, sign(key, kind.name, header))
    if len(front) > len(message):
        raise ValueError("a header is longer than there is room for")
    message[: len(front)] = front


def unpack(message: Bytes) -> Frame:
    """The message's parts.

    Raises
    ------
    ProtocolError
        If it is not a message of this protocol.
    """
    view = memoryview(message)
    if len(view) < _PREFIX.size:
        raise ProtocolError("a message is too short")
    magic, number, length = _PREFIX.unpack_from(view)
    start = _payload_start(length)
    known = magic == _MAGIC and number in Kind.__members__.values()
    if not known or start > len(view):
        raise ProtocolError("a message is not one of this protocol")
    kind = Kind(number)
    header = bytes(view[_PREFIX.size : _PREFIX.size + length])
    signature = bytes(view[_PREFIX.size + length : _PREFIX.size + length + SIGNATURE_BYTES])
    if _front(kind, header, signature) != view[:start]:
        raise ProtocolError("a message's padding is not zero")
    return Frame(kind, header, signature, view[start:])


def _front(kind: Kind, header: bytes, signature: bytes) -> bytes:
    front = _PREFIX.pack(_MAGIC, kind, len(header)) + header + signature
    return front.ljust(_payload_start(len(header)), b"\0")


def _payload_start(header_bytes: int) -> int:
    end = _PREFIX.size + header_bytes + SIGNATURE_BYTES
    return -(-end // _ALIGNMENT) * _ALIGNMENT
