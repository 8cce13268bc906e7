"""The messages' headers. Only headers are signed; a header commits to its payload with a SHA-256.

Headers are canonical JSON without floats: a clip bound is written in Python's hexadecimal notation.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from common.errors import ProtocolError
from common.runtime.settings_file import Section
from common.secagg.crypto.keys import verify_signature
from common.secagg.crypto.rings import Ring, Segment, Vector
from common.secagg.wire.canonical import encode_canonical, parse_canonical
from common.secagg.wire.frames import MessageFrame, MessageKind, sha256

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256, a public key or a seed: 32 bytes as 64 lower-case hexadecimal digits."""
Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
"""An Ed25519 signature: 64 bytes as 128 lower-case hexadecimal digits."""
PhaseName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/-]{1,96}$")]
"""A phase of the protocol, as the plan derives its name; sums of one family of phases may be compared."""
StudyName = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,96}$")]
"""The study's name, 1 to 96 printable ASCII characters."""
Tag = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{80}$")]
"""A tag of `sum_tag.py`, masked or opened: 40 little-endian bytes as 80 lower-case hexadecimal digits."""
Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{1,31}$")]
"""Why a message is refused, such as `E_CONTEXT`."""
SiteId = Annotated[int, Field(ge=1, le=512)]
"""A site's number in the roster, from 1."""
Natural = Annotated[int, Field(ge=0, le=2**53)]
"""A whole number from 0 to 2^53, which every JSON reader keeps exactly."""
Bitmap = Annotated[int, Field(ge=0, lt=2**513)]
"""A set of sites: bit i is site i."""
Mode = Literal["round", "session"]
"""A round opens one sum in three round trips; a session opens many small sums over one set."""
CloseStatus = Literal["opened", "lost", "aborted"]
"""How a round or session ended: opened, given up by the coordinator, or by the site's operator."""

NO_DIGEST = "0" * 64
"""Stands where there is nothing to hash."""


def family_of(phase: str) -> str:
    """The phases that run beside each other, by one name: what stands after a slash tells them apart."""
    return phase.partition("/")[0]


class CanonicalDocument(Section):
    """A document that is hashed, signed or stored; strict, because every field must have one spelling."""

    model_config = ConfigDict(strict=True)

    def body(self) -> bytes:
        """The bytes that are hashed and signed."""
        return encode_canonical(self)


class VectorSpec(CanonicalDocument):
    """A vector as messages carry it."""

    name: Annotated[str, StringConstraints(pattern=r"^[ -~]{1,160}$")]
    """The vector's name in the plan."""
    shape: Annotated[tuple[Natural, ...], Field(max_length=8)]
    """Length of each axis, at most 8 axes."""
    ring: Ring
    """Modulo what the elements are added."""
    clip: tuple[tuple[Natural, str], ...]
    """Length and clip bound (hexadecimal float) of each segment of a model delta; otherwise empty."""
    bits: Annotated[int, Field(ge=-256, le=256)]
    """Model deltas modulo 2^32 are multiplied by 2^bits; 0 in other rings."""

    @classmethod
    def of(cls, vector: Vector) -> Self:
        """The description of a vector."""
        clip = tuple((segment.length, segment.clip.hex()) for segment in vector.segments)
        return cls(name=vector.name, shape=vector.shape, ring=vector.ring, clip=clip, bits=vector.scale_bits)

    def vector(self) -> Vector:
        """The vector that is described.

        Raises
        ------
        ProtocolError
            If no such vector can exist.
        """
        try:
            segments = tuple(Segment(length, float.fromhex(bound)) for length, bound in self.clip)
            return Vector(self.name, self.shape, self.ring, segments or None, self.bits)
        except (ValueError, OverflowError):
            raise ProtocolError("a message describes an impossible vector") from None


class VectorLayout(CanonicalDocument):
    """The vectors of one contribution, in the order of their words."""

    vectors: Annotated[tuple[VectorSpec, ...], Field(max_length=4096)]
    """At most 4096 vectors."""


