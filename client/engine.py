"""The site's engine: the only process that reads patients' files, and the only one that decides what leaves.

It trusts the link with nothing: every request must carry the coordinator's signature and the hash of the plan
that this site approved. A refusal leaves as a code; its text, which may name a file or a patient, stays in
the site's log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.progress import Progress

from client.answers.flow_chart import summarise_flow
from client.answers.known_models import ModelJudge, OwnModels, brings_model
from client.answers.samples import SiteSamples
from client.answers.score_store import ScoreStore
from client.answers.shifts import PredictorShifts
from client.answers.statistics import SiteAnalyses
from client.answers.training import SiteTrainings
from client.cohort.cases import PreparedSite
from client.cohort.prepare import prepare_site
from client.cohort.site_files import log_report, write_refusals, write_site_files
from client.door.door import StudyDoor, select_own_sums
from client.hidden import HiddenAnswers
from client.membership.environment import describe_environment
from client.membership.party import HidingParty
from client.membership.policy import check_plan, find_breaches, refuse_bare_sums
from client.membership.site import SiteSettings, is_synthetic, load_site
from client.release.egress import departure_of, list_sealed_departures
from client.release.ledger import Departure, Ledger, check_quota
from client.release.named_reply import encode_answer
from client.release.refusal_counts import RefusalCounts
from client.release.releases import open_registry
from client.watch.site_watch import SiteWatch
from common.errors import (
    CohortError,
    PlanError,
    PolicyError,
    ProtocolError,
    RheError,
    SiteError,
    StorageError,
)
from common.hiding.rounds import validate_nobody
from common.messages.catalogue import Operation, find_question
from common.messages.envelope import answer_each
from common.messages.groups import groups_of
from common.messages.headers import LinkUsers, ReplyHeader, RequestHeader
from common.messages.protocol import Parameters, Reply, Request, decode_request
from common.plan.study import StudyPlan
from common.program.steps import Step
from common.runtime.machine import bind_threads
from common.runtime.storage import make_private_folder
from common.secagg.codes import SecAggError
from common.secagg.wire.forwarded import take_transcripts
from common.secagg.wire.frames import Bytes, is_sealed, unpack
from common.stats.contract import Summary
from common.training.device import name_memory_shortage

_log = logging.getLogger(__name__)


@dataclass
class SiteEngine:
    """Answers requests about one site's patients under one approved plan.

    Attributes
    ----------
    folder : Path
        The site folder.
    settings : SiteSettings
        Its site.toml.
    plan : StudyPlan
        As approved.
    coordinator : Ed25519PublicKey
        Whose signature requests must carry.
    state : Path
        Where cache, models and pictures of this site are kept.
    progress, watch : Progress, SiteWatch
        They show what takes long, and are told what happens.
    party : HidingParty, optional
        Who the site is in the protocol that hides sums.
    own_seed : int, optional
        With which the site draws among its patients; by default the plan's seed, as simulated sites do.
    users : {"one user", "two users"} or None
        Whether the link, which has the network, runs as another user; None where there is no link.
    """

    folder: Path
    settings: SiteSettings
    plan: StudyPlan
    coordinator: Ed25519PublicKey
    state: Path
    progress: Progress
    party: HidingParty | None = None
    own_seed: int | None = None
    users: LinkUsers | None = None
    watch: SiteWatch = field(default_factory=SiteWatch)
    _samples: SiteSamples | None = field(default=None, repr=False)
    _refusals: RefusalCounts = field(default_factory=RefusalCounts, repr=False)

    def handle(self, message: bytes) -> bytes:
        """The reply to a request, or to several in one; nothing but Ctrl-C is raised: it is the boundary."""
        # What comes later loads libraries, too: so every message binds those that are there
        with bind_threads(self.plan.threads):
            return answer_each(message, self.watch.watch_answer(self._handle))

    def _handle(self, message: bytes) -> bytes:
        header, asked = None, memoryview(message)
        try:
            asked = memoryview(take_transcripts(message)[1])
            check_quota(self.settings, self.ledger)
            if is_sealed(asked):
                return self._record_sealed(asked, self._answer_sealed(asked, message))
            request = decode_request(asked, self.coordinator)
            header = request.header
            self._learn_sums(header, message)
            reply = self._answer(request, request.digest)
            return self._record(asked, header, reply)
        except RheError as refusal:
            code, reason = refusal.code, str(refusal)
        except Exception:  # noqa: BLE001 - the process' boundary: no text of an exception leaves the site
            _log.exception("failed code=E_INTERNAL")
            code, reason = "E_INTERNAL", "an unexpected error -> see engine.log"
        self.watch.see_failure(reason)
        return self._refuse(asked, header, code, reason)

    def _encode(self, reply: Reply, asked: Bytes) -> bytes:
        return encode_answer(reply, asked, None if self.party is None else self.party.identity.key)

    def _record(self, asked: Bytes, header: RequestHeader | None, reply: Reply) -> bytes:
        """The reply's bytes, after it was written in the ledger."""
        body = self._encode(reply, asked)
        self._write(departure_of(header, reply, body))
        return body

    def _write(self, departure: Departure) -> bool:
        """Write the line of what is about to leave, and return whether it has one of its own."""
        if departure.numbers and self._door is not None:
            departure = departure.model_copy(update={"questions": self._door.questions})
        line = self._refusals.merge(departure)
        if line is not None:
            self.ledger.record(line)
        return line is not None

    def _record_sealed(self, message: Bytes, reply: Reply) -> bytes:
        """A masked answer's bytes, after it and the site's own part of it were written in the ledger."""
        body = self._encode(reply, message)
        for departure in list_sealed_departures(self.plan, message, reply):
            self._write(departure)
        return body

    def _refuse(self, asked: Bytes, header: RequestHeader | None, code: str, reason: str) -> bytes:
        reply = Reply(ReplyHeader(site=self.settings.name, code=code))
        body = self._encode(reply, asked)
        try:
            has_line = self._write(departure_of(header, reply, body))
        except StorageError as failure:
            # Without its line nothing leaves, not even why: no more than that the disk failed
            _log.error("not in the ledger code=%s reason=%s", code, failure)
            return self._encode(Reply(ReplyHeader(site=self.settings.name, code=failure.code)), asked)
        # Of what nobody signed the log, too, tells now and then: it would be full of nothing else
        if header is not None or has_line:
            _log.warning("refused code=%s reason=%s", code, reason)
        return body

    @cached_property
    def ledger(self) -> Ledger:
        """What has left this site."""
        return Ledger(self.state / "ledger")

    def _answer_sealed(self, asked: Bytes, message: bytes) -> Reply:
        """The answer to a message of the protocol; `message` is the same with its transcripts before it.

        Raises
        ------
        ProtocolError
            If the plan hides nothing.
        SecAggError
            If somebody else than the coordinator sent it.
        """
        if self._hidden is None:
            raise ProtocolError("a sum was asked to be hidden, which the plan does not do")
        # The protocol audits what it refuses, line by line: what anybody can send does not reach it
        if not unpack(asked).is_signed_by(self.coordinator.public_bytes_raw()):
            raise SecAggError("the coordinator did not sign this", code="E_COORD_SIG")
        return self._hidden.handle(message)

    def _learn_sums(self, header: RequestHeader, message: bytes) -> None:
        """Learn the sums that stand before a question outside the protocol.

        Raises
        ------
        ProtocolError
            If the plan hides nothing.
        RheError
            If a sum is false, or was before.
        """
        if is_sealed(message):
            if self._hidden is None:
                raise ProtocolError("a sum was told that the plan does not hide")
            self._hidden.open_transcripts(message)
        elif self._hidden is not None and header.operation is not Operation.DESCRIBE:
            self._hidden.insist_sound()

    @cached_property
    def _hidden(self) -> HiddenAnswers | None:
        if self.party is None or not self.plan.hides_sums:
            return None
        return HiddenAnswers(
            self.plan,
            self.settings.name,
            self.coordinator,
            self.party,
            self.watch.watch_sum(self.summarise),
            lambda asked, own: self._analyses.withhold_few(asked.header, asked.parameters, own),
            lambda model: self.trainings.open_trainer(model).layout,
            self.trainings.make_initial_weights,
            audit=self.ledger,
            door=self._door,
        )

    def summarise(self, request: Request, member: bool) -> Summary:  # noqa: FBT001
        """What this site adds to a sum: its patients' numbers, or zeros in the same arrays.

        Raises
        ------
        ProtocolError
            If the operation is no sum.
        RheError
            If it may not, or cannot, be computed.
        """
        header = request.header
        if find_question(header.operation, header.stage).is_statistic:
            analyses = self._analyses if member else replace(self._analyses, cases=())
            return analyses.answer(header, request.parameters)
        answers = _SUMS_OF_MODELS if member else _SUMS_OF_NOBODY
        if header.operation not in answers:
            raise ProtocolError(f"{header.operation} is no sum")
        return answers[header.operation](self, request)

    def _refuse_sum_in_clear(self, header: RequestHeader) -> None:
        """Refuse to send a sum of several sites in the clear; only what is this site's own may leave so.

        Raises
        ------
        PolicyError
            If the sum is over several sites.
        """
        groups = groups_of(self.plan, header.operation, header.stage, header.arm)
        if not all(group.alone for group in groups):
            raise PolicyError(
                f"{header.operation} {header.stage}: the plan hides this sum, it was asked bare"
            )

    def _answer(self, request: Request, digest: str) -> Reply:
        """The answer to a question outside the protocol, with the SHA-256 of its bytes.

        Raises
        ------
        PlanError
            If it is asked under another plan.
        ProtocolError
            If it is for another site.
        RheError
            If it may not be asked now, or cannot be answered.
        """
        header = request.header
        if header.plan_hash != self.plan.digest():
            raise PlanError(
                f"the coordinator asks under plan {header.plan_hash[:12]}, this site approved "
                f"{self.plan.digest()[:12]} -> compare the two study.toml files"
            )
        anyone = header.operation is Operation.DESCRIBE and not header.site
        if header.site != self.settings.name and not anyone:
            raise ProtocolError(f"a request for {header.site!r} reached the site {self.settings.name!r}")
        self.watch.see_question(header)
        operation, answer = header.operation, self._compute_answer
        if operation is not Operation.DESCRIBE:
            refuse_bare_sums(self.settings, self.folder, self.plan)
        is_sum = find_question(operation, header.stage).is_sum
        if self.plan.hides_sums and is_sum:
            self._refuse_sum_in_clear(header)
        if operation is not Operation.DESCRIBE and self._door is not None:
            self._door.admit(request, digest, is_alone=True)
            if operation is Operation.SCORE and not self._door.is_current(digest):
                # What was asked since stands: no old question changes scores again
                answer = self._confirm
        if self._models is not None and brings_model(request):
            return self._models.answer(request, answer)
        if self._door is not None and brings_model(request):
            self.trainings.insist_own(request)
        reply = answer(request) if self._door is None else self._door.attempt(digest, answer, request)
        if is_sum and self._door is not None:
            self._door.learn(digest, select_own_sums(self.plan, header, self.settings.name, reply.summary))
        return reply

    @cached_property
    def _door(self) -> StudyDoor | None:
        """What admits questions; None where sums of simulated sites travel bare: nobody could prove them."""
        if not self.plan.hides_sums and len(self.plan.sites) > 1:
            return None
        folder = self.state / "door" / self.plan.digest()[:16]
        known = partial(self.ledger.count_questions, self.plan.digest())
        return StudyDoor(self.plan, self.settings.name, folder, self._measure_shift, known)

    def _measure_shift(self, step: Step, expected: Parameters, asked: Parameters) -> float:
        known = self._analyses
        return PredictorShifts(self.plan, known.cases, known.store).measure(step, expected, asked)

    @cached_property
    def _models(self) -> ModelJudge | None:
        """What judges models that come; None where the plan hides no sum, and has no roster."""
        if self.party is None or self._hidden is None:
            return None
        own = OwnModels(self.plan, self.trainings.insist_own, self._hidden.knows)
        return ModelJudge(self.plan, self.settings.name, self.party, own.hold)

    def _confirm(self, request: Request) -> Reply:  # noqa: ARG002
        return self._make_reply()

    def _compute_answer(self, request: Request) -> Reply:
        operation = request.header.operation
        if operation in _REPLIES:
            return _REPLIES[operation](self, request)
        return Reply(ReplyHeader(site=self.settings.name), self.summarise(request, member=True))

    def describe(self, _: Request) -> Reply:
        """What software and hardware this site has, once policy and plan agree.

        Raises
        ------
        PolicyError
            If the policy forbids what the plan does.
        SiteError
            If there is a simulator's marker that cannot be read.
        """
        try:
            check_plan(self.settings, self.folder, self.plan)
        except (PolicyError, SiteError):
            breaches = tuple(find_breaches(self.settings, self.folder, self.plan))
            log_report(write_refusals(breaches, self.folder, self.plan.name, self.state))
            raise
        facts = describe_environment(self.settings)
        return self._make_reply(facts=facts.model_copy(update={"users": self.users}))

    def prepare(self, _: Request) -> Reply:
        """The flow chart of this site's patients, and how they are divided."""
        return Reply(ReplyHeader(site=self.settings.name), summarise_flow(self.open_patients().prepared))

    def explain(self, request: Request) -> Reply:
        """Attention maps; they leave the site only if its patients are synthetic."""
        from client.answers.explain import explain_model

        trainer, arm = self.trainings.load_network(request), request.header.arm
        # This message may have loaded torch: what came after its threads were bound is bound here
        with bind_threads(self.plan.threads), name_memory_shortage():
            drawings = explain_model(trainer, self.open_patients(), self.state, arm)
        if not is_synthetic(self.settings, self.folder):
            return self._make_reply()
        captions = tuple(drawing.caption for drawing in drawings)
        pictures = tuple(np.frombuffer(drawing.png, dtype=np.uint8) for drawing in drawings)
        return Reply(ReplyHeader(site=self.settings.name, captions=captions), pictures=pictures)

    def _make_reply(self, **fields: object) -> Reply:
        return Reply(ReplyHeader.model_validate({"site": self.settings.name, **fields}))

    def open_patients(self) -> SiteSamples:
        """The site's patients; prepared now if this is the first question about them."""
        if self._samples is None:
            self._samples = SiteSamples(self._prepare_patients())
        return self._samples

    def _prepare_patients(self) -> PreparedSite:
        """The patients; page and findings lie in the site's folder, also where it cannot take part.

        Raises
        ------
        CohortError
            If the site cannot take part.
        """
        plan, cache = self.plan, self.state / "cache"
        try:
            prepared = prepare_site(self.folder, plan, cache, self.progress, self.own_seed)
        except CohortError as refusal:
            log_report(write_refusals(refusal.findings, self.folder, self.plan.name, self.state))
            raise
        log_report(write_site_files(prepared, self.plan.name, self.state))
        return prepared

    @cached_property
    def trainings(self) -> SiteTrainings:
        """What answers the questions of training."""
        secret = "" if self.party is None else self.party.training_secret
        patients, seed = self.open_patients(), self.own_seed
        return SiteTrainings(self.plan, self.settings, patients, self.state, self.progress, secret, seed)

    @cached_property
    def _analyses(self) -> SiteAnalyses:
        plan, cases = self.plan, self.open_patients().prepared.cases
        registry = open_registry(plan, self.state)
        store = ScoreStore(self.state / "scores", plan.digest())
        return SiteAnalyses(plan, self.settings.name, cases, store, registry, self.own_seed)


