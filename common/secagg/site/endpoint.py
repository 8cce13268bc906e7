"""A site's side of the protocol: bytes in, bytes out, independent of the network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

from common.errors import RheError
from common.runtime.repeat_counts import RepeatCounts
from common.secagg.codes import FalseSumError, SecAggError
from common.secagg.site.erasure import sweep_locked
from common.secagg.site.files import SiteFiles
from common.secagg.site.handler import Party, describe_frame, read_contribute
from common.secagg.site.history import Disproved, Ended, Waived
from common.secagg.site.opening import answer_request
from common.secagg.site.result_proof import prove_result
from common.secagg.site.round import contribute, reveal
from common.secagg.site.rules import (
    Clock,
    Compute,
    Derive,
    ProtocolPolicy,
    Randomness,
    system_randomness,
    wall_clock,
)
from common.secagg.site.session import admit, forget_keys, iterate
from common.secagg.site.state import RoundState, SessionState
from common.secagg.site.transcript import ProvedSums, prove_sums
from common.secagg.wire.forwarded import read_transcript, take_transcripts
from common.secagg.wire.frames import Bytes, MessageFrame, MessageKind, pack, repack, sha256, unpack
from common.secagg.wire.messages import Close, Closed, ProtocolRefusal, read
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
    refusals, repeats : RepeatCounts
        Of messages that were refused, and that were answered before: not each has a line in the audit.
    derive : Derive, optional
        The engine's part in making a round's sums the next model; needed where sums come back.
    """

    identity: Identity
    authority: bytes
    files: SiteFiles
    policy: ProtocolPolicy
    compute: Compute
    clock: Clock = wall_clock
    randomness: Randomness = system_randomness
    refusals: RepeatCounts = field(default_factory=RepeatCounts, repr=False, compare=False)
    repeats: RepeatCounts = field(default_factory=RepeatCounts, repr=False, compare=False)
    derive: Derive | None = None

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
                carried = _find_carried(frame)
                return answer if carried is None else self._answer(carried)
        except RheError as refusal:
            _log.warning("refused code=%s reason=%s", refusal.code, refusal)
            code = refusal.code
        except Exception:  # noqa: BLE001 - no text of an exception leaves the site
            _log.exception("failed code=E_INTERNAL")
            code = "E_INTERNAL"
        return self._refuse(digest, code)

    def open_transcripts(self, message: Bytes) -> tuple[ProvedSums, ...]:
        """The sums that the transcripts before a message prove; none where the site has gone on since.

        The same transcripts prove the same again, until the site answers the session's next step.

        Raises
        ------
        SecAggError
            E_SUM_PROOF if a sum is not that of what the sites signed: then, and from then on, the site
            answers nothing more without a waiver; E_COORD_SIG if the coordinator did not sign a transcript;
            E_INPUT_HASH if it was altered since; E_BUSY, E_RESTORED or E_STATE_CORRUPT.
        ProtocolError
            If a transcript is malformed.
        """
        frames, _ = take_transcripts(message)
        if not frames:
            return ()
        with self.files.lock():
            self._insist_sound()
            party = self._make_party()
            proved = [self._prove(party, frame) for frame in frames]
        return tuple(sums for sums in proved if sums is not None)

    def insist_sound(self) -> None:
        """Refuse to go on where nothing may be answered without a waiver.

        Raises
        ------
        SecAggError
            E_RESTORED or E_SUM_PROOF; E_BUSY if a message is being answered.
        """
        with self.files.lock():
            self._insist_sound()

    def refuse(self, message: Bytes, code: str) -> bytes:
        """The signed refusal of a message that never came to the protocol's own rules."""
        try:
            digest = unpack(message).digest
        except RheError:
            digest = sha256(b"")
        return self._refuse(digest, code)

    def _make_party(self) -> Party:
        message = self.files.read_roster()
        if message is None:
            raise SecAggError("the site has approved no roster", code="E_CONTEXT")
        roster = read_roster(message, self.authority)
        return Party(
            self.identity,
            roster,
            self.files,
            self.policy,
            self.compute,
            self.clock,
            self.randomness,
            self.repeats,
            self.derive,
        )

    def _insist_sound(self) -> None:
        if self.files.history.is_burned:
            raise SecAggError("the site was restored -> a waiver is needed to go on", code="E_RESTORED")
        if self.files.history.is_disproved:
            raise SecAggError(
                f"a sum was found false before; the evidence lies in {self.files.folder} -> tell the "
                "study's lead and the authority, whose waiver is needed to go on",
                code="E_SUM_PROOF",
            )

    def _prove(self, party: Party, frame: MessageFrame) -> ProvedSums | None:
        """What a transcript proves; if it is false, the site stops before this is told.

        Raises
        ------
        FalseSumError
            If it is false.
        """
        self._check_signature(party, frame)
        try:
            proved = prove_sums(party, frame)
        except FalseSumError as failure:
            content = frame.payload[: read_transcript(frame).content_bytes]
            self._stop(party, frame, _join_evidence(frame, content), failure)
            raise
        if proved is not None:
            names = [vector.name for vector in proved.vectors]
            party.audit("PROVED", None, frame, vectors=names)
        return proved

    def _stop(self, party: Party, frame: MessageFrame, evidence: bytes, failure: FalseSumError) -> None:
        """Keep the evidence and who may have lied, and answer nothing more; all is on the disk after this."""
        path = self.files.keep_evidence(evidence)
        self.files.record(Disproved(evidence=sha256(evidence)))
        suspects = list(failure.suspects)
        party.audit("DISPROVED", None, frame, code=failure.code, suspects=suspects, reason=str(failure))
        said = "a sum that came back is false reason=%s: %s lied evidence=%s"
        _log.error(said, failure, " or ".join(suspects), path)

    def _check_signature(self, party: Party, frame: MessageFrame) -> None:
        if not frame.is_signed_by(bytes.fromhex(party.roster.coordinator)):
            # Anybody may have sent this, so the audit keeps only its digest
            self._audit_refusal(party, "E_COORD_SIG", frame, hdr=frame.digest)
            raise SecAggError("the coordinator did not sign this", code="E_COORD_SIG")

    def _answer(self, frame: MessageFrame) -> Bytes:
        self._insist_sound()
        party = self._make_party()
        self._check_signature(party, frame)
        try:
            return self._dispatch(party, frame)
        except Exception as failure:
            code = failure.code if isinstance(failure, RheError) else "E_INTERNAL"
            self._audit_refusal(party, code, frame, request=describe_frame(frame))
            raise

    def _audit_refusal(self, party: Party, code: str, frame: MessageFrame, **details: object) -> None:
        """A line for the first refusal of a kind, and now and then one for all that came since."""
        if times := self.refusals.count((code, frame.kind.name)):
            party.audit("REFUSED", None, None, code=code, times=times, **details)

    def _dispatch(self, party: Party, frame: MessageFrame) -> Bytes:
        match frame.kind:
            case MessageKind.ROUND_REQUEST:
                sweep_locked(self.files, self.clock)
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
                return self._close(party, frame)
            case _:
                raise SecAggError("no site is asked this", code="E_CONTEXT")

    def _close(self, party: Party, frame: MessageFrame) -> bytes:
        """The answer to M7, which may come again.

        Raises
        ------
        SecAggError
            E_NO_STATE if no such round was begun; E_CONTEXT if it was closed with another result; as
            `prove_result`: with E_SUM_PROOF the site stops.
        """
        request = read(frame, MessageKind.CLOSE, Close)
        last, ended = self.files.history.find_begun(request.phase), self.files.history.find_end(request.hdr)
        if ended is None:
            if last is None or last.hdr != request.hdr:
                raise SecAggError("no such round was begun", code="E_NO_STATE")
            self._record_end(party, request, is_proved=self._prove_result(party, frame, request))
        elif ended.status != "aborted" and (ended.status, ended.result) != (request.status, request.result):
            raise SecAggError("the round was closed with another result", code="E_CONTEXT")
        if last is not None and last.hdr == request.hdr:
            # Also when it comes again: the site may have been killed after the line above
            self._erase_closed(party, request, last.round)
        answer = Closed(hdr=request.hdr, site=party.site)
        return pack(MessageKind.CLOSED, answer.body(), self.identity.key)

    def _prove_result(self, party: Party, frame: MessageFrame, close: Close) -> bool:
        """Whether the site derived the result itself; if the sum is false, the site stops.

        Raises
        ------
        FalseSumError
            As `prove_result`.
        """
        sums = frame.payload[: close.sums_bytes]
        try:
            return prove_result(party, close, sums)
        except FalseSumError as failure:
            state = self.files.read(close.phase)
            # With the tag key, others can check the tags themselves; no key of a mask is evidence
            kept = b"" if not isinstance(state, RoundState) else state.without_mask_keys().body()
            self._stop(party, frame, _join_evidence(frame, sums, kept), failure)
            raise

    def _record_end(self, party: Party, close: Close, *, is_proved: bool) -> None:
        ended = Ended(
            phase=close.phase,
            hdr=close.hdr,
            status=close.status,
            result=close.result,
            proved=is_proved,
            weight=close.weight if is_proved else 0,
        )
        self.files.record(ended)
        party.audit("ERASE", None, reason=close.status, phase=close.phase, hdr=close.hdr)

    def _erase_closed(self, party: Party, close: Close, number: int) -> None:
        """Erase what the round or session kept, but not the model from which the next round starts."""
        ended = self.files.history.find_end(close.hdr)
        goes_on = number < party.policy.rules_of(close.phase).rounds
        is_needed = ended is not None and ended.proved and goes_on
        self.files.models_of(close.phase).drop(close.result if is_needed else "")
        self.files.wipe(close.phase)
        forget_keys(self.files.folder)

    def _refuse(self, request: str, code: str) -> bytes:
        refusal = ProtocolRefusal(request=request, site=self.identity.site, code=code)
        return pack(MessageKind.REFUSAL, refusal.body(), self.identity.key)


def _join_evidence(frame: MessageFrame, *parts: Bytes) -> bytes:
    """The signed message with these parts behind its header."""
    return b"".join((repack(frame.kind, frame.header, frame.signature), *parts))


def _find_carried(frame: MessageFrame) -> MessageFrame | None:
    """The M1 that a CLOSE carries, None if none; its own signature is checked like that of any message.

    Raises
    ------
    SecAggError
        E_CONTEXT if it carries another message.
    """
    if frame.kind is not MessageKind.CLOSE:
        return None
    carried = frame.payload[read(frame, MessageKind.CLOSE, Close).sums_bytes :]
    if not carried:
        return None
    frame = unpack(carried)
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
            line = {"event": "WAIVED", "waiver": digest, "kind": waiver.kind, "phase": waiver.phase}
            files.audit.append({**line, **files.describe_history()})
