"""The site's engine: the only process that reads patients' files, and the only one that decides what leaves.

It trusts the link with nothing: every request must carry the coordinator's signature and the hash of the plan
that this site approved. A refusal leaves as a code; its text, which may name a file or a patient, stays in
the site's log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.progress import Progress

from client.analyses import SiteAnalyses
from client.disclosure import check_plan, check_quota
from client.egress import departure_of, sealed_departures
from client.environment import describe as describe_environment
from client.explain import draw_attention
from client.flow import summarise_flow
from client.hidden import HiddenAnswers
from client.ledger import Ledger
from client.party import HidingParty
from client.prepare import prepare_site
from client.registry import ReleaseRegistry
from client.samples import SiteSamples
from client.score_store import ScoreStore
from client.site import SiteSettings, attention_maps_may_leave, load_site
from client.trainings import SiteTrainings
from common.errors import PlanError, PolicyError, ProtocolError, RheError, StorageError
from common.groups import groups_of
from common.headers import Operation, ReplyHeader, RequestHeader
from common.protocol import Parameters, Reply, Request, decode_request, encode_reply
from common.rounds import nobody_validated
from common.secagg.wire import is_sealed
from common.stats.contract import Summary
from common.stats.minima import minima_of
from common.study import StudyPlan
from common.training.device import pick_device

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
    progress : Progress
        Shows what takes long.
    party : HidingParty, optional
        Who the site is in the protocol that hides sums.
    """

    folder: Path
    settings: SiteSettings
    plan: StudyPlan
    coordinator: Ed25519PublicKey
    state: Path
    progress: Progress
    party: HidingParty | None = None
    _samples: SiteSamples | None = field(default=None, repr=False)

    def handle(self, message: bytes) -> bytes:
        """The reply to one request; never raises but for Ctrl-C, because this is the process' boundary."""
        header = None
        try:
            check_quota(self.settings, self.ledger)
            if is_sealed(message):
                return self._told(message, self._sealed(message))
            request = decode_request(message, self.coordinator)
            header = request.header
            reply = self._answer(request)
            return self._recorded(header, reply)
        except RheError as refusal:
            _log.warning("refused code=%s reason=%s", refusal.code, refusal)
            code = refusal.code
        except Exception:  # noqa: BLE001 - the process' boundary: no text of an exception leaves the site
            _log.exception("failed code=E_INTERNAL")
            code = "E_INTERNAL"
        return self._refused(header, code)

    def _recorded(self, header: RequestHeader | None, reply: Reply) -> bytes:
        """The reply's bytes, once they stand in the ledger."""
        body = encode_reply(reply)
        self.ledger.record(departure_of(header, reply, body))
        return body

    def _told(self, message: bytes, reply: Reply) -> bytes:
        """A masked answer's bytes, once it and what is the site's own beside it stand in the ledger."""
        body = encode_reply(reply)
        for departure in sealed_departures(self.plan, message, reply):
            self.ledger.record(departure)
        return body

    def _refused(self, header: RequestHeader | None, code: str) -> bytes:
        reply = Reply(ReplyHeader(site=self.settings.name, code=code))
        try:
            return self._recorded(header, reply)
        except StorageError as failure:
            # A refusal has no number in it: it leaves without its line.
            _log.error("not in the ledger code=%s reason=%s", code, failure)
            return encode_reply(reply)

    @cached_property
    def ledger(self) -> Ledger:
        """What has left this site."""
        return Ledger(self.state / "ledger")

    def _sealed(self, message: bytes) -> Reply:
        if self._hidden is None:
            raise ProtocolError("a sum was asked to be hidden, which the plan does not do")
        return self._hidden.handle(message)

    @cached_property
    def _hidden(self) -> HiddenAnswers | None:
        if self.party is None or not self.plan.hides_sums:
            return None
        return HiddenAnswers(
            self.plan,
            self.settings.name,
            self.coordinator,
            self.party,
            self.summarise,
            lambda model: self.trainings.trainer(model).layout,
            self.trainings.initial,
        )

    def summarise(self, request: Request, member: bool) -> Summary:  # noqa: FBT001
        """What this site adds to a sum: its patients', or nothing in the same arrays.

        Raises
        ------
        RheError
            If it may not, or cannot, be computed.
        """
        header, operation = request.header, request.header.operation
        if operation is Operation.VALIDATE:
            return self.trainings.validate(request).summary if member else nobody_validated()
        if operation is Operation.TRAIN and member:
            return self.trainings.train(request).summary
        if operation is Operation.WEIGHT:
            return self.trainings.weigh() if member else Summary({"patients": np.array(0)})
        if operation not in _STATISTICS:
            raise ProtocolError(f"{operation} is no sum")
        analyses = self._analyses if member else replace(self._analyses, cases=())
        return _STATISTICS[operation](analyses, header, request.parameters)

    def _insist_on_own(self, header: RequestHeader) -> None:
        """In the clear, only what is this site's own: every sum of several sites is hidden.

        Raises
        ------
        PolicyError
            If it is not.
        """
        groups = groups_of(self.plan, header.operation, header.stage, header.arm)
        if not all(group.alone for group in groups):
            raise PolicyError(
                f"{header.operation} {header.stage}: the plan hides this sum, it was asked bare"
            )

    def _answer(self, request: Request) -> Reply:
        header = request.header
        if header.plan_hash != self.plan.digest():
            raise PlanError(
                f"the coordinator asks under plan {header.plan_hash[:12]}, this site approved "
                f"{self.plan.digest()[:12]} -> compare the two study.toml files"
            )
        anyone = header.operation is Operation.DESCRIBE and not header.site
        if header.site != self.settings.name and not anyone:
            raise ProtocolError(f"a request for {header.site!r} reached the site {self.settings.name!r}")
        _log.info("request operation=%s model=%s arm=%s", header.operation, header.model, header.arm)
        operation = header.operation
        if self.plan.hides_sums and operation in _SUMMED:
            self._insist_on_own(header)
        if request.weights is not None and operation in _JUDGED and self._hidden is not None:
            self._hidden.insist_known(header, request.weights)
        if operation in _TRAINING:
            return _TRAINING[operation](self.trainings, request)
        if operation in _STATISTICS:
            summary = _STATISTICS[operation](self._analyses, header, request.parameters)
            return Reply(ReplyHeader(site=self.settings.name), summary)
        return _OTHERS[operation](self, request)

    def describe(self, _: Request) -> Reply:
        """What software and hardware this site has, once policy and plan agree."""
        check_plan(self.settings, self.folder, self.plan)
        device = pick_device(self.settings.device)
        return self._reply(facts=describe_environment(device, self.settings))

    def prepare(self, _: Request) -> Reply:
        """The flow chart of this site's patients, and how they are divided."""
        return Reply(ReplyHeader(site=self.settings.name), summarise_flow(self.patients().prepared))

    def explain(self, request: Request) -> Reply:
        """Attention maps, which leave synthetic sites alone."""
        trainer = self.trainings.loaded(request)
        folder = self.state / "attention" / request.header.model / request.header.arm
        drawings = draw_attention(trainer, self.patients(), folder)
        if not attention_maps_may_leave(self.settings, self.folder):
            return self._reply()
        return Reply(
            ReplyHeader(site=self.settings.name, captions=tuple(drawing.caption for drawing in drawings)),
            pictures=tuple(np.frombuffer(drawing.png, dtype=np.uint8) for drawing in drawings),
        )

    def _reply(self, **fields: object) -> Reply:
        return Reply(ReplyHeader.model_validate({"site": self.settings.name, **fields}))

    def patients(self) -> SiteSamples:
        """The site's prepared patients; prepared now if this is the first question about them."""
        if self._samples is None:
            prepared = prepare_site(self.folder, self.plan, self.state / "cache", self.progress)
            self._samples = SiteSamples(prepared, pick_device(self.settings.device))
        return self._samples

    @cached_property
    def trainings(self) -> SiteTrainings:
        """The questions of training."""
        secret = "" if self.party is None else self.party.training_secret
        return SiteTrainings(self.plan, self.settings, self.patients(), self.state, self.progress, secret)

    @cached_property
    def _analyses(self) -> SiteAnalyses:
        minima = minima_of(self.plan.profile)
        registry = ReleaseRegistry(self.state / "released.json", self.plan.cohort.maximum_releases, minima)
        store = ScoreStore(self.state / "scores", self.plan.digest())
        return SiteAnalyses(self.plan, self.settings.name, self.patients().prepared.cases, store, registry)


