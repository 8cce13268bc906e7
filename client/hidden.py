"""What a site answers to the messages that hide sums: its numbers masked, and beside them what is its own."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client.party import HidingParty, PlanPolicy
from common.errors import PlanError, PolicyError, ProtocolError
from common.groups import Group, groups_of, hiding_set, hiding_sets, own_of, shared_of
from common.headers import Operation, ReplyHeader, RequestHeader
from common.hidden import Hiding
from common.models.layout import Layout
from common.phases import HiddenPhase, phase_of, training_phase
from common.protocol import Reply, Request, decode_request
from common.rounds import hiding_of, nobody_trained, share_of, to_hide, variance_of
from common.secagg.files import SiteFiles
from common.secagg.history import Trusted
from common.secagg.messages import Iterate, RoundRequest, read
from common.secagg.policy import Computed, Part
from common.secagg.site import SiteMachine
from common.secagg.vectors import Ring
from common.secagg.wire import Kind, unpack
from common.stats.contract import Layout as SummaryLayout
from common.stats.contract import Summary
from common.study import Arm, CnnModel, StudyPlan
from common.types import FlatWeights

_log = logging.getLogger(__name__)

_ON_TRUST = 2
"""Weights of one training: the last, which are validated, and the chosen, which are evaluated."""

Answer = Callable[[Request, bool], Summary]
"""The engine's summary of a question; without patients where the flag is false."""


