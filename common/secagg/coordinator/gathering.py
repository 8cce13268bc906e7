"""What the server's rounds and sessions share: whom they ask, whose answers count, and the set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.secagg.codes import SecAggError
from common.secagg.crypto.masks import Suite
from common.secagg.crypto.rings import Vector
from common.secagg.site.release_rules import choose_set, sites_of
from common.secagg.site.rules import Clock, wall_clock
from common.secagg.wire.frames import Bytes, MessageFrame, MessageKind, pack, sha256, unpack
from common.secagg.wire.messages import (
    CanonicalDocument,
    Close,
    Closed,
    CloseStatus,
    ContributeRequest,
    DocumentType,
    Join,
    Mode,
    ProtocolRefusal,
    RoundRequest,
    SignedJoin,
    VectorSpec,
    bitmap_of,
    input_digest,
    read,
)
from common.secagg.wire.roster import Roster


class SiteRefusedError(SecAggError):
    """A site refused; nothing is known but its name and the code.

    Attributes
    ----------
    site : str
        Name of the site.
    """

    def __init__(self, site: str, code: str) -> None:
        super().__init__(f"site {site} refused: {code}", code=code)
        self.site = site


@dataclass(frozen=True)
class Coordinator:
    """The coordinator in one study.

    Attributes
    ----------
    key : Ed25519PrivateKey
        Signs every message to the sites.
    roster : Roster
        As the authority signed it.
    clock : Clock
        Tells the time from which deadlines count.
    """

    key: Ed25519PrivateKey = field(repr=False)
    roster: Roster
    clock: Clock = wall_clock

    def say(self, kind: MessageKind, header: CanonicalDocument, *payload: Bytes) -> bytes:
        """A signed message; the same header and payload give the same bytes."""
        return pack(kind, header.body(), self.key, *payload)

    def hear(
        self, site: str, message: Bytes, kind: MessageKind, model: type[DocumentType]
    ) -> tuple[DocumentType, MessageFrame]:
        """The header of a site's answer, and the answer taken apart, once the site's signature is checked.

        Raises
        ------
        SiteRefusedError
            If it is a refusal.
        SecAggError
            S_SIG if somebody else signed it.
        ProtocolError
            If it is malformed, or the roster has no such site.
        """
        frame = unpack(message)
        member = self.roster.find_by_name(site)
        if not frame.is_signed_by(bytes.fromhex(member.key)):
            raise SecAggError(f"site {site} did not sign this answer", code="S_SIG")
        if frame.kind is MessageKind.REFUSAL:
            raise SiteRefusedError(site, read(frame, MessageKind.REFUSAL, ProtocolRefusal).code)
        header = read(frame, kind, model)
        if getattr(header, "site", None) != member.id:
            raise SecAggError(f"site {site} answered in the name of another", code="S_SIG")
        return header, frame

    def names(self, sites: Iterable[int]) -> tuple[str, ...]:
        """The sites' names by their numbers, in the same order."""
        known = {member.id: member.name for member in self.roster.sites}
        return tuple(known[site] for site in sites)


@dataclass(frozen=True)
class HidingTask:
    """What a round or a session is about.

    Attributes
    ----------
    mode : "round" or "session"
        Whether one vector is summed once, or many small sums are asked of one set.
    phase : str
        Name of the phase.
    round : int
        Number of the round or session, from 1; it only grows within the phase.
    vectors : tuple of Vector
        What a round sums; empty in a session.
    max_age_s : int
        Seconds from the request to its deadline.
    sites : tuple of str
        Names of the sites to ask; all of the roster if empty.
    absent : frozenset of int
        Numbers of the sites whose absence from the phase a waiver allows.
    suite : Suite
        Cipher of the masks, as in the plan.
    returned : tuple of str
        Names of a round's vectors whose sums come back to members.
    keeps_words : bool
        Whether the opened sums of a round's model deltas stay words: whoever derives weights from them goes
        through them piece by piece.
    required : frozenset of int
        Numbers of the sites without which sites refuse every set: it waits where it is for them.
    """

    mode: Mode
    phase: str
    round: int = 1
    vectors: tuple[Vector, ...] = ()
    max_age_s: int = 86_400
    sites: tuple[str, ...] = ()
    absent: frozenset[int] = frozenset()
    suite: Suite = "aes-256-ctr"
    returned: tuple[str, ...] = ()
    keeps_words: bool = False
    required: frozenset[int] = frozenset()

    def request(self, coordinator: Coordinator, model: Bytes, configuration: bytes) -> RoundRequest:
        """M1's header; its deadline counts from now."""
        return self.request_from(coordinator, (sha256(model), len(model)), configuration)

    def request_from(
        self, coordinator: Coordinator, model: tuple[str, int], configuration: bytes
    ) -> RoundRequest:
        """M1's header, as `request` makes it, from SHA-256 and length of the model."""
        roster, (digest, length) = coordinator.roster, model
        return RoundRequest(
            mode=self.mode,
            study=roster.study,
            plan=roster.plan,
            roster=roster.digest,
            phase=self.phase,
            round=self.round,
            vectors=tuple(VectorSpec.of(vector) for vector in self.vectors),
            model=digest,
            model_bytes=length,
            input=input_digest(digest, configuration),
            deadline=coordinator.clock() + self.max_age_s,
        )


