"""The site in the protocol that hides sums: its keys, its files, and what the plan lets be asked of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.errors import PolicyError
from common.models.layout import Layout
from common.phases import ROUND_AGE_S, SESSION_AGE_S, phase_of
from common.rounds import hiding_of
from common.secagg.files import SiteFiles
from common.secagg.history import History
from common.secagg.messages import RoundRequest
from common.secagg.policy import (
    Clock,
    Compute,
    PhaseRules,
    Randomness,
    system_randomness,
    wall_clock,
)
from common.secagg.roster import Identity
from common.secagg.site import SiteMachine
from common.study import Arm, CnnModel, StudyPlan
from common.types import FlatWeights

_SESSIONS = 1000
"""Of one set of sites: each resumed study may need another."""


@dataclass(frozen=True)
class HidingParty:
    """Who the site is in the protocol.

    Attributes
    ----------
    identity : Identity
    authority : bytes
        Raw key of whoever signs rosters, as the site pinned it.
    roster : bytes
        The signed roster that the site approved.
    files : Path
        Where the protocol's state is kept; left out of backups.
    randomness : Randomness
    clock : Clock
    """

    identity: Identity
    authority: bytes
    roster: bytes
    files: Path
    randomness: Randomness = system_randomness
    clock: Clock = wall_clock

    @property
    def training_secret(self) -> str:
        """What the site mixes into the seeds of its training; it derives from its own key."""
        private = self.identity.key.private_bytes_raw()
        return hashlib.sha256(b"rhe/training-seeds\0" + private).hexdigest()

    def machine(self, policy: PlanPolicy, compute: Compute) -> SiteMachine:
        """The site's side of the protocol; the roster that was approved holds from now on."""
        files = SiteFiles(self.files)
        with files.locked():
            if files.read_roster() != self.roster:
                files.keep_roster(self.roster)
        return SiteMachine(self.identity, self.authority, files, policy, compute, self.clock, self.randomness)


@dataclass(frozen=True)
class PlanPolicy:
    """What an approved plan lets the protocol ask.

    Attributes
    ----------
    plan : StudyPlan
    layout : callable
        The layout of a network's weights.
    initial : callable
        The weights with which a network starts; None if they come from elsewhere.
    """

    plan: StudyPlan
    layout: Callable[[CnnModel], Layout]
    initial: Callable[[CnnModel, Arm], FlatWeights | None]

    def rules(self, phase: str) -> PhaseRules:
        """What holds in the phase.

        Raises
        ------
        ProtocolError
            If the plan has no such phase.
        """
        found, privacy = phase_of(self.plan, phase), self.plan.privacy
        if found.model is None:
            return PhaseRules("session", rounds=_SESSIONS, max_age_s=SESSION_AGE_S)
        return PhaseRules(
            "round",
            hiding_of(self.plan, self.layout(found.model)).vectors,
            rounds=self.plan.federation.rounds,
            max_age_s=ROUND_AGE_S,
            largest_weight=None if privacy.weights == "equal" else privacy.largest_site,
            clip_fraction=privacy.clip_fraction,
        )

    def check(self, request: RoundRequest, history: History) -> None:
        """Refuses a model that is neither the plan's first nor the result of an earlier round.

        Raises
        ------
        PolicyError
            If it is another.
        """
        found = phase_of(self.plan, request.phase)
        if found.model is None or found.arm is None or request.model in history.results():
            return
        initial = self.initial(found.model, found.arm)
        known = initial is None or hashlib.sha256(initial.tobytes()).hexdigest() == request.model
        if request.round != 1 or not known:
            raise PolicyError(
                f"{found.model.name}, round {request.round}: the weights are neither the plan's first nor "
                "what an earlier round gave"
            )
