"""What a site remembers of an open round or session between two messages."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from common.errors import ProtocolError
from common.secagg.canonical import parse
from common.secagg.errors import SecAggError
from common.secagg.history import Release
from common.secagg.messages import Count, Digest, Header, RoundRequest, SignedContribution, SignedJoin
from common.secagg.wire import sha256

_LONGEST = 1 << 24


class Opened(Header):
    """What rounds and sessions have in common."""

    sequence: Count = 0
    """Of the phase's states; the witness knows the last."""
    request: str
    """M1, as it was signed."""
    join: SignedJoin
    private: str
    """X25519, hexadecimal; empty once erased."""
    joins: tuple[SignedJoin, ...] = ()
    """The set; empty before M3."""
    set: str = ""
    """Its digest."""

    @property
    def hdr(self) -> str:
        """Digest of M1."""
        return sha256(self.request.encode("ascii"))

    @property
    def asked(self) -> RoundRequest:
        """M1."""
        return RoundRequest.model_validate_json(self.request)

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the set's sites, in ascending order."""
        return tuple(sorted(signed.join.site for signed in self.joins))


class RoundState(Opened):
    """An open round: joined (attempt -1), uploaded, or revealed."""

    mode: Literal["round"] = "round"
    encoded: tuple[Digest, ...]
    """SHA-256 of each vector before masking."""
    attempt: Annotated[int, Field(ge=-1)] = -1
    seed: str = ""
    """Of the own mask in this attempt, hexadecimal."""
    contribution: SignedContribution | None = None
    """As it left in this attempt."""
    definitions: tuple[Digest, ...]
    """Of the static statistics among the vectors."""
    reveal: str = ""
    """Digest of the M5 that was answered; empty before."""


class SessionState(Opened):
    """An open session."""

    mode: Literal["session"] = "session"
    step: Count = 0
    """Of the last answer; 0 before the first."""
    question: str = ""
    """Digest of the request that it answers."""
    reply: str = ""
    """SHA-256 of the answer."""
    release: Release | None = None
    """What the ledger says, or must say before the answer leaves."""


State: TypeAlias = RoundState | SessionState

_STATES: TypeAdapter[State] = TypeAdapter(Annotated[State, Field(discriminator="mode")])


def read_state(data: bytes) -> State:
    """The state that `State.body` wrote.

    Raises
    ------
    SecAggError
        E_STATE_CORRUPT if it is something else.
    """
    try:
        parse(data, _LONGEST)
        return _STATES.validate_json(data)
    except (ProtocolError, ValidationError):
        raise SecAggError("a round's state is damaged", code="E_STATE_CORRUPT") from None
