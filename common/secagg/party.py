"""What a site's handlers share: who it is, what it may do, and its audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from common.secagg.errors import SecAggError
from common.secagg.files import SiteFiles
from common.secagg.keys import KEY_BYTES
from common.secagg.messages import ContributeRequest, RoundRequest, bitmap, read
from common.secagg.policy import Clock, Compute, PhaseRules, Policy, Randomness
from common.secagg.releases import check_definitions, check_inputs, check_model, check_sets
from common.secagg.roster import Identity, Roster
from common.secagg.state import RoundState, SessionState, State
from common.secagg.wire import Frame, Kind

StateKind = TypeVar("StateKind", RoundState, SessionState)


@dataclass(frozen=True)
class Party:
    """One site in one study.

    Attributes
    ----------
    identity : Identity
    roster : Roster
        As approved.
    files : SiteFiles
    policy : Policy
    compute : Compute
    clock : Clock
    randomness : Randomness
    """

    identity: Identity
    roster: Roster
    files: SiteFiles
    policy: Policy
    compute: Compute
    clock: Clock
    randomness: Randomness

    @property
    def site(self) -> int:
        """Its number."""
        return self.identity.site

    def rules(self, state: State) -> PhaseRules:
        """What holds in the phase that is open."""
        return self.policy.rules(state.asked.phase)

    def draw(self, purpose: str) -> bytes:
        """A secret of 32 bytes; in a simulation every site has its own, whatever they share."""
        return self.randomness(KEY_BYTES, f"site {self.site}/{purpose}")

    def opened(self, phase: str, hdr: str, kind: type[StateKind]) -> StateKind:
        """The open round or session that a message belongs to.

        Raises
        ------
        SecAggError
            E_NO_STATE if there is none; E_CONTEXT if it is another, or of an earlier roster; E_EXPIRED, and
            everything is erased, if its deadline is past.
        """
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

    def check_members(self, request: ContributeRequest, state: State) -> None:
        """Refuses a set of which this site cannot be sure (R3).

        Raises
        ------
        SecAggError
            E_MIN, E_DUP_SITE, E_SELF_KEY, E_UNKNOWN_SITE, E_JOIN_SIG or E_CONTEXT.
        """
        if len(request.joins) < self.roster.minimum:
            raise SecAggError("the set is smaller than the roster's minimum", code="E_MIN")
        sites = {signed.join.site for signed in request.joins}
        keys = {signed.join.key for signed in request.joins}
        if min(len(sites), len(keys)) < len(request.joins):
            raise SecAggError("two members of the set share a number or session key", code="E_DUP_SITE")
        if state.join not in request.joins:
            raise SecAggError("the set does not have this site's own JOIN", code="E_SELF_KEY")
        for signed in request.joins:
            public = self.roster.public(signed.join.site)
            if public is None:
                raise SecAggError("a member of the set is not in the roster", code="E_UNKNOWN_SITE")
            if not signed.is_signed_by(public):
                raise SecAggError("a member's JOIN is not signed by it", code="E_JOIN_SIG")
            if signed.join.hdr != state.hdr:
                raise SecAggError("a member's JOIN is of another round", code="E_CONTEXT")

    def check_set(self, request: ContributeRequest, state: State) -> None:
        """Refuses a set whose sum could be subtracted from an earlier one (R4 b), whoever was in that.

        Raises
        ------
        SecAggError
            E_SET_CHANGE.
        """
        phase = state.asked.phase
        history = self.files.history
        told = {one for signed in request.joins for one in signed.join.sets}
        members = bitmap(tuple(signed.join.site for signed in request.joins))
        earlier = told | set(history.sets(phase))
        check_sets(earlier, members, history.absent(phase), self.roster.colluders)

    def check_release(
        self, state: State, vectors: tuple[str, ...], definitions: tuple[str, ...], digests: tuple[str, str]
    ) -> None:
        """Refuses what the ledger forbids to release (R1, R4 a).

        Parameters
        ----------
        state : State
        vectors, definitions : tuple of str
        digests : (str, str)
            Of the model and of the whole input.

        Raises
        ------
        SecAggError
            E_SET_CHANGE or E_ALREADY_RELEASED.
        """
        history, phase = self.files.history, state.asked.phase
        model, whole = digests
        check_model(history, phase, vectors, model, bitmap(state.members))
        check_inputs(history, phase, vectors, whole)
        check_definitions(history, definitions)

    def check_quota(self, phase: str) -> None:
        """Refuses more releases than the rules allow (R5).

        Raises
        ------
        SecAggError
            E_POLICY.
        """
        most = self.policy.rules(phase).maximum_releases
        if most is not None and self.files.history.count(phase) >= most:
            raise SecAggError("the phase has had all its releases", code="E_POLICY")

    def erase(self, request: RoundRequest, why: str) -> None:
        """Wipes what the phase has open, and says so in the audit."""
        if self.files.wipe(request.phase):
            self.audit("ERASE", request, reason=why)

    def audit(
        self, event: str, asked: RoundRequest | None, frame: Frame | None = None, **details: object
    ) -> None:
        """Adds a line to the audit: no values, no keys, no numbers of patients.

        Parameters
        ----------
        event : str
        asked : RoundRequest, optional
            The round or session, where it is known.
        frame : Frame, optional
            The coordinator's own words, with which two sites' audits prove that it told them different
            things.
        **details
            Whatever has a canonical form.
        """
        line: dict[str, object] = {"event": event, "time": self.clock(), "study": self.roster.study}
        line |= {"plan": self.roster.plan, "roster": self.roster.digest}
        if asked is not None:
            line |= {"phase": asked.phase, "round": asked.round}
        if frame is not None:
            header = frame.header.decode("ascii")
            request = {"kind": frame.kind.name, "header": header, "signature": frame.signature.hex()}
            details["request"] = request
        self.files.audit.append({**line, **details})


def read_contribute(frame: Frame) -> ContributeRequest:
    """M3's header."""
    return read(frame, Kind.CONTRIBUTE_REQUEST, ContributeRequest)
