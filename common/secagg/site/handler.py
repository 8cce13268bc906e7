"""What the handlers of a site's messages share: who the site is, what it may do, and its audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from common.runtime.repeat_counts import RepeatCounts
from common.secagg.codes import SecAggError
from common.secagg.crypto.keys import KEY_BYTES
from common.secagg.site.files import SiteFiles
from common.secagg.site.release_rules import check_definitions, check_inputs, check_model, check_sets
from common.secagg.site.rules import Clock, Compute, Derive, PhaseRules, ProtocolPolicy, Randomness
from common.secagg.site.state import RoundState, SessionState, SiteState
from common.secagg.wire.frames import MessageFrame, MessageKind
from common.secagg.wire.messages import ContributeRequest, RoundRequest, bitmap_of, read
from common.secagg.wire.roster import Identity, Roster

StateKind = TypeVar("StateKind", RoundState, SessionState)


@dataclass(frozen=True)
class Party:
    """One site in one study.

    Attributes
    ----------
    identity : Identity
        The site's key and number.
    roster : Roster
        The roster that the site approved.
    files : SiteFiles
        The folder of the study.
    policy : ProtocolPolicy
        What the plan allows.
    compute : Compute
        The engine's computation.
    clock : Clock
        Tells the time for deadlines and the audit.
    randomness : Randomness
        Where secrets come from.
    repeats : RepeatCounts
        Of messages that were answered before.
    derive : Derive, optional
        The engine's part in making a round's sums the next model.
    """

    identity: Identity
    roster: Roster
    files: SiteFiles
    policy: ProtocolPolicy
    compute: Compute
    clock: Clock
    randomness: Randomness
    repeats: RepeatCounts
    derive: Derive | None = None

    @property
    def site(self) -> int:
        """The site's number in the roster."""
        return self.identity.site

    def rules_of(self, state: SiteState) -> PhaseRules:
        """The rules of the phase that is open."""
        return self.policy.rules_of(state.asked.phase)

    def draw(self, purpose: str) -> bytes:
        """A secret of 32 bytes; sites draw different ones even where a simulation gives them one seed."""
        return self.randomness(KEY_BYTES, f"site {self.site}/{purpose}")

    def require_open(self, phase: str, hdr: str, kind: type[StateKind]) -> StateKind:
        """The state of the open round or session that a message belongs to.

        Raises
        ------
        SecAggError
            E_NO_STATE if nothing is open; E_ABORTED if the site's operator ended it; E_CONTEXT if another
            round or session is open, or it has an earlier roster; E_EXPIRED, after erasing everything, if its
            deadline is past.
        """
        self.refuse_aborted(hdr)
        state = self.files.read(phase)
        if state is None:
            raise SecAggError("nothing is open in this phase", code="E_NO_STATE")
        if state.hdr != hdr or not isinstance(state, kind):
            raise SecAggError("another round or session is open", code="E_CONTEXT")
        if state.asked.roster != self.roster.digest:
            raise SecAggError("the round is of an earlier roster", code="E_CONTEXT")
        if state.asked.deadline < self.clock():
            self.erase(state.asked, "deadline")
            raise SecAggError("the deadline is past", code="E_EXPIRED")
        return state

    def refuse_aborted(self, hdr: str) -> None:
        """Refuse a round or session that the site's operator has ended.

        Raises
        ------
        SecAggError
            E_ABORTED if he or she has.
        """
        end = self.files.history.find_end(hdr)
        if end is not None and end.status == "aborted":
            raise SecAggError("the site's operator has ended this round or session", code="E_ABORTED")

    def check_members(self, request: ContributeRequest, state: SiteState) -> None:
        """Refuse a set that is too small, or whose members have not all signed a JOIN to this round (R3).

        Raises
        ------
        SecAggError
            E_MIN if it is too small, or lacks a site that the plan requires; E_DUP_SITE if two members share
            a number or key; E_SELF_KEY if this site's own JOIN is missing; E_UNKNOWN_SITE, E_JOIN_SIG or
            E_CONTEXT if a JOIN is not valid.
        """
        if len(request.joins) < self.roster.minimum:
            raise SecAggError("the set is smaller than the roster's minimum", code="E_MIN")
        sites = {signed.join.site for signed in request.joins}
        if not self.rules_of(state).required <= sites:
            raise SecAggError("the set lacks a site without which the sum hides nothing", code="E_MIN")
        keys = {signed.join.key for signed in request.joins}
        if min(len(sites), len(keys)) < len(request.joins):
            raise SecAggError("two members of the set share a number or session key", code="E_DUP_SITE")
        if state.join not in request.joins:
            raise SecAggError("the set does not have this site's own JOIN", code="E_SELF_KEY")
        for signed in request.joins:
            public = self.roster.find_key(signed.join.site)
            if public is None:
                raise SecAggError("a member of the set is not in the roster", code="E_UNKNOWN_SITE")
            if not signed.is_signed_by(public):
                raise SecAggError("a member's JOIN is not signed by it", code="E_JOIN_SIG")
            if signed.join.hdr != state.hdr:
                raise SecAggError("a member's JOIN is of another round", code="E_CONTEXT")

    def check_set(self, request: ContributeRequest, state: SiteState) -> None:
        """Refuse a set whose sum could be subtracted from an earlier sum of any member (R4 b).

        Raises
        ------
        SecAggError
            E_SET_CHANGE if the set is not allowed.
        """
        phase = state.asked.phase
        history = self.files.history
        members = bitmap_of(tuple(signed.join.site for signed in request.joins))
        earlier = {sites for signed in request.joins for sites in signed.join.sets} | set(
            history.list_sets(phase)
        )
        check_sets(earlier, members, history.list_absent(phase), self.roster.colluders)

    def check_release(
        self,
        state: SiteState,
        vectors: tuple[str, ...],
        definitions: tuple[str, ...],
        digests: tuple[str, str],
    ) -> None:
        """Refuse what must not be released after what the ledger holds (R1, R4 a).

        Parameters
        ----------
        state : SiteState
            Of the open round or session.
        vectors : tuple of str
            Names of the vectors.
        definitions : tuple of str
            SHA-256 of the static statistics among them.
        digests : (str, str)
            SHA-256 of the model, and of all that was computed from.

        Raises
        ------
        SecAggError
            E_SET_CHANGE if another set was summed at this model; E_ALREADY_RELEASED if a vector or static
            statistic was released.
        """
        history, phase = self.files.history, state.asked.phase
        model, input_hash = digests
        check_model(history, phase, vectors, model, bitmap_of(state.members))
        check_inputs(history, phase, vectors, input_hash)
        check_definitions(history, definitions)

    def check_quota(self, phase: str) -> None:
        """Refuse if the phase has had as many releases as the rules allow (R5).

        Raises
        ------
        SecAggError
            E_POLICY if it has.
        """
        maximum = self.policy.rules_of(phase).maximum_releases
        if maximum is not None and self.files.history.count_releases(phase) >= maximum:
            raise SecAggError("the phase has had all its releases", code="E_POLICY")

    def erase(self, request: RoundRequest, why: str) -> None:
        """Wipe what the phase has open, and record it in the audit with the reason `why`."""
        if self.files.wipe(request.phase):
            self.audit("ERASE", request, reason=why)

    def audit(
        self, event: str, asked: RoundRequest | None, frame: MessageFrame | None = None, **details: object
    ) -> None:
        """Append a line to the audit: no values, no keys, no numbers of patients.

        Parameters
        ----------
        event : str
            What happened, such as "JOIN".
        asked : RoundRequest, optional
            The round or session, where it is known.
        frame : MessageFrame, optional
            The coordinator's signed message: the audits of two sites can prove with it that the coordinator
            sent them different requests. Where the same message comes again and again, only now and then a
            line says how often.
        **details
            Further fields of any canonical form.
        """
        times = 1 if frame is None else self.repeats.count((event, frame.digest))
        if not times:
            return
        line: dict[str, object] = {"event": event, "time": self.clock(), "study": self.roster.study}
        line |= {"plan": self.roster.plan, "roster": self.roster.digest}
        if asked is not None:
            line |= {"phase": asked.phase, "round": asked.round}
        if frame is not None:
            line["request"] = describe_frame(frame)
        if times > 1:
            line["times"] = times
        self.files.audit.append({**line, **details, **self.files.describe_history()})


def describe_frame(frame: MessageFrame) -> dict[str, object]:
    """A signed message for the audit: its kind, header and signature."""
    header = frame.header.decode("ascii")
    return {"kind": frame.kind.name, "header": header, "signature": frame.signature.hex()}


def read_contribute(frame: MessageFrame) -> ContributeRequest:
    """The header of M3."""
    return read(frame, MessageKind.CONTRIBUTE_REQUEST, ContributeRequest)
