"""A transcript: what the other members of a set sent in one step, as each signed it, for one member.

With its own words the member adds them itself: the masks cancel, and it knows the sum without believing
anybody. A transcript stands before any other message to a site::

    header     names the session and the step, and commits to the content
    content    the index (canonical JSON, padded with spaces to 16 bytes), then words: site by site in the
               index's order, and of each site the vectors that come back, each in its room
    message    the message that follows, another transcript included
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from common.errors import ProtocolError
from common.secagg.crypto.keys import verify_signature
from common.secagg.wire.canonical import encode_canonical
from common.secagg.wire.frames import Bytes, MessageFrame, MessageKind, is_sealed, unpack
from common.secagg.wire.messages import (
    CanonicalDocument,
    Digest,
    Iteration,
    Natural,
    PhaseName,
    Signature,
    read,
    read_header,
)

_LONGEST_INDEX = 1 << 26
_ALIGNMENT = 16


class SignedIteration(CanonicalDocument):
    """An iteration's header as the coordinator passes it on, with what its payload's digest is made of."""

    iteration: Iteration
    """The header of the site's answer."""
    signature: Signature
    """Signature of the site that answered."""
    parts: Annotated[tuple[Digest, ...], Field(max_length=4096)]
    """SHA-256 of each vector's room, in the order of the layout."""

    def is_signed_by(self, public: bytes) -> bool:
        """Whether the owner of the raw public key signed it."""
        body = self.iteration.body()
        return verify_signature(public, MessageKind.ITERATION.name, body, bytes.fromhex(self.signature))


class TranscriptIndex(CanonicalDocument):
    """The beginning of a transcript's content: whose words follow, and of which vectors."""

    vectors: Annotated[tuple[Natural, ...], Field(max_length=4096)]
    """Positions in the layout of the vectors that come back, ascending."""
    iterations: Annotated[tuple[SignedIteration, ...], Field(max_length=512)]
    """Of every other member, by ascending number."""


class Transcript(CanonicalDocument):
    """The header of a transcript."""

    hdr: Digest
    """SHA-256 of M1's header: names the session."""
    phase: PhaseName
    """The phase that the session belongs to."""
    step: Natural
    """Number of the iteration that was opened."""
    index_bytes: Natural
    """Length of the content's first part, the index, in bytes."""
    content_bytes: Natural
    """Length of the content in bytes: where the message that follows begins."""
    content: Digest
    """SHA-256 of the content."""


def write_index(index: TranscriptIndex) -> bytes:
    """The beginning of a transcript's content, padded with spaces to 16 bytes."""
    return _pad_index(index.body())


def join_index(vectors: Sequence[int], iterations: Sequence[bytes]) -> bytes:
    """What `write_index` writes, from the bodies of the signed iterations: each is written once for all."""
    places = encode_canonical({"vectors": list(vectors)})
    return _pad_index(b'{"iterations":[' + b",".join(iterations) + b"]," + places[1:])


def _pad_index(body: bytes) -> bytes:
    return body.ljust(-(-len(body) // _ALIGNMENT) * _ALIGNMENT)


def read_index(data: bytes) -> TranscriptIndex:
    """The index that `write_index` wrote.

    Raises
    ------
    ProtocolError
        If the bytes are not an index.
    """
    return read_header(data.rstrip(b" "), _LONGEST_INDEX, TranscriptIndex)


def read_transcript(frame: MessageFrame) -> Transcript:
    """The header of a transcript.

    Raises
    ------
    ProtocolError
        If it is malformed, or longer than the message.
    """
    header = read(frame, MessageKind.TRANSCRIPT, Transcript)
    if not header.index_bytes <= header.content_bytes <= len(frame.payload):
        raise ProtocolError("a transcript is longer than its message")
    return header


def take_transcripts(message: Bytes) -> tuple[tuple[MessageFrame, ...], Bytes]:
    """The transcripts that stand before a message, and the message without them, not copied.

    Raises
    ------
    ProtocolError
        If a transcript is malformed.
    """
    frames: list[MessageFrame] = []
    rest = message
    while is_sealed(rest) and (frame := unpack(rest)).kind is MessageKind.TRANSCRIPT:
        frames.append(frame)
        rest = frame.payload[read_transcript(frame).content_bytes :]
    return tuple(frames), rest
