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

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ProtocolError
from common.runtime.front_room import make_behind_room
from common.secagg.crypto.keys import SIGNATURE_BYTES, sign_message, verify_signature

Bytes: TypeAlias = bytes | bytearray | memoryview
"""A message or a part of one."""

_PREFIX = struct.Struct("<4sB3xI4x")
_MAGIC = b"SA1\x01"
_ALIGNMENT = 16


class MessageKind(IntEnum):
    """What a message is; the kind's name is part of what is signed."""

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
    TRANSCRIPT = 16


@dataclass(frozen=True)
class MessageFrame:
    """A message taken apart; nothing in it is trusted yet.

    Attributes
    ----------
    kind : MessageKind
        What the message is.
    header : bytes
        Canonical JSON.
    signature : bytes
        Ed25519, 64 bytes, of kind and header.
    payload : memoryview
        The rest of the message, not copied.
    """

    kind: MessageKind
    header: bytes
    signature: bytes
    payload: memoryview

    def is_signed_by(self, public: bytes) -> bool:
        """Whether the owner of the raw public key signed kind and header."""
        return verify_signature(public, self.kind.name, self.header, self.signature)

    @property
    def digest(self) -> str:
        """SHA-256 of the header, which commits to the payload; 64 hexadecimal digits."""
        return sha256(self.header)


def is_sealed(message: Bytes) -> bool:
    """Whether the bytes are a message of this protocol, well-formed or not."""
    return bytes(message[: len(_MAGIC)]) == _MAGIC


def sha256(*parts: Bytes) -> str:
    """SHA-256 of the parts one after the other, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def pack(kind: MessageKind, header: bytes, key: Ed25519PrivateKey, *payload: Bytes) -> bytes:
    """A signed message; its payload is the given parts one after the other."""
    return b"".join((_pack_front(kind, header, sign_message(key, kind.name, header)), *payload))


def repack(kind: MessageKind, header: bytes, signature: bytes) -> bytes:
    """A message without payload, from a signature that was made before."""
    return _pack_front(kind, header, signature)


def make_room(header_bytes: int, payload_bytes: int) -> tuple[memoryview, memoryview]:
    """An empty message and, within it, a view of its payload, so that a large payload is made in place.

    A large message has room before it, for what it travels in (`join_in_place`).
    """
    start = _payload_start(header_bytes)
    message = make_behind_room(start + payload_bytes, np.uint8).data
    return message, message[start:]


def make_zeros(size: int) -> memoryview:
    """So many zero bytes that can be written; unlike Python's own, a large piece comes in large pages."""
    return np.zeros(size, dtype=np.uint8).data


def seal(message: memoryview, kind: MessageKind, header: bytes, key: Ed25519PrivateKey) -> None:
    """Write header and signature in front of a payload in a message from `make_room`.

    Raises
    ------
    ValueError
        If the header is longer than the room for it.
    """
    front = _pack_front(kind, header, sign_message(key, kind.name, header))
    if len(front) > len(message):
        raise ValueError("a header is longer than there is room for")
    message[: len(front)] = front


def unpack(message: Bytes) -> MessageFrame:
    """The message, taken apart.

    Raises
    ------
    ProtocolError
        If the bytes are not a message of this protocol.
    """
    view = memoryview(message)
    if len(view) < _PREFIX.size:
        raise ProtocolError("a message is too short")
    magic, number, length = _PREFIX.unpack_from(view)
    start = _payload_start(length)
    known = magic == _MAGIC and number in MessageKind.__members__.values()
    if not known or start > len(view):
        raise ProtocolError("a message is not one of this protocol")
    kind = MessageKind(number)
    header = bytes(view[_PREFIX.size : _PREFIX.size + length])
    signature = bytes(view[_PREFIX.size + length : _PREFIX.size + length + SIGNATURE_BYTES])
    if _pack_front(kind, header, signature) != view[:start]:
        raise ProtocolError("a message's padding is not zero")
    return MessageFrame(kind, header, signature, view[start:])


def _pack_front(kind: MessageKind, header: bytes, signature: bytes) -> bytes:
    front = _PREFIX.pack(_MAGIC, kind, len(header)) + header + signature
    return front.ljust(_payload_start(len(header)), b"\0")


def _payload_start(header_bytes: int) -> int:
    end = _PREFIX.size + header_bytes + SIGNATURE_BYTES
    return -(-end // _ALIGNMENT) * _ALIGNMENT
