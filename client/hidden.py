"""A site's answers to the messages that hide sums: masked numbers, and in the clear what is its own alone."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client.answers.next_model import ModelDeriver
from client.door.door import StudyDoor, select_own_sums
from client.membership.party import HidingParty, PlanPolicy
from common.errors import NotThePlanError, PlanError, ProtocolError, RheError, UnknownSumError
from common.hiding.phases import HiddenPhase, name_training_phase, phase_of
from common.hiding.returned import ReturnedLots, comes_back
from common.hiding.rounds import hiding_of, share_of, to_hidden, train_nobody, variance_of
from common.hiding.vectors import Hiding
from common.messages.catalogue import Operation
from common.messages.groups import (
    SiteGroup,
    find_hiding_set,
    groups_of,
    hiding_sets_of,
    select_own,
    select_shared,
)
from common.messages.headers import ReplyHeader, RequestHeader
from common.messages.protocol import Reply, Request, decode_request
from common.models.layout import Layout
from common.plan.study import Arm, CnnModel, StudyPlan
from common.runtime.array_digest import digest_array
from common.secagg.codes import SecAggError
from common.secagg.site.endpoint import SiteMachine
from common.secagg.site.files import AuditLog, SiteFiles
from common.secagg.site.rules import Computed, ComputedVector
from common.secagg.site.state import SessionState
from common.secagg.site.transcript import ProvedSums
from common.secagg.wire.forwarded import take_transcripts
from common.secagg.wire.frames import Bytes, MessageKind, unpack
from common.secagg.wire.messages import Iterate, RoundRequest, read, read_header
from common.stats.contract import Summary, SummaryLayout
from common.types import FlatWeights

_log = logging.getLogger(__name__)

EngineAnswer = Callable[[Request, bool], Summary]
"""The engine's summary of a question; of no patients if the flag is false."""


@dataclass(frozen=True)
class OpenedStep:
    """The sums of one question that come back to this site, which it has added itself.

    Attributes
    ----------
    request : str
        SHA-256 of the signed request, 64 hexadecimal digits.
    sums : mapping of tuple of str to Summary
        By the sites of the group, of every group of several sites that this one is in: the arrays that steer
        later questions, and no others.
    """

    request: str
    sums: Mapping[tuple[str, ...], Summary]

    @classmethod
    def of(cls, proved: ProvedSums) -> OpenedStep:
        """The sums of a transcript, by the groups that this site noted with its answer."""
        note = proved.note.encode("ascii")
        returned = read_header(note, len(note), ReturnedLots)
        return cls(proved.input, returned.read_sums(proved.sums))


