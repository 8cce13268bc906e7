"""What a site remembers of an open round or session between two messages."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from common.errors import ProtocolError
from common.secagg.codes import SecAggError
from common.secagg.site.history import Release
from common.secagg.wire.canonical import parse_canonical
from common.secagg.wire.frames import sha256
from common.secagg.wire.messages import (
    CanonicalDocument,
    Digest,
    Natural,
    RoundRequest,
    SignedContribution,
    SignedJoin,
    Tag,
)

_LONGEST = 1 << 24


class Opened(CanonicalDocument):
    """What the states of rounds and sessions have in common."""

    sequence: Natural = 0
    """Serial number of the phase's states; the witness keeps the last."""
    request: str
    """M1's header as it was signed: canonical JSON."""
    join: SignedJoin
    """M2, as the site answered."""
    private: str
    """Private X25519 session key, hexadecimal; empty once erased."""
    joins: tuple[SignedJoin, ...] = ()
    """The JOINs of the set's members; empty before M3."""
    set: str = ""
    """SHA-256 of the set (`set_digest`); empty before M3."""

    @property
    def hdr(self) -> str:
        """SHA-256 of M1's header, 64 hexadecimal digits."""
        return sha256(self.request.encode("ascii"))

    @property
    def asked(self) -> RoundRequest:
        """M1's header."""
        return RoundRequest.model_validate_json(self.request)

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the set's sites, in ascending order."""
        return tuple(sorted(signed.join.site for signed in self.joins))


class RoundState(Opened):
    """An open round: joined (attempt -1), uploaded, or revealed."""

    mode: Literal["round"] = "round"
    """The file's word for this kind of state."""
    encoded: tuple[Digest, ...]
    """SHA-256 of each vector before masking."""
    attempt: Annotated[int, Field(ge=-1)] = -1
    """Number of the latest attempt, from 0; -1 before M3."""
    seed: str = ""
    """Of the site's own mask in this attempt, 64 hexadecimal digits; empty before M3."""
    contribution: SignedContribution | None = None
    """The header of M4 as it left in this attempt; None before it is kept."""
    definitions: tuple[Digest, ...]
    """SHA-256 of the definition of each static statistic among the vectors."""
    reveal: str = ""
    """SHA-256 of the header of the M5 that was answered; empty before."""
    tag_key: str = ""
    """The set's tag key of this attempt, 64 hexadecimal digits: known to the member with the lowest number
    from M3 on, to the others from M5 on; empty before."""
    tags: tuple[Tag, ...] = ()
    """The masked tags as M6 answered them; empty before."""

    def without_mask_keys(self) -> RoundState:
        """The same without the keys from which this site's masks follow."""
        return self.model_copy(update={"private": "", "seed": ""})


class SessionState(Opened):
    """An open session: joined, admitted to a set, or iterating."""

    mode: Literal["session"] = "session"
    """The file's word for this kind of state."""
    step: Natural = 0
    """Number of the iteration answered last; 0 before the first."""
    question: str = ""
    """SHA-256 of the header of the request answered last; empty before the first."""
    reply: str = ""
    """SHA-256 of the last answer; empty before the first."""
    release: Release | None = None
    """The ledger's entry of the last answer: it is recorded before the answer leaves."""
    returned: tuple[Natural, ...] = ()
    """Positions in the last answer's layout of the vectors whose sums come back to this site."""
    note: str = ""
    """What the engine needs to read these sums."""


SiteState: TypeAlias = RoundState | SessionState
"""What a site keeps of one phase; `mode` says which of the two."""

_STATES: TypeAdapter[SiteState] = TypeAdapter(Annotated[SiteState, Field(discriminator="mode")])


def read_state(data: bytes) -> SiteState:
    """The state in a file.

    Raises
    ------
    SecAggError
        E_STATE_CORRUPT if it is damaged.
    """
    try:
        parse_canonical(data, _LONGEST)
        return _STATES.validate_json(data)
    except (ProtocolError, ValidationError):
        raise SecAggError("a round's state is damaged", code="E_STATE_CORRUPT") from None