@dataclass
class HiddenAnswers:
    """The engine's side of the protocol.

    Attributes
    ----------
    plan : StudyPlan
    site : str
    coordinator : Ed25519PublicKey
    party : HidingParty
    answer : callable
    layout : callable
        The layout of a network's weights.
    initial : callable
        The weights with which a network starts; None if they come from elsewhere.
    """

    plan: StudyPlan
    site: str
    coordinator: Ed25519PublicKey
    party: HidingParty
    answer: Answer
    layout: Callable[[CnnModel], Layout]
    initial: Callable[[CnnModel, Arm], FlatWeights | None]
    _told: dict[str, tuple[Summary, SummaryLayout]] = field(default_factory=dict)

    def handle(self, message: bytes) -> Reply:
        """The answer to one message; a refusal of the protocol has its code inside.

        Raises
        ------
        RheError
            If what is the site's own cannot be computed.
        """
        sealed = self._machine.handle(message)
        header = ReplyHeader(site=self.site)
        frame = unpack(message)
        own = Summary()
        if frame.kind is Kind.ITERATE and unpack(sealed).kind is Kind.ITERATION:
            question = read(frame, Kind.ITERATE, Iterate)
            own, layout = self._own(question, bytes(frame.payload))
            header = ReplyHeader(site=self.site, layout=layout)
        return Reply(header, own, sealed=np.frombuffer(bytes(sealed), dtype=np.uint8))

    def insist_known(self, header: RequestHeader, weights: FlatWeights) -> None:
        """Refuses weights that no round of their training gave.

        Where the site cannot know them, because it was missing when the last round was closed or trains not
        in this arm, it takes the last and the chosen on trust, and no others: what crafted weights could make
        scores tell is bounded.

        Raises
        ------
        PolicyError
            If the coordinator wants something else evaluated than what the sites trained.
        """
        with self._machine.files.locked():
            self._insist_known(header, weights)

    def _insist_known(self, header: RequestHeader, weights: FlatWeights) -> None:
        """Under the lock of the protocol's files."""
        arm = self.plan.arm(header.arm)
        trains = arm.kind == "federated" and len(arm.sites) > 1 and self.site in arm.sites
        digest = hashlib.sha256(np.ascontiguousarray(weights, dtype="<f4").tobytes()).hexdigest()
        phase = training_phase(self.plan, self.plan.network(header.model), arm)
        files = self._machine.files
        trusted = files.history.trusted(phase)
        if digest in trusted or (trains and digest in files.history.results()):
            return
        if (trains and not _missed(files, phase)) or len(trusted) == _ON_TRUST:
            raise PolicyError(
                f"{header.operation} of {header.model}, {header.arm}: no round of training gave these weights"
            )
        _log.info("weights taken on trust phase=%s", phase)
        files.record(Trusted(phase=phase, result=digest))

    @cached_property
    def _machine(self) -> SiteMachine:
        policy = PlanPolicy(self.plan, self.layout, self.initial)
        return self.party.machine(policy, self._compute)

    def _compute(self, request: RoundRequest, question: Iterate | None, payload: memoryview, /) -> Computed:
        phase = phase_of(self.plan, request.phase)
        if phase.model is not None:
            return self._round(request, phase, payload)
        if question is None:
            raise ProtocolError("statistics are hidden in sessions")
        asked = decode_request(bytes(payload), self.coordinator)
        if asked.weights is not None:
            self._insist_known(asked.header, asked.weights)
        shared, own = self._split(asked, phase.sites)
        hiding = Hiding(shared.layout())
        # One question at a time: what it gave is told with the answer
        self._told = {question.input: (own, hiding.layout)}
        values = zip(hiding.vectors, hiding.values(shared), strict=True)
        return Computed(tuple(Part(vector, array) for vector, array in values))

    def _own(self, question: Iterate, payload: bytes) -> tuple[Summary, SummaryLayout]:
        """Computed with the masked answer, or again where that came from the disk."""
        if question.input not in self._told:
            phase = phase_of(self.plan, question.phase)
            shared, own = self._split(decode_request(payload, self.coordinator), phase.sites)
            self._told = {question.input: (own, shared.layout())}
        return self._told[question.input]

    def _split(self, asked: Request, sites: Sequence[str]) -> tuple[Summary, Summary]:
        """What disappears in sums, and what is this site's own."""
        groups = self._groups(asked.header)
        number = hiding_set(self.plan, groups)
        if number is None or hiding_sets(self.plan)[number] != sites:
            raise ProtocolError(f"{asked.header.operation} is not hidden among {', '.join(sites)}")
        summary = self.answer(asked, any(self.site in group.sites for group in groups))
        return shared_of(groups, self.site, summary), own_of(groups, self.site, summary)

    def _groups(self, header: RequestHeader) -> tuple[Group, ...]:
        if header.plan_hash != self.plan.digest():
            raise PlanError(f"the coordinator asks under plan {header.plan_hash[:12]}")
        if header.site:
            raise ProtocolError(f"a hidden sum was asked of {header.site!r} alone")
        return groups_of(self.plan, header.operation, header.stage, header.arm)

    def _round(self, request: RoundRequest, phase: HiddenPhase, payload: memoryview) -> Computed:
        weights = np.frombuffer(payload[: request.model_bytes], dtype="<f4")
        asked = decode_request(bytes(payload[request.model_bytes :]), self.coordinator)
        header, model, arm = asked.header, phase.model, phase.arm
        self._groups(header)
        if model is None or arm is None:
            raise ProtocolError("a round of no training")
        said = (header.operation, header.model, header.arm, header.round)
        if said != (Operation.TRAIN, model.name, arm.name, request.round):
            raise ProtocolError(
                f"{header.operation}, round {header.round}, came as another round of training"
            )
        layout = self.layout(model)
        hiding = hiding_of(self.plan, layout)
        if self.site not in arm.sites:
            return Computed(self._parts(hiding, nobody_trained(self.plan, layout), 1.0), patients=0)
        summary = self.answer(Request(header, weights.astype(np.float32, copy=False)), True)
        weight = int(summary.counts["patients"])
        told = to_hide(self.plan, layout, summary)
        return Computed(self._parts(hiding, told, share_of(self.plan, weight)), patients=weight)

    def _parts(self, hiding: Hiding, summary: Summary, share: float) -> tuple[Part, ...]:
        """A round's vectors; who rests adds noise, too."""
        return tuple(
            Part(
                vector,
                values,
                alpha=share if vector.ring is Ring.UPDATES else 1.0,
                variance=variance_of(self.plan, vector),
            )
            for vector, values in zip(hiding.vectors, hiding.values(summary), strict=True)
        )


def _missed(files: SiteFiles, phase: str) -> bool:
    """Whether the site was there when a training's last round began and not when it was closed."""
    last = files.history.last(phase)
    end = None if last is None else files.history.ended(last.hdr)
    return last is not None and (end is None or end.status != "opened")