@dataclass
class HiddenAnswers:
    """The engine's side of the protocol.

    Attributes
    ----------
    plan : StudyPlan
        The plan that the hospital approved.
    site : str
        Name of the site.
    coordinator : Ed25519PublicKey
        Must have signed every request.
    party : HidingParty
        The site's key, roster and files in the protocol.
    answer : callable
        The engine's summary of a question; of no patients if the second argument is false.
    withhold : callable
        Gives what is shown of this site alone in answer to a question, without numbers of too few patients.
    layout : callable
        Gives the layout of a network's weights.
    initial : callable
        Gives the weights with which a network starts; None if they come from elsewhere.
    audit : AuditLog, optional
        The site's log, for the protocol's lines.
    door : StudyDoor, optional
        Admits questions, and learns the sums that transcripts prove.
    """

    plan: StudyPlan
    site: str
    coordinator: Ed25519PublicKey
    party: HidingParty
    answer: EngineAnswer
    withhold: Callable[[Request, Summary], Summary]
    layout: Callable[[CnnModel], Layout]
    initial: Callable[[CnnModel, Arm], FlatWeights | None]
    audit: AuditLog | None = None
    door: StudyDoor | None = None
    _answers: dict[str, tuple[Summary, SummaryLayout]] = field(default_factory=dict)

    def handle(self, message: Bytes) -> Reply:
        """The answer to one message; if the protocol refuses, the answer contains the code.

        Transcripts may stand before it: what they prove is learnt first.

        Raises
        ------
        RheError
            If what the site alone contributes cannot be computed.
        """
        try:
            asked = self.open_transcripts(message)
        except RheError as refusal:
            _log.warning("refused code=%s reason=%s", refusal.code, refusal)
            refused = self._machine.refuse(message, refusal.code)
            return Reply(ReplyHeader(site=self.site), sealed=np.frombuffer(refused, dtype=np.uint8))
        sealed = self._machine.handle(asked)
        header = ReplyHeader(site=self.site)
        frame = unpack(asked)
        own_summary = Summary()
        if frame.kind is MessageKind.ITERATE and unpack(sealed).kind is MessageKind.ITERATION:
            question = read(frame, MessageKind.ITERATE, Iterate)
            own_summary, layout = self._find_own(question, frame.payload)
            header = ReplyHeader(site=self.site, layout=layout)
        return Reply(header, own_summary, sealed=np.frombuffer(sealed, dtype=np.uint8))

    def open_transcripts(self, message: Bytes) -> Bytes:
        """The message without the transcripts before it, once what these prove is learnt.

        Raises
        ------
        RheError
            As `SiteMachine.open_transcripts`; E_SUM_PROOF if a sum is false.
        """
        for proved in self._machine.open_transcripts(message):
            opened = OpenedStep.of(proved)
            if self.door is not None:
                self.door.learn(opened.request, dict(opened.sums))
        return take_transcripts(message)[1]

    def insist_sound(self) -> None:
        """Refuse whatever is asked, once a sum was found false; raises as `SiteMachine.insist_sound`."""
        self._machine.insist_sound()

    def knows(self, header: RequestHeader, weights: FlatWeights) -> bool:
        """Whether a round of their training gave the weights; False if this site missed the training's end.

        Raises
        ------
        NotThePlanError
            If the site knows the training, and no round of it gave these weights.
        """
        with self._machine.files.lock():
            return self._knows(header, weights)

    def _knows(self, header: RequestHeader, weights: FlatWeights) -> bool:
        """Like `knows`, for a caller that already holds the lock.

        Raises
        ------
        NotThePlanError
            If the site knows the training, and no round of it gave these weights.
        """
        arm = self.plan.arm(header.arm)
        if len(arm.sites) == 1:
            # No sum of several sites gave them, so the protocol knows nothing of them
            return True
        digest = digest_array(weights)
        phase = name_training_phase(self.plan, self.plan.network(header.model), arm)
        if digest in self._machine.files.history.list_results(phase):
            return True
        if _has_missed(self._machine.files, phase):
            return False
        raise NotThePlanError(
            f"{header.operation} of {header.model}, {header.arm}: no round of training gave these weights"
        )

    @cached_property
    def _machine(self) -> SiteMachine:
        policy = PlanPolicy(self.plan, self.layout, self.initial, self.site)
        derive = ModelDeriver(self.plan, self.layout, self._find_weight)
        return self.party.make_machine(policy, self._compute, derive, self.audit)

    def _find_weight(self, arm: Arm) -> int | None:
        """The proved weight of an arm's sites; None where it is of each round, or not known of equal sites.

        Raises
        ------
        SecAggError
            E_NOT_THE_PLAN if its sum was not proved.
        """
        if self.door is None or self.plan.privacy.weights == "per-round":
            return None
        weight = self.door.find_weight(arm.name)
        if weight is None and self.plan.privacy.weights == "frozen":
            raise SecAggError("the weight of the arm's sites was not proved", code="E_NOT_THE_PLAN")
        return weight

    def _compute(self, request: RoundRequest, question: Iterate | None, payload: memoryview, /) -> Computed:
        phase = phase_of(self.plan, request.phase)
        if phase.model is not None:
            return self._compute_round(request, phase, payload)
        if question is None:
            raise ProtocolError("statistics are hidden in sessions")
        asked = decode_request(payload, self.coordinator)
        self._insist_told(request.phase)
        self._admit(asked, question.input)
        if asked.weights is not None and self._takes_part(asked.header):
            self._insist_known(asked.header, asked.weights)
        if asked.header.operation is Operation.VALIDATE:
            # No round follows: a training that ends early leaves the model from which one would have begun
            self._machine.files.models_of(
                name_training_phase(self.plan, *self._find_training(asked.header))
            ).drop()
        shared, own_summary = self._attempt(question.input, asked, phase.sites)
        self._learn_own(asked.header, question.input, own_summary)
        hiding = Hiding.of_question(asked.header, shared.layout())
        # Only of the latest question: `handle` adds it to the masked answer
        self._answers = {question.input: (own_summary, hiding.layout)}
        groups = self._check_groups(asked.header)
        parts = tuple(
            ComputedVector(vector, values, returns=comes_back(groups, self.site, lot))
            for (vector, lot), values in zip(hiding.lots_of_vectors, hiding.values(shared), strict=True)
        )
        return Computed(parts, note=ReturnedLots.of(hiding, groups, self.site).note)

    def _find_own(self, question: Iterate, payload: memoryview) -> tuple[Summary, SummaryLayout]:
        """What the site alone contributes; computed again if the masked answer came from the disk."""
        if question.input not in self._answers:
            phase = phase_of(self.plan, question.phase)
            asked = decode_request(payload, self.coordinator)
            shared, own_summary = self._separate(asked, phase.sites)
            self._learn_own(asked.header, question.input, own_summary)
            self._answers = {question.input: (own_summary, shared.layout())}
        return self._answers[question.input]

    def _admit(self, asked: Request, digest: str) -> None:
        """Refuse what does not follow from the plan; raises as `StudyDoor.admit`."""
        self._check_groups(asked.header)
        if self.door is not None:
            self.door.admit(asked, digest)

    def _insist_told(self, phase: str) -> None:
        """Refuse to go on in a session while its last sum comes back to this site and was not proved to it.

        Its own words, with which it proves the sum, are erased with the next answer. A link that takes the
        transcripts out of a message would otherwise end the study for good.

        Raises
        ------
        UnknownSumError
            If it was not: the coordinator tells it again once it is asked to resume.
        """
        state = self._machine.files.read(phase)
        if self.door is None or not isinstance(state, SessionState) or state.release is None:
            return
        if state.returned and not self.door.has_proved(state.release.input):
            raise UnknownSumError(
                f"{phase}, step {state.step}: its sum comes back here and was not told -> resume the study; "
                "if this comes again, see what carries messages between coordinator and engine"
            )

    def _attempt(self, digest: str, asked: Request, sites: Sequence[str]) -> tuple[Summary, Summary]:
        """Like `_separate`, of a question that was admitted just now."""
        if self.door is None:
            return self._separate(asked, sites)
        return self.door.attempt(digest, self._separate, asked, sites)

    def _learn_own(self, header: RequestHeader, digest: str, own: Summary) -> None:
        """Keep what is shown of this site alone: later questions may follow from it."""
        if self.door is not None:
            self.door.learn(digest, select_own_sums(self.plan, header, self.site, own))

    def _separate(self, asked: Request, sites: Sequence[str]) -> tuple[Summary, Summary]:
        """What is hidden in sums, and what this site alone contributes.

        Raises
        ------
        ProtocolError
            If the plan does not hide this question among these sites.
        """
        groups = self._check_groups(asked.header)
        number = find_hiding_set(self.plan, groups)
        if number is None or hiding_sets_of(self.plan)[number] != sites:
            raise ProtocolError(f"{asked.header.operation} is not hidden among {', '.join(sites)}")
        taking_part = self._takes_part(asked.header)
        summary = self.answer(asked, taking_part)
        own = self.withhold(asked, select_own(groups, self.site, summary)) if taking_part else Summary()
        return select_shared(groups, self.site, summary), own

    def _insist_known(self, header: RequestHeader, weights: FlatWeights) -> None:
        """Refuse weights of which this site does not know that a round of their training gave them.

        Raises
        ------
        NotThePlanError
            If it does not.
        """
        if not self._knows(header, weights):
            raise NotThePlanError(
                f"{header.operation} of {header.model}, {header.arm}: its end was missed here"
            )

    def _takes_part(self, header: RequestHeader) -> bool:
        """Whether the site's patients are in a sum; it adds zeros otherwise."""
        groups = self._check_groups(header)
        return any(self.site in group.sites for group in groups) and not self._has_rested(header)

    def _has_rested(self, header: RequestHeader) -> bool:
        """Whether the site is asked to judge the last round of a training in whose sum it was not.

        Its validation patients judged none of the other rounds, either: the choice of the round compares AUCs
        of the same patients, and a site that took no part stays unseen by the model.
        """
        if header.operation is not Operation.VALIDATE:
            return False
        phase = name_training_phase(self.plan, *self._find_training(header))
        history = self._machine.files.history
        begun = history.find_begun(phase)
        return begun is None or begun.round != header.round or history.find_release(begun.hdr) is None

    def _find_training(self, header: RequestHeader) -> tuple[CnnModel, Arm]:
        return self.plan.network(header.model), self.plan.arm(header.arm)

    def _check_groups(self, header: RequestHeader) -> tuple[SiteGroup, ...]:
        if header.plan_hash != self.plan.digest():
            raise PlanError(f"the coordinator asks under plan {header.plan_hash[:12]}")
        if header.site:
            raise ProtocolError(f"a hidden sum was asked of {header.site!r} alone")
        return groups_of(self.plan, header.operation, header.stage, header.arm)

    def _compute_round(self, request: RoundRequest, phase: HiddenPhase, payload: memoryview) -> Computed:
        trains = phase.arm is not None and self.site in phase.arm.sites
        # A site that adds zeros gets no model
        model_bytes = request.model_bytes if trains else 0
        weights = np.frombuffer(payload[:model_bytes], dtype="<f4")
        asked = decode_request(payload[model_bytes:], self.coordinator)
        header, model, arm = asked.header, phase.model, phase.arm
        self._check_groups(header)
        if model is None or arm is None:
            raise ProtocolError("a round of no training")
        asked_round = (header.operation, header.model, header.arm, header.round)
        if asked_round != (Operation.TRAIN, model.name, arm.name, request.round):
            raise ProtocolError(
                f"{header.operation}, round {header.round}, came as another round of training"
            )
        self._admit(asked, hashlib.sha256(payload[model_bytes:]).hexdigest())
        layout = self.layout(model)
        hiding = hiding_of(self.plan, layout)
        if not trains:
            return Computed(self._make_vectors(hiding, train_nobody(self.plan, layout), 1.0), patients=0)
        summary = self.answer(Request(header, weights.astype(np.float32, copy=False)), True)
        weight = int(summary.counts["patients"])
        update = to_hidden(self.plan, layout, summary)
        # A site with too few patients to train adds zeros, whose share does not matter
        share = share_of(self.plan, weight) if weight else 1.0
        return Computed(self._make_vectors(hiding, update, share), patients=weight)

    def _make_vectors(self, hiding: Hiding, summary: Summary, share: float) -> tuple[ComputedVector, ...]:
        """A round's vectors; a site that does not train in the round adds noise, too."""
        return tuple(
            ComputedVector(
                vector,
                values,
                alpha=share if vector.is_delta else 1.0,
                variance=variance_of(self.plan, vector),
            )
            for vector, values in zip(hiding.vectors, hiding.values(summary), strict=True)
        )


def _has_missed(files: SiteFiles, phase: str) -> bool:
    """Whether the site missed a training, or that the last round in which it took part was closed."""
    last = files.history.find_begun(phase)
    end = None if last is None else files.history.find_end(last.hdr)
    return end is None or end.status != "opened"
