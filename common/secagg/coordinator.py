"""What the server's rounds and sessions share: who is asked, whose answers count, and the set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.secagg.errors import SecAggError
from common.secagg.masks import Suite
from common.secagg.messages import (
    Close,
    Closed,
    ContributeRequest,
    Header,
    Join,
    Mode,
    Refusal,
    RoundRequest,
    SignedJoin,
    Status,
    VectorSpec,
    bitmap,
    input_digest,
    read,
)
from common.secagg.policy import Clock, wall_clock
from common.secagg.releases import choose_set, sites_of
from common.secagg.roster import Roster
from common.secagg.vectors import Vector
from common.secagg.wire import Bytes, Frame, Kind, pack, sha256, unpack


class SiteRefusedError(SecAggError):
    """A site refused; its name and code are all that is known.

    Attributes
    ----------
    site : str
    """

    def __init__(self, site: str, code: str) -> None:
        super().__init__(f"site {site} refused: {code}", code=code)
        self.site = site


Message = TypeVar("Message", bound=Header)


@dataclass(frozen=True)
class Coordinator:
    """The coordinator in one study.

    Attributes
    ----------
    key : Ed25519PrivateKey
    roster : Roster
        As the authority signed it.
    clock : Clock
    """

    key: Ed25519PrivateKey = field(repr=False)
    roster: Roster
    clock: Clock = wall_clock

    def say(self, kind: Kind, header: Header, *payload: Bytes) -> bytes:
        """A signed message; the same for the same header."""
        return pack(kind, header.body(), self.key, *payload)

    def hear(self, site: str, message: Bytes, kind: Kind, model: type[Message]) -> tuple[Message, Frame]:
        """A site's answer, once it is sure that the site gave it.

        Raises
        ------
        SiteRefusedError
            If it is a refusal.
        SecAggError
            S_SIG if another signed it.
        ProtocolError
            If it is malformed.
        """
        frame = unpack(message)
        member = self.roster.named(site)
        if not frame.is_signed_by(bytes.fromhex(member.key)):
            raise SecAggError(f"site {site} did not sign this answer", code="S_SIG")
        if frame.kind is Kind.REFUSAL:
            raise SiteRefusedError(site, read(frame, Kind.REFUSAL, Refusal).code)
        header = read(frame, kind, model)
        if getattr(header, "site", None) != member.id:
            raise SecAggError(f"site {site} answered in the name of another", code="S_SIG")
        return header, frame

    def names(self, sites: Iterable[int]) -> tuple[str, ...]:
        """The sites' names."""
        known = {member.id: member.name for member in self.roster.sites}
        return tuple(known[site] for site in sites)


@dataclass(frozen=True)
class Question:
    """What a round or a session is about.

    Attributes
    ----------
    mode : "round" or "session"
    phase : str
    round : int
        From 1; it only grows within the phase.
    vectors : tuple of Vector
        Of a round.
    max_age_s : int
        Until the deadline.
    sites : tuple of str
        Whom to ask; all of the roster if empty.
    absent : frozenset of int
        Sites whose absence from the phase a waiver allows.
    suite : Suite
        Cipher of the masks, as in the plan.
    """

    mode: Mode
    phase: str
    round: int = 1
    vectors: tuple[Vector, ...] = ()
    max_age_s: int = 86_400
    sites: tuple[str, ...] = ()
    absent: frozenset[int] = frozenset()
    suite: Suite = "aes-256-ctr"

    def request(self, coordinator: Coordinator, model: Bytes, configuration: bytes) -> RoundRequest:
        """M1's header."""
        roster, digest = coordinator.roster, sha256(model)
        return RoundRequest(
            mode=self.mode,
            study=roster.study,
            plan=roster.plan,
            roster=roster.digest,
            phase=self.phase,
            round=self.round,
            vectors=tuple(VectorSpec.of(vector) for vector in self.vectors),
            model=digest,
            model_bytes=len(model),
            input=input_digest(digest, configuration),
            deadline=coordinator.clock() + self.max_age_s,
        )


class Assembly:
    """Asks sites to join, and makes a set of those that did.

    Attributes
    ----------
    request : RoundRequest
    hdr : str
        Its digest.
    joins : dict of str to SignedJoin
        By the site's name.
    """

    def __init__(self, coordinator: Coordinator, question: Question, request: RoundRequest) -> None:
        self._coordinator = coordinator
        self._question = question
        self.request = request
        self.hdr = sha256(request.body())
        self.joins: dict[str, SignedJoin] = {}

    @property
    def asked(self) -> tuple[str, ...]:
        """Whose answer is wanted."""
        return self._question.sites or tuple(member.name for member in self._coordinator.roster.sites)

    def receive(self, site: str, message: Bytes) -> None:
        """Takes a JOIN.

        Raises
        ------
        SecAggError
            S_CONTEXT if it is of another round; as `Coordinator.hear`.
        """
        join, frame = self._coordinator.hear(site, message, Kind.JOIN, Join)
        if join.hdr != self.hdr:
            raise SecAggError(f"site {site} joined another round", code="S_CONTEXT")
        self.joins[site] = SignedJoin(join=join, signature=frame.signature.hex())

    def choose(self, ready: Iterable[str]) -> tuple[SignedJoin, ...]:
        """The JOINs of the largest set that every site will accept, in the order of their numbers.

        Raises
        ------
        SecAggError
            E_MIN or E_SET_CHANGE if there is none.
        """
        roster = self._coordinator.roster
        joins = {self.joins[name].join.site: self.joins[name] for name in ready}
        earlier = sorted({one for signed in self.joins.values() for one in signed.join.sets})
        rules = (roster.minimum, roster.colluders)
        members = choose_set(earlier, bitmap(tuple(joins)), self._question.absent, rules)
        return tuple(joins[site] for site in sites_of(members))

    def contribute(self, attempt: int, joins: tuple[SignedJoin, ...]) -> bytes:
        """M3."""
        header = ContributeRequest(hdr=self.hdr, phase=self.request.phase, attempt=attempt, joins=joins)
        return self._coordinator.say(Kind.CONTRIBUTE_REQUEST, header)

    def close(self, status: Status, result: str) -> bytes:
        """M7."""
        header = Close(hdr=self.hdr, phase=self.request.phase, status=status, result=result)
        return self._coordinator.say(Kind.CLOSE, header)

    def receive_closed(self, site: str, message: Bytes) -> None:
        """Takes the answer to M7; a site that had not begun has nothing to close.

        Raises
        ------
        SecAggError
            S_CONTEXT if it is of another round; as `Coordinator.hear`.
        """
        try:
            closed, _ = self._coordinator.hear(site, message, Kind.CLOSED, Closed)
        except SiteRefusedError as refusal:
            if refusal.code != "E_NO_STATE":
                raise
        else:
            if closed.hdr != self.hdr:
                raise SecAggError(f"site {site} closed another round", code="S_CONTEXT")