_REPLIES: dict[Operation, Callable[[SiteEngine, Request], Reply]] = {
    Operation.DESCRIBE: SiteEngine.describe,
    Operation.PREPARE: SiteEngine.prepare,
    Operation.EXPLAIN: SiteEngine.explain,
    Operation.TRAIN_LOCAL: lambda engine, request: engine.trainings.train_alone(request),
    Operation.RELEASE: lambda engine, request: engine.trainings.release(request),
    Operation.SCORE: lambda engine, request: engine.trainings.score(request),
}
_SUMS_OF_MODELS: dict[Operation, Callable[[SiteEngine, Request], Summary]] = {
    Operation.TRAIN: lambda engine, request: engine.trainings.train(request).summary,
    Operation.VALIDATE: lambda engine, request: engine.trainings.validate(request).summary,
    Operation.WEIGHT: lambda engine, _: engine.trainings.weigh(),
}
"""What a site adds to the sums of a training; to those of statistics, `SiteAnalyses.answer`."""
_SUMS_OF_NOBODY: dict[Operation, Callable[[SiteEngine, Request], Summary]] = {
    Operation.VALIDATE: lambda *_: validate_nobody().under("validation"),
    Operation.WEIGHT: lambda *_: Summary({"patients": np.array(0)}),
}
"""What a site adds that is not of the arm."""


def open_engine(
    folder: Path, plan: StudyPlan, coordinator: Ed25519PublicKey, state: Path, progress: Progress
) -> SiteEngine:
    """The engine of a site folder, ready for requests.

    Raises
    ------
    SiteError
        If the folder or its site.toml is unusable.
    PlanError
        If the plan has no site of this name.
    StorageError
        If the state cannot be made.
    """
    settings = load_site(folder)
    plan.site(settings.name)
    return SiteEngine(folder, settings, plan, coordinator, make_private_folder(state), progress)
