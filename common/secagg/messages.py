"""The messages' headers, which are all that is signed; a payload is in its header as a SHA-256.

Canonical JSON without floats: a clip bound travels as Python writes it in hexadecimal.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from common.errors import ProtocolError
from common.secagg.canonical import canonical, parse
from common.secagg.keys import verify
from common.secagg.vectors import Ring, Segment, Vector
from common.secagg.wire import Frame, Kind, sha256
from common.settings import Section

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256, a public key or a seed."""
Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Phase = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/-]{1,96}$")]
Study = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,96}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{1,31}$")]
SiteId = Annotated[int, Field(ge=1, le=512)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Bitmap = Annotated[int, Field(ge=0, lt=2**513)]
"""Bit i is site i."""
Mode = Literal["round", "session"]
Status = Literal["opened", "lost", "aborted"]

NO_DIGEST = "0" * 64
"""Stands where there is nothing to hash."""


class Header(Section):
    """What a party says and signs; strict, because every field must have one spelling."""

    model_config = ConfigDict(strict=True)

    def body(self) -> bytes:
        """The bytes that are hashed and signed."""
        return canonical(self)


class VectorSpec(Header):
    """A vector as messages carry it."""

    name: Annotated[str, StringConstraints(pattern=r"^[ -~]{1,160}$")]
    shape: Annotated[tuple[Count, ...], Field(max_length=8)]
    ring: Ring
    clip: tuple[tuple[Count, str], ...]
    """Length and bound, in hexadecimal, of each segment; none in other rings than 2^32."""
    bits: Annotated[int, Field(ge=-256, le=256)]
    """Of the scale."""

    @classmethod
    def of(cls, vector: Vector) -> Self:
        """The vector's spelling."""
        clip = tuple((segment.length, segment.clip.hex()) for segment in vector.segments)
        return cls(name=vector.name, shape=vector.shape, ring=vector.ring, clip=clip, bits=vector.scale_bits)

    def vector(self) -> Vector:
        """The vector.

        Raises
        ------
        ProtocolError
            If there can be no such vector.
        """
        try:
            segments = tuple(Segment(length, float.fromhex(bound)) for length, bound in self.clip)
            return Vector(self.name, self.shape, self.ring, segments or None, self.bits)
        except (ValueError, OverflowError):
            raise ProtocolError("a message describes an impossible vector") from None


class Layout(Header):
    """The vectors of one contribution, in the order of their words."""

    vectors: Annotated[tuple[VectorSpec, ...], Field(max_length=4096)]


class RoundRequest(Header):
    """M1: what is asked, under which plan and roster, on which input."""

    mode: Mode
    study: Study
    plan: Digest
    roster: Digest
    phase: Phase
    round: Count
    """Number of the round, or of the session, in its phase; it only grows."""
    vectors: tuple[VectorSpec, ...]
    """Of a round; in a session every iteration has the vectors that the site computes."""
    model: Digest
    """Of the payload's first part."""
    model_bytes: Count
    input: Digest
    """`input_digest` of both parts: model, and configuration with seed."""
    deadline: Count
    """Unix time, seconds."""


class Join(Header):
    """M2: a site has its vector ready, and a session key."""

    hdr: Digest
    """Of M1."""
    site: SiteId
    key: Digest
    """X25519."""
    sets: Annotated[tuple[Bitmap, ...], Field(max_length=64)]
    """In whose sums the site has been in this phase."""


class SignedJoin(Header):
    """A JOIN as the coordinator passes it on."""

    join: Join
    signature: Signature

    def is_signed_by(self, public: bytes) -> bool:
        """Whether the key's owner said so."""
        return verify(public, Kind.JOIN.name, self.join.body(), bytes.fromhex(self.signature))


class ContributeRequest(Header):
    """M3: the set, as its members' own JOINs."""

    hdr: Digest
    phase: Phase
    attempt: Count
    joins: Annotated[tuple[SignedJoin, ...], Field(max_length=512)]


class Contribution(Header):
    """M4: the payload is the masked words."""

    hdr: Digest
    attempt: Count
    set: Digest
    site: SiteId
    payload: Digest


class SignedContribution(Header):
    """An M4 header as the coordinator passes it on."""

    contribution: Contribution
    signature: Signature

    def is_signed_by(self, public: bytes) -> bool:
        """Whether the key's owner said so."""
        body = self.contribution.body()
        return verify(public, Kind.CONTRIBUTION.name, body, bytes.fromhex(self.signature))


class RevealRequest(Header):
    """M5: the proof that every member contributed to one set in one attempt."""

    hdr: Digest
    phase: Phase
    attempt: Count
    contributions: Annotated[tuple[SignedContribution, ...], Field(max_length=512)]


class Reveal(Header):
    """M6: the seed of the site's own mask."""

    hdr: Digest
    attempt: Count
    site: SiteId
    seed: Digest


class Close(Header):
    """M7: nothing more will be asked; the site erases what it kept."""

    hdr: Digest
    phase: Phase
    status: Status
    result: Digest
    """Of what the sum was used for, such as the next model; zeros if there is nothing."""


class Closed(Header):
    """The answer to M7."""

    hdr: Digest
    site: SiteId


class Admitted(Header):
    """The answer to M3 in a session: the site has this set."""

    hdr: Digest
    set: Digest
    site: SiteId


class Iterate(Header):
    """One iteration of a session; the payload is what is broadcast."""

    hdr: Digest
    phase: Phase
    set: Digest
    step: Annotated[int, Field(ge=1, le=2**31)]
    """Number of the iteration; each follows the last."""
    input: Digest
    """Of the payload."""


class Iteration(Header):
    """The answer: the payload is the layout (payload.py) and the masked words."""

    hdr: Digest
    set: Digest
    step: Count
    site: SiteId
    layout_bytes: Count
    payload: Digest


class Refusal(Header):
    """A code, and never a text."""

    request: Digest
    """Of the header of what is refused."""
    site: SiteId
    code: Code


LIMITS = {
    Kind.ROUND_REQUEST: 1 << 17,
    Kind.JOIN: 12_000,
    Kind.CONTRIBUTE_REQUEST: 1 << 20,
    Kind.REVEAL_REQUEST: 1 << 20,
    Kind.ROSTER: 1 << 17,
    Kind.WAIVER: 1 << 13,
}
"""Most bytes of a header; 600 where nothing is said."""

Message = TypeVar("Message", bound=Header)


def read(frame: Frame, kind: Kind, model: type[Message]) -> Message:
    """The header of a message that should be of this kind.

    Raises
    ------
    ProtocolError
        If it is of another, or not what its kind says: unknown or missing fields, a second spelling.
    """
    if frame.kind is not kind:
        raise ProtocolError(f"a message of kind {frame.kind.name} came where {kind.name} was expected")
    return read_header(frame.header, LIMITS.get(kind, 600), model)


def read_header(header: bytes, limit: int, model: type[Message]) -> Message:
    """A document of at most `limit` bytes.

    Raises
    ------
    ProtocolError
        If it is not canonical, or not what the model says.
    """
    parse(header, limit)
    try:
        # From JSON, where a list is how a tuple is written
        found = model.model_validate_json(header)
    except ValidationError as failure:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in failure.errors()[:3])
        raise ProtocolError(f"a {model.__name__} is malformed: {fields}") from None
    if found.body() != header:
        raise ProtocolError(f"a {model.__name__} leaves fields out")
    return found


def input_digest(model: str, configuration: bytes | memoryview) -> str:
    """What a site computes from: SHA-256 of the model's SHA-256 and the configuration with its seed.

    Two parts of one payload, so that two splits of the same bytes differ and a model is hashed once.
    """
    return sha256(b"SA1/input\0", bytes.fromhex(model), configuration)


def set_digest(joins: tuple[SignedJoin, ...]) -> str:
    """Of the set: SHA-256 of its members' JOINs, whatever their order in the message."""
    return sha256(*sorted(signed.join.body() for signed in joins))


def bitmap(sites: tuple[int, ...] | frozenset[int]) -> int:
    """The set as one number: bit i is site i."""
    return sum(1 << site for site in frozenset(sites))
