"""A site's side of the protocol: bytes in, bytes out, and nothing of the network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from common.errors import RheError
from common.secagg.errors import SecAggError
from common.secagg.files import SiteFiles
from common.secagg.history import Ended, Waived
from common.secagg.messages import Close, Closed, Refusal, RoundRequest, read
from common.secagg.opening import answer_request
from common.secagg.party import Party, read_contribute
from common.secagg.policy import Clock, Compute, Policy, Randomness, system_randomness, wall_clock
from common.secagg.roster import Identity, Pin, Roster, check_roster, read_roster, read_waiver
from common.secagg.session import admit, forget_keys, iterate
from common.secagg.site_round import contribute, reveal
from common.secagg.state import SessionState
from common.secagg.wire import Bytes, Frame, Kind, pack, sha256, unpack

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SiteMachine:
    """Answers the coordinator's messages for one site in one study.

    Attributes
    ----------
    identity : Identity
    authority : bytes
        Raw Ed25519 key that the site pinned at enrolment.
    files : SiteFiles
        Holds the approved roster; see `approve_roster`.
    policy : Policy
    compute : Compute
    clock, randomness
        Replaced in tests and simulations.
    """

    identity: Identity
    authority: bytes
    files: SiteFiles
    policy: Policy
    compute: Compute
    clock: Clock = wall_clock
    randomness: Randomness = system_randomness

    def handle(self, message: Bytes) -> Bytes:
        """The answer, or a refusal with a code; never raises but for Ctrl-C: this is the site's boundary.

        A CLOSE may carry the next round's question, which is then answered in its stead.
        """
        digest = sha256(b"")
        try:
            frame = unpack(message)
            digest = frame.digest
            with self.files.locked():
                answer = self._answered(frame)
                if frame.kind is Kind.CLOSE and frame.payload:
                    answer = self._answered(_carried(frame))
                return answer
        except RheError as refusal:
            _log.warning("refused code=%s reason=%s", refusal.code, refusal)
            code = refusal.code
        except Exception:  # noqa: BLE001 - no text of an exception leaves the site
            _log.exception("failed code=E_INTERNAL")
            code = "E_INTERNAL"
        return self._refusal(digest, code)

    def abort(self, phase: str) -> None:
        """Wipes what a phase has open, because the site's operator wants it so.

        Raises
        ------
        SecAggError
            E_BUSY if a message is being answered; E_NO_STATE if nothing is open.
        """
        with self.files.locked():
            state = self.files.read(phase)
            if state is None:
                raise SecAggError("nothing is open in this phase", code="E_NO_STATE")
            party = self._party()
            self._end(
                party, state.asked, Close(hdr=state.hdr, phase=phase, status="aborted", result="0" * 64)
            )

    def sweep(self) -> None:
        """Wipes what has passed its deadline, although no message came; also done at every M1.

        Raises
        ------
        SecAggError
            E_BUSY if a message is being answered.
        """
        with self.files.locked():
            self._sweep(self._party())

    def _party(self) -> Party:
        message = self.files.read_roster()
        if message is None:
            raise SecAggError("the site has approved no roster", code="E_CONTEXT")
        roster = read_roster(message, self.authority)
        return Party(
            self.identity, roster, self.files, self.policy, self.compute, self.clock, self.randomness
        )

    def _answered(self, frame: Frame) -> Bytes:
        if self.files.history.is_burned:
            raise SecAggError("the site was restored -> a waiver is needed to go on", code="E_RESTORED")
        party = self._party()
        if not frame.is_signed_by(bytes.fromhex(party.roster.coordinator)):
            # Its bytes are anybody's, so the audit keeps no more than their digest
            party.audit("REFUSED", None, code="E_COORD_SIG", hdr=frame.digest)
            raise SecAggError("the coordinator did not sign this", code="E_COORD_SIG")
        try:
            return self._dispatched(party, frame)
        except Exception as failure:
            code = failure.code if isinstance(failure, RheError) else "E_INTERNAL"
            party.audit("REFUSED", None, frame, code=code)
            raise

    def _dispatched(self, party: Party, frame: Frame) -> Bytes:
        match frame.kind:
            case Kind.ROUND_REQUEST:
                self._sweep(party)
                return answer_request(party, frame)
            case Kind.CONTRIBUTE_REQUEST:
                state = self.files.read(read_contribute(frame).phase)
                answer = admit if isinstance(state, SessionState) else contribute
                return answer(party, frame)
            case Kind.REVEAL_REQUEST:
                return reveal(party, frame)
            case Kind.ITERATE:
                return iterate(party, frame)
            case Kind.CLOSE:
                return self._close(party, read(frame, Kind.CLOSE, Close))
            case _:
                raise SecAggError("no site is asked this", code="E_CONTEXT")

    def _sweep(self, party: Party) -> None:
        for state in self.files.read_all():
            if state.asked.deadline < self.clock():
                party.erase(state.asked, "deadline")
        if self.files.wipe_orphans():
            party.audit("ERASE", None, reason="orphan")

    def _close(self, party: Party, request: Close) -> bytes:
        """The answer to M7; the same close may come again."""
        last, ended = self.files.history.last(request.phase), self.files.history.ended(request.hdr)
        if ended is None:
            if last is None or last.hdr != request.hdr:
                raise SecAggError("no such round was begun", code="E_NO_STATE")
            self._end(party, None, request)
        elif ended.status != "aborted" and (ended.status, ended.result) != (request.status, request.result):
            raise SecAggError("the round was closed with another result", code="E_CONTEXT")
        answer = Closed(hdr=request.hdr, site=party.site)
        return pack(Kind.CLOSED, answer.body(), self.identity.key)

    def _end(self, party: Party, request: RoundRequest | None, close: Close) -> None:
        """Also a damaged state is wiped: nothing of it is read."""
        self.files.wipe(close.phase)
        forget_keys()
        self.files.record(Ended(phase=close.phase, hdr=close.hdr, status=close.status, result=close.result))
        party.audit("ERASE", request, reason=close.status, hdr=close.hdr)

    def _refusal(self, request: str, code: str) -> bytes:
        refusal = Refusal(request=request, site=self.identity.site, code=code)
        return pack(Kind.REFUSAL, refusal.body(), self.identity.key)


def _carried(close: Frame) -> Frame:
    """The next question in a CLOSE; its own signature is checked like any other's."""
    frame = unpack(close.payload)
    if frame.kind is not Kind.ROUND_REQUEST:
        raise SecAggError("a close carries what it may not", code="E_CONTEXT")
    return frame


def approve_roster(files: SiteFiles, message: bytes, pin: Pin) -> Roster:
    """The roster, which from now on holds at this site.

    Raises
    ------
    SecAggError
        The codes of the roster's checks; E_BUSY if a message is being answered.
    """
    with files.locked():
        known = files.read_roster()
        version = -1 if known is None else read_roster(known, pin.authority).version
        roster = check_roster(message, replace(pin, version=max(version, pin.version)))
        files.keep_roster(message)
        return roster


def approve_waiver(files: SiteFiles, message: bytes, pin: Pin) -> None:
    """Lets the waiver hold at this site; the same one twice has no effect.

    Raises
    ------
    SecAggError
        E_ROSTER_SIG or E_CONTEXT if it is not the authority's for this study, roster and site.
    """
    with files.locked():
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