_TRAINING: dict[Operation, Callable[[SiteTrainings, Request], Reply]] = {
    Operation.TRAIN: SiteTrainings.train,
    Operation.VALIDATE: SiteTrainings.validate,
    Operation.TRAIN_LOCAL: SiteTrainings.train_alone,
    Operation.RELEASE: SiteTrainings.release,
    Operation.SCORE: SiteTrainings.score,
}
_STATISTICS: dict[Operation, Callable[[SiteAnalyses, RequestHeader, Parameters], Summary]] = {
    Operation.GUARD: SiteAnalyses.guard,
    Operation.COHORT: SiteAnalyses.cohort,
    Operation.SETUP: SiteAnalyses.setup,
    Operation.NEWTON: SiteAnalyses.newton,
    Operation.SCALING: SiteAnalyses.scaling,
    Operation.PRESCREEN: SiteAnalyses.prescreen,
    Operation.GRAM: SiteAnalyses.gram,
    Operation.AGREEMENT: SiteAnalyses.readings,
    Operation.READING_MEANS: SiteAnalyses.readings,
    Operation.READING_SUMS: SiteAnalyses.readings,
    Operation.RIDGE: SiteAnalyses.ridge,
    Operation.HELD_OUT: SiteAnalyses.held_out,
    Operation.EVALUATE: SiteAnalyses.evaluate,
    Operation.CALIBRATE: SiteAnalyses.calibrate,
    Operation.COMPARE: SiteAnalyses.compare,
}
_SUMMED = frozenset({*_STATISTICS, Operation.TRAIN, Operation.VALIDATE, Operation.WEIGHT})
"""What is added over sites."""
_JUDGED = frozenset({Operation.SCORE, Operation.EXPLAIN})
"""For what weights come that were trained before."""
_OTHERS: dict[Operation, Callable[[SiteEngine, Request], Reply]] = {
    Operation.DESCRIBE: SiteEngine.describe,
    Operation.PREPARE: SiteEngine.prepare,
    Operation.EXPLAIN: SiteEngine.explain,
}


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
    """
    settings = load_site(folder)
    plan.site(settings.name)
    return SiteEngine(folder, settings, plan, coordinator, state, progress)