class RoundRequest(CanonicalDocument):
    """M1: what is asked, under which plan and roster, from which input."""

    mode: Mode
    """Whether a round or a session begins."""
    study: StudyName
    """Name of the study."""
    plan: Digest
    """SHA-256 of the plan."""
    roster: Digest
    """SHA-256 of the roster."""
    phase: PhaseName
    """The phase that the round or session belongs to."""
    round: Natural
    """Number of the round, or of the session, in its phase; it only grows."""
    vectors: tuple[VectorSpec, ...]
    """The vectors of a round; empty in a session, where each iteration has what the site computes."""
    model: Digest
    """SHA-256 of the model, the payload's first part."""
    model_bytes: Natural
    """Length of the model in bytes: where the payload's second part begins."""
    input: Digest
    """`input_digest` of both parts of the payload: the model, and the configuration with its seed."""
    deadline: Natural
    """Unix time, seconds."""


class Join(CanonicalDocument):
    """M2: a site has its vector ready, and offers a session key."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    site: SiteId
    """Number of the site that joins."""
    key: Digest
    """Public X25519 key of this site in this round or session."""
    sets: Annotated[tuple[Bitmap, ...], Field(max_length=64)]
    """The sets over which sums of this phase that include the site were opened."""


class SignedJoin(CanonicalDocument):
    """A JOIN as the coordinator passes it on."""

    join: Join
    """The header of M2."""
    signature: Signature
    """Signature of the site that joins."""

    def is_signed_by(self, public: bytes) -> bool:
        """Whether the owner of the raw public key signed it."""
        return verify_signature(
            public, MessageKind.JOIN.name, self.join.body(), bytes.fromhex(self.signature)
        )


class ContributeRequest(CanonicalDocument):
    """M3: the set, proposed as the JOINs that its members signed."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    phase: PhaseName
    """The phase that the round or session belongs to."""
    attempt: Natural
    """Number of the attempt, from 0. A session has only attempt 0."""
    joins: Annotated[tuple[SignedJoin, ...], Field(max_length=512)]
    """The JOIN of every member."""


class Contribution(CanonicalDocument):
    """M4: a site's masked words, which are the payload."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    attempt: Natural
    """Number of the attempt, from 0."""
    set: Digest
    """SHA-256 of the agreed set (`set_digest`)."""
    site: SiteId
    """Number of the site that answers."""
    keys: Annotated[tuple[Digest, ...], Field(max_length=511)] = ()
    """From the member with the lowest number: the tag key, hidden for each other, in ascending order."""
    payload: Digest
    """SHA-256 of the payload."""


class SignedContribution(CanonicalDocument):
    """An M4 header as the coordinator passes it on."""

    contribution: Contribution
    """The header of M4."""
    signature: Signature
    """Signature of the site that contributed."""

    def is_signed_by(self, public: bytes) -> bool:
        """Whether the owner of the raw public key signed it."""
        body = self.contribution.body()
        return verify_signature(public, MessageKind.CONTRIBUTION.name, body, bytes.fromhex(self.signature))


class RevealRequest(CanonicalDocument):
    """M5: the proof that every member contributed to one set in one attempt."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    phase: PhaseName
    """The phase that the round or session belongs to."""
    attempt: Natural
    """Number of the attempt whose sum is to be opened."""
    contributions: Annotated[tuple[SignedContribution, ...], Field(max_length=512)]
    """The signed M4 header of every member."""


class Reveal(CanonicalDocument):
    """M6: the seed of the site's own mask, and the tags that will prove the sum to the members."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    attempt: Natural
    """Number of the attempt, from 0."""
    site: SiteId
    """Number of the site that answers."""
    seed: Digest
    """The 32 random bytes from which the site derived its own mask in this attempt."""
    tags: Annotated[tuple[Tag, ...], Field(max_length=4096)]
    """The masked tag of each of the site's vectors, in their order."""


class Close(CanonicalDocument):
    """M7: nothing more will be asked; the site erases what it kept."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    phase: PhaseName
    """The phase that the round or session belongs to."""
    status: CloseStatus
    """How it ended."""
    result: Digest
    """SHA-256 of what was made of the sum, such as the next model; `NO_DIGEST` if nothing was."""
    weight: Natural = 0
    """Total weight of the sites, by which the result divides the sum; 0 if the sum itself says it."""
    tags: Annotated[tuple[Tag, ...], Field(max_length=4096)] = ()
    """The opened tag of each vector whose sum comes back, in the order of the vectors."""
    sums: Digest = NO_DIGEST
    """SHA-256 of the sums that come back, the payload's first part; `NO_DIGEST` if none do."""
    sums_bytes: Natural = 0
    """Length of the sums in bytes: where the next round's M1 begins, if there is one."""


