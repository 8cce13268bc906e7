"""The site in the protocol that hides sums: its keys, its files, and what the plan allows to be asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.errors import PolicyError
from common.hiding.next_weights import list_returned
from common.hiding.phases import ROUND_AGE_S, SESSION_AGE_S, find_required, phase_of
from common.hiding.rounds import hiding_of
from common.models.layout import Layout
from common.plan.study import Arm, CnnModel, StudyPlan
from common.runtime.array_digest import digest_array
from common.secagg.site.endpoint import SiteMachine
from common.secagg.site.files import AuditLog, SiteFiles
from common.secagg.site.history import History
from common.secagg.site.rules import (
    Clock,
    Compute,
    Derive,
    PhaseRules,
    Randomness,
    system_randomness,
    wall_clock,
)
from common.secagg.wire.messages import RoundRequest
from common.secagg.wire.roster import Identity
from common.types import FlatWeights

_SESSIONS = 1000
"""Greatest number of sessions of one set of sites: each time a study is resumed it may need another."""


@dataclass(frozen=True)
class HidingParty:
    """Who the site is in the protocol.

    Attributes
    ----------
    identity : Identity
        The site's key and its number in the roster.
    authority : bytes
        Raw public Ed25519 key, 32 bytes, of the authority that signs rosters, as the site pinned it.
    roster : bytes
        The signed roster that the site approved.
    files : Path
        Folder of the protocol's state; left out of backups.
    randomness : Randomness
        Where secrets come from; replaced in simulations.
    clock : Clock
        Tells the time; replaced in tests.
    """

    identity: Identity
    authority: bytes
    roster: bytes
    files: Path
    randomness: Randomness = system_randomness
    clock: Clock = wall_clock

    @property
    def training_secret(self) -> str:
        """What the site mixes into its training seeds: 64 hexadecimal digits derived from its own key."""
        private = self.identity.key.private_bytes_raw()
        return hashlib.sha256(b"rhe/training-seeds\0" + private).hexdigest()

    def make_machine(
        self, policy: PlanPolicy, compute: Compute, derive: Derive, audit: AuditLog | None = None
    ) -> SiteMachine:
        """The site's side of the protocol; the approved roster is in force from now on.

        Parameters
        ----------
        policy : PlanPolicy
        compute : callable
            The engine's computation.
        derive : callable
            The engine's part in making a round's sums the next model.
        audit : AuditLog, optional
            The site's own log; by default a file of the protocol's.

        Raises
        ------
        SecAggError
            E_BUSY if a message is being answered; E_RESTORED or E_STATE_CORRUPT if the files are damaged.
        """
        files = SiteFiles(self.files, audit=audit)
        with files.lock():
            if files.read_roster() != self.roster:
                files.keep_roster(self.roster)
        return SiteMachine(
            self.identity,
            self.authority,
            files,
            policy,
            compute,
            self.clock,
            self.randomness,
            derive=derive,
        )


@dataclass(frozen=True)
class PlanPolicy:
    """What an approved plan allows the protocol to ask.

    Attributes
    ----------
    plan : StudyPlan
        The approved plan.
    layout : callable
        Gives the layout of a network's weights.
    initial : callable
        Gives the weights with which a network starts; None if they come from elsewhere.
    site : str
        Name of the site.
    """

    plan: StudyPlan
    layout: Callable[[CnnModel], Layout]
    initial: Callable[[CnnModel, Arm], FlatWeights | None]
    site: str

    def rules_of(self, phase: str) -> PhaseRules:
        """The rules of a phase.

        Raises
        ------
        ProtocolError
            If the plan has no such phase.
        """
        hidden, privacy = phase_of(self.plan, phase), self.plan.privacy
        required = find_required(self.plan, hidden)
        if hidden.model is None:
            return PhaseRules("session", rounds=_SESSIONS, max_age_s=SESSION_AGE_S, required=required)
        layout = self.layout(hidden.model)
        trains = hidden.arm is not None and self.site in hidden.arm.sites
        return PhaseRules(
            "round",
            hiding_of(self.plan, layout).vectors,
            rounds=self.plan.federation.rounds,
            max_age_s=ROUND_AGE_S,
            largest_weight=None if privacy.weights == "equal" else privacy.largest_site,
            clip_fraction=privacy.clip_fraction,
            required=required,
            returned=list_returned(self.plan, layout) if trains else (),
            needs_model=trains,
        )

    def check(self, request: RoundRequest, history: History) -> None:
        """Refuse a model that is neither the plan's first nor what this site derived from the last round.

        Raises
        ------
        PolicyError
            If it is another model, or the site was not told the last round's sum.
        """
        hidden = phase_of(self.plan, request.phase)
        if hidden.model is None or hidden.arm is None or self.site not in hidden.arm.sites:
            # A site outside of the arm adds zeros, whatever the model
            return
        if not history.is_settled(request.phase):
            raise PolicyError(
                f"{hidden.model.name}, round {request.round}: this site was not told what the last round gave"
            )
        if request.model == history.find_result(request.phase):
            return
        initial, first = self.initial(hidden.model, hidden.arm), hidden.model.first_weights
        if initial is not None:
            first = digest_array(initial)
        if request.round != 1 or first not in {None, request.model}:
            raise PolicyError(
                f"{hidden.model.name}, round {request.round}: the weights are neither the plan's first nor "
                "what the last round gave"
            )
