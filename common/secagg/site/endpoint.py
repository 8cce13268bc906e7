"""A site's side of the protocol: bytes in, bytes out, independent of the network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from common.errors import RheError
from common.secagg.codes import SecAggError
from common.secagg.site.files import SiteFiles
from common.secagg.site.handler import Party, read_contribute
from common.secagg.site.history import Ended, Waived
from common.secagg.site.opening import answer_request
from common.secagg.site.round import contribute, reveal
from common.secagg.site.rules import (
    Clock,
    Compute,
    ProtocolPolicy,
    Randomness,
    system_randomness,
    wall_clock,
)
from common.secagg.site.session import admit, forget_keys, iterate
from common.secagg.site.state import SessionState
from common.secagg.wire.frames import Bytes, MessageFrame, MessageKind, pack, sha256, unpack
from common.secagg.wire.messages import Close, Closed, ProtocolRefusal, RoundRequest, read
from common.secagg.wire.roster import Identity, Pin, Roster, check_roster, read_roster, read_waiver

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SiteMachine:
    """Answers the coordinator's messages for one site in one study.

    Attributes
    ----------
    identity : Identity
        The site's key and number.
    authority : bytes
        The authority's raw public Ed25519 key, 32 bytes, which the site pinned at enrolment.
    files : SiteFiles
        The folder of the study; holds the approved roster, see `approve_roster`.
    policy : ProtocolPolicy
        What the plan allows.
    compute : Compute
        The engine's computation.
    clock : Clock
        Tells the time; replaced in tests.
    randomness : Randomness
        Where secrets come from; replaced in simulations.
    """

    identity: Identity
    authority: bytes
    files: SiteFiles
    policy: ProtocolPolicy
    compute: Compute
    clock: Clock = wall_clock
    randomness: Randomness = system_randomness

    def handle(self, message: Bytes) -> Bytes:
        """The answer, or a refusal with a code; raises no exception, because this is the site's boundary.

        A CLOSE may carry the next round's M1 as its payload; then the answer is that to M1.
        """
        digest = sha256(b"")
        try:
            frame = unpack(message)
            digest = frame.digest
            with self.files.lock():
                answer = self._answer(frame)
                if frame.kind is MessageKind.CLOSE and frame.payload:
                    answer = self._answer(_read_carried(frame))
                return answer
        except RheError as refusal:
            _log.warning("refused code=%s reason=%s", refusal.code, refusal)
            code = refusal.code
        except Exception:  # noqa: BLE001 - no text of an exception leaves the site
            _log.exception("failed code=E_INTERNAL")
            code = "E_INTERNAL"
        return self._refuse(digest, code)

    def abort(self, phase: str) -> None:
        """Wipe what a phase has open, at the wish of the site's operator.

        Raises
        ------
        SecAggError
            E_BUSY if a message is being answered; E_NO_STATE if nothing is open.
        """
        with self.files.lock():
            state = self.files.read(phase)
            if state is None:
                raise SecAggError("nothing is open in this phase", code="E_NO_STATE")
            party = self._make_party()
            self._end(
                party, state.asked, Close(hdr=state.hdr, phase=phase, status="aborted", result="0" * 64)
            )

    def sweep(self) -> None:
        """Wipe what has passed its deadline without waiting for a message; also done at every M1.

        Raises
        ------
        SecAggError
            E_BUSY if a message is being answered.
        """
        with self.files.lock():
            self._sweep(self._make_party())

    def _make_party(self) -> Party:
        message = self.files.read_roster()
        if message is None:
            raise SecAggError("the site has approved no roster", code="E_CONTEXT")
        roster = read_roster(message, self.authority)
        return Party(
            self.identity, roster, self.files, self.policy, self.compute, self.clock, self.randomness
        )

    def _answer(self, frame: MessageFrame) -> Bytes:
        if self.files.history.is_burned:
            raise SecAggError("the site was restored -> a waiver is needed to go on", code="E_RESTORED")
        party = self._make_party()
        if not frame.is_signed_by(bytes.fromhex(party.roster.coordinator)):
            # Anybody may have sent this, so the audit keeps only its digest
            party.audit("REFUSED", None, code="E_COORD_SIG", hdr=frame.digest)
            raise SecAggError("the coordinator did not sign this", code="E_COORD_SIG")
        try:
            return self._dispatch(party, frame)
        except Exception as failure:
            code = failure.code if isinstance(failure, RheError) else "E_INTERNAL"
            party.audit("REFUSED", None, frame, code=code)
            raise

    def _dispatch(self, party: Party, frame: MessageFrame) -> Bytes:
        match frame.kind:
            case MessageKind.ROUND_REQUEST:
                self._sweep(party)
                return answer_request(party, frame)
            case MessageKind.CONTRIBUTE_REQUEST:
                state = self.files.read(read_contribute(frame).phase)
                answer = admit if isinstance(state, SessionState) else contribute
                return answer(party, frame)
            case MessageKind.REVEAL_REQUEST:
                return reveal(party, frame)
            case MessageKind.ITERATE:
                return iterate(party, frame)
            case MessageKind.CLOSE:
                return self._close(party, read(frame, MessageKind.CLOSE, Close))
            case _:
                raise SecAggError("no site is asked this", code="E_CONTEXT")

    def _sweep(self, party: Party) -> None:
        for state in self.files.read_all():
            if state.asked.deadline < self.clock():
                party.erase(state.asked, "deadline")
        if self.files.wipe_orphans():
            party.audit("ERASE", None, reason="orphan")

    def _close(self, party: Party, request: Close) -> bytes:
        """The answer to M7, which may come again.

        Raises
        ------
        SecAggError
            E_NO_STATE if no such round was begun; E_CONTEXT if it was closed with another result.
        """
        last, ended = self.files.history.find_begun(request.phase), self.files.history.find_end(request.hdr)
        if ended is None:
            if last is None or last.hdr != request.hdr:
                raise SecAggError("no such round was begun", code="E_NO_STATE")
            self._end(party, None, request)
        elif ended.status != "aborted" and (ended.status, ended.result) != (request.status, request.result):
            raise SecAggError("the round was closed with another result", code="E_CONTEXT")
        answer = Closed(hdr=request.hdr, site=party.site)
        return pack(MessageKind.CLOSED, answer.body(), self.identity.key)

    def _end(self, party: Party, request: RoundRequest | None, close: Close) -> None:
        """End a round or session; wipes a damaged state, too, because it reads nothing of it."""
        self.files.wipe(close.phase)
        forget_keys()
        self.files.record(Ended(phase=close.phase, hdr=close.hdr, status=close.status, result=close.result))
        party.audit("ERASE", request, reason=close.status, hdr=close.hdr)

    def _refuse(self, request: str, code: str) -> bytes:
        refusal = ProtocolRefusal(request=request, site=self.identity.site, code=code)
        return pack(MessageKind.REFUSAL, refusal.body(), self.identity.key)


def _read_carried(close: MessageFrame) -> MessageFrame:
    """The M1 that a CLOSE carries; its own signature is checked like that of any message.

    Raises
    ------
    SecAggError
        E_CONTEXT if it carries another message.
    """
    frame = unpack(close.payload)
    if frame.kind is not MessageKind.ROUND_REQUEST:
        raise SecAggError("a close carries another message than a round request", code="E_CONTEXT")
    return frame


def approve_roster(files: SiteFiles, message: bytes, pin: Pin) -> Roster:
    """The roster, which is in force at this site from now on.

    Raises
    ------
    SecAggError
        As `check_roster`; E_BUSY if a message is being answered.
    """
    with files.lock():
        known = files.read_roster()
        version = -1 if known is None else read_roster(known, pin.authority).version
        roster = check_roster(message, replace(pin, version=max(version, pin.version)))
        files.keep_roster(message)
        return roster


def approve_waiver(files: SiteFiles, message: bytes, pin: Pin) -> None:
    """Accept a waiver at this site; accepting it again has no effect.

    Raises
    ------
    SecAggError
        E_ROSTER_SIG if the authority did not sign it; E_CONTEXT if it is of another study, roster or site, or
        the site has approved no roster; E_BUSY if a message is being answered.
    """
    with files.lock():
        known = files.read_roster()
        if known is None:
            raise SecAggError("the site has approved no roster", code="E_CONTEXT")
        waiver = read_waiver(message, pin.authority, read_roster(known, pin.authority))
        if waiver.kind == "restored" and waiver.site != pin.site:
            raise SecAggError("the waiver is of another site", code="E_CONTEXT")
        digest = sha256(waiver.body())
        if not files.history.has_waiver(digest):
            files.record(
                Waived(
                    waiver=digest,
                    kind=waiver.kind,
                    phase=waiver.phase,
                    absent=waiver.absent,
                    definition=waiver.definition,
                )
            )