class Assembly:
    """Asks sites to join, and makes a set of those that did.

    Attributes
    ----------
    request : RoundRequest
        M1's header.
    hdr : str
        SHA-256 of M1's header, 64 hexadecimal digits.
    joins : dict of str to SignedJoin
        By the site's name.
    """

    def __init__(self, coordinator: Coordinator, question: HidingTask, request: RoundRequest) -> None:
        self._coordinator = coordinator
        self._question = question
        self.request = request
        self.hdr = sha256(request.body())
        self.joins: dict[str, SignedJoin] = {}

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the sites that are asked."""
        return self._question.sites or tuple(member.name for member in self._coordinator.roster.sites)

    def receive(self, site: str, message: Bytes) -> None:
        """Take a JOIN.

        Raises
        ------
        SecAggError
            S_CONTEXT if it belongs to another round; also as `Coordinator.hear`.
        """
        join, frame = self._coordinator.hear(site, message, MessageKind.JOIN, Join)
        if join.hdr != self.hdr:
            raise SecAggError(f"site {site} joined another round", code="S_CONTEXT")
        self.joins[site] = SignedJoin(join=join, signature=frame.signature.hex())

    def choose(self, ready: Iterable[str]) -> tuple[SignedJoin, ...]:
        """The JOINs of the largest set that every site will accept, in the order of the sites' numbers.

        Raises
        ------
        SecAggError
            E_MIN or E_SET_CHANGE if there is no such set; E_SET_INCOMPLETE if a site is missing without which
            there must be none.
        """
        roster = self._coordinator.roster
        joins = {self.joins[name].join.site: self.joins[name] for name in ready}
        earlier = sorted({members for signed in self.joins.values() for members in signed.join.sets})
        rules = (roster.minimum, roster.colluders)
        members = sites_of(choose_set(earlier, bitmap_of(tuple(joins)), self._question.absent, rules))
        if missing := sorted(self._question.required.difference(members)):
            names = ", ".join(self._coordinator.names(missing))
            raise SecAggError(f"not in the sum: {names}", code="E_SET_INCOMPLETE")
        return tuple(joins[site] for site in members)

    def contribute(self, attempt: int, joins: tuple[SignedJoin, ...]) -> bytes:
        """M3, the request to contribute to this set."""
        header = ContributeRequest(hdr=self.hdr, phase=self.request.phase, attempt=attempt, joins=joins)
        return self._coordinator.say(MessageKind.CONTRIBUTE_REQUEST, header)

    def close(self, status: CloseStatus, result: str) -> bytes:
        """M7, which lets the sites forget the round or session."""
        header = Close(hdr=self.hdr, phase=self.request.phase, status=status, result=result)
        return self._coordinator.say(MessageKind.CLOSE, header)

    def receive_closed(self, site: str, message: Bytes) -> None:
        """Take the answer to M7; a site that had not begun has nothing to close.

        Raises
        ------
        SiteRefusedError
            If the site refuses for another reason than that.
        SecAggError
            S_CONTEXT if it belongs to another round; also as `Coordinator.hear`.
        """
        try:
            closed, _ = self._coordinator.hear(site, message, MessageKind.CLOSED, Closed)
        except SiteRefusedError as refusal:
            if refusal.code != "E_NO_STATE":
                raise
        else:
            if closed.hdr != self.hdr:
                raise SecAggError(f"site {site} closed another round", code="S_CONTEXT")