class Closed(CanonicalDocument):
    """The answer to M7: the site has erased what it kept."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    site: SiteId
    """Number of the site that answers."""


class Admitted(CanonicalDocument):
    """The answer to M3 in a session: the site agrees to the set."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    set: Digest
    """SHA-256 of the agreed set (`set_digest`)."""
    site: SiteId
    """Number of the site that answers."""


class Iterate(CanonicalDocument):
    """A request for one iteration of a session; the payload is the broadcast parameters."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    phase: PhaseName
    """The phase that the round or session belongs to."""
    set: Digest
    """SHA-256 of the agreed set (`set_digest`)."""
    step: Annotated[int, Field(ge=1, le=2**31)]
    """Number of the iteration, from 1; each follows the last."""
    input: Digest
    """SHA-256 of the payload."""


class Iteration(CanonicalDocument):
    """The answer to ITERATE: the payload is the layout (payload.py), then the masked words."""

    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    set: Digest
    """SHA-256 of the agreed set (`set_digest`)."""
    step: Natural
    """Number of the iteration that is answered."""
    site: SiteId
    """Number of the site that answers."""
    layout_bytes: Natural
    """Length of the payload's first part, the layout, in bytes."""
    payload: Digest
    """SHA-256 of the payload's parts (`digest_iteration`): some can be shown without the others."""


class ProtocolRefusal(CanonicalDocument):
    """The answer to a message that is refused: a code, and never a text."""

    request: Digest
    """SHA-256 of the refused message's header; of nothing if the message could not be taken apart."""
    site: SiteId
    """Number of the site that answers."""
    code: Code
    """Why, such as `E_CONTEXT`."""


_USUAL_LIMIT = 600

LIMITS = {
    MessageKind.CONTRIBUTION: 1 << 17,
    MessageKind.REVEAL: 1 << 19,
    MessageKind.CLOSE: 1 << 19,
    MessageKind.ROUND_REQUEST: 1 << 17,
    MessageKind.JOIN: 12_000,
    MessageKind.CONTRIBUTE_REQUEST: 1 << 20,
    MessageKind.REVEAL_REQUEST: 1 << 20,
    MessageKind.ROSTER: 1 << 17,
    MessageKind.WAIVER: 1 << 13,
}
"""The greatest number of bytes of a header by kind; `_USUAL_LIMIT` for the other kinds."""

DocumentType = TypeVar("DocumentType", bound=CanonicalDocument)


def read(frame: MessageFrame, kind: MessageKind, model: type[DocumentType]) -> DocumentType:
    """The header of a message of the expected kind.

    Raises
    ------
    ProtocolError
        If the message is of another kind, or its header has unknown or missing fields or a second spelling.
    """
    if frame.kind is not kind:
        raise ProtocolError(f"a message of kind {frame.kind.name} came where {kind.name} was expected")
    return read_header(frame.header, LIMITS.get(kind, _USUAL_LIMIT), model)


def read_header(header: bytes, limit: int, model: type[DocumentType]) -> DocumentType:
    """A document of at most `limit` bytes.

    Raises
    ------
    ProtocolError
        If it is longer, is not canonical, or does not fit the model.
    """
    parse_canonical(header, limit)
    try:
        # From JSON, where a list is how a tuple is written
        document = model.model_validate_json(header)
    except ValidationError as failure:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in failure.errors()[:3])
        raise ProtocolError(f"a {model.__name__} is malformed: {fields}") from None
    if document.body() != header:
        raise ProtocolError(f"a {model.__name__} leaves fields out")
    return document


def input_digest(model: str, configuration: bytes | memoryview) -> str:
    """SHA-256 of all that a site computes from: the model's SHA-256, and the configuration with its seed.

    The parts are hashed one by one, so that two splits of the same bytes differ and a model is hashed once.
    """
    return sha256(b"SA1/input\0", bytes.fromhex(model), configuration)


def set_digest(joins: tuple[SignedJoin, ...]) -> str:
    """SHA-256 of a set: of its members' JOINs, whatever their order in the message."""
    return sha256(*sorted(signed.join.body() for signed in joins))


def bitmap_of(sites: tuple[int, ...] | frozenset[int]) -> int:
    """The set as one number: bit i is site i."""
    return sum(1 << site for site in frozenset(sites))
