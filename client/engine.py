"""The site's engine: the only process that reads patients' files, and the only one that decides what leaves.

It trusts the link with nothing: every request must carry the coordinator's signature and the hash of the plan
that this site approved. A refusal leaves as a code; its text, which may name a file or a patient, stays in
the site's log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.progress import Progress

from client.environment import describe
from client.evaluate import evaluate
from client.explain import draw_attention
from client.flow import summarise_flow
from client.models import ModelStore, StoredModel
from client.prepare import prepare_site
from client.samples import TRAINING, VALIDATION, SiteSamples
from client.site import SiteSettings, attention_maps_may_leave, check_profile, check_release, load_site
from client.statistics import summarise_cohort
from client.train import Trainer
from common.errors import PlanError, PolicyError, ProtocolError, RheError
from common.protocol import (
    Operation,
    Reply,
    ReplyHeader,
    Request,
    RequestHeader,
    decode_request,
    encode_reply,
)
from common.stats.contract import Summary
from common.study import CnnModel, StudyPlan
from common.training.dataset import Samples
from common.training.device import pick_device
from common.types import FlatWeights

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
    """

    folder: Path
    settings: SiteSettings
    plan: StudyPlan
    coordinator: Ed25519PublicKey
    state: Path
    progress: Progress
    _samples: SiteSamples | None = field(default=None, repr=False)
    _trainer_kept: Trainer | None = field(default=None, repr=False)

    def handle(self, message: bytes) -> bytes:
        """The reply to one request; never raises but for Ctrl-C, because this is the process' boundary."""
        try:
            reply = self._answer(decode_request(message, self.coordinator))
        except RheError as refusal:
            _log.warning("refused code=%s reason=%s", refusal.code, refusal)
            reply = Reply(ReplyHeader(site=self.settings.name, code=refusal.code))
        except Exception:  # noqa: BLE001 - the process' boundary: no text of an exception leaves the site
            _log.exception("failed code=E_INTERNAL")
            reply = Reply(ReplyHeader(site=self.settings.name, code="E_INTERNAL"))
        return encode_reply(reply)

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
        return self._operations()[header.operation](request)

    def _operations(self) -> dict[Operation, Callable[[Request], Reply]]:
        return {
            Operation.DESCRIBE: self._describe,
            Operation.PREPARE: self._prepare,
            Operation.COHORT: self._cohort,
            Operation.TRAIN: self._train,
            Operation.VALIDATE: self._validate,
            Operation.TRAIN_LOCAL: self._train_local,
            Operation.RELEASE: self._release,
            Operation.EVALUATE: self._evaluate,
            Operation.EXPLAIN: self._explain,
        }

    def _describe(self, _: Request) -> Reply:
        check_profile(self.settings, self.folder, self.plan)
        check_release(self.settings, self.plan)
        device = pick_device(self.settings.device)
        return self._reply(facts=describe(device, synthetic=self.settings.synthetic))

    def _prepare(self, _: Request) -> Reply:
        return Reply(ReplyHeader(site=self.settings.name), summarise_flow(self.patients().prepared))

    def _cohort(self, _: Request) -> Reply:
        return Reply(ReplyHeader(site=self.settings.name), summarise_cohort(self.patients().prepared))

    def _train(self, request: Request) -> Reply:
        """One round: first the pooled validation of the weights that came, then the training from them."""
        header, weights = request.header, _weights(request)
        trainer = self._trainer(header)
        own = self._own_norms(header, header.round - 1)
        validated = self._validation_summary(trainer, weights, own)
        trained, after = trainer.round(weights, self._part(trainer.model, TRAINING), header.round, own)
        if self.plan.federation.batch_norm == "local":
            self._store.keep_round(header.model, header.arm, header.round, after, trainer.layout)
        summary = Summary(
            {**trained.counts, **validated.counts},
            {**trained.reals, **validated.reals},
            trained.updates,
        )
        return Reply(ReplyHeader(site=self.settings.name), summary)

    def _validate(self, request: Request) -> Reply:
        trainer = self._trainer(request.header)
        own = self._own_norms(request.header, request.header.round)
        summary = self._validation_summary(trainer, _weights(request), own)
        return Reply(ReplyHeader(site=self.settings.name), summary)

    def _train_local(self, request: Request) -> Reply:
        header = request.header
        trainer = self._trainer(header)
        if header.arm != f"local-{self.settings.name}":
            raise PolicyError(f"the arm {header.arm!r} is not this site's own")
        stored = self._store.find(header.model)
        if stored is None:
            epochs = self.plan.federation.rounds * self.plan.federation.local_epochs
            task = self.progress.add_task(f"{self.settings.name}: {header.model} alone", total=epochs)
            local = trainer.alone(
                _weights(request),
                self._part(trainer.model, TRAINING),
                self._optional_part(trainer.model, VALIDATION),
                lambda epoch: self.progress.update(task, completed=epoch),
            )
            stored = StoredModel(local.weights, trainer.layout, local.curve, local.chosen)
            self._store.keep(header.model, stored)
            self.progress.remove_task(task)
        return self._reply(curve=stored.curve, chosen=stored.chosen)

    def _release(self, request: Request) -> Reply:
        """A model trained here alone leaves only if plan and site both say so (a declared model release)."""
        name = self.settings.name
        if not self.plan.site(name).model_release:
            raise PolicyError(f"the plan declares no release of the local model {request.header.model!r}")
        check_release(self.settings, self.plan)
        stored = self._stored(request.header.model)
        _log.info("model release model=%s arm=%s", request.header.model, request.header.arm)
        return Reply(ReplyHeader(site=name, chosen=stored.chosen), weights=stored.weights)

    def _evaluate(self, request: Request) -> Reply:
        trainer = self._loaded(request)
        summary = evaluate(trainer, self.patients())
        return Reply(ReplyHeader(site=self.settings.name), summary)

    def _explain(self, request: Request) -> Reply:
        trainer = self._loaded(request)
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

    @property
    def _store(self) -> ModelStore:
        return ModelStore(self.state / "models", self.plan.digest())

    def patients(self) -> SiteSamples:
        """The site's prepared patients; prepared now if this is the first question about them."""
        if self._samples is None:
            prepared = prepare_site(self.folder, self.plan, self.state / "cache", self.progress)
            self._samples = SiteSamples(prepared, pick_device(self.settings.device))
        return self._samples

    def _trainer(self, header: RequestHeader) -> Trainer:
        if header.arm not in {arm.name for arm in self.plan.all_arms()}:
            raise PlanError(f"the plan has no arm {header.arm!r}")
        return self.trainer(self.plan.network(header.model))

    def trainer(self, model: CnnModel) -> Trainer:
        """The model at this site; kept until another is asked for."""
        if self._trainer_kept is None or self._trainer_kept.model != model:
            device = pick_device(self.settings.device)
            self._trainer_kept = Trainer(self.plan, model, self.settings.name, device)
        return self._trainer_kept

    def _part(self, model: CnnModel, part: str) -> Samples:
        return self.patients().of(model, part)

    def _optional_part(self, model: CnnModel, part: str) -> Samples | None:
        return self._part(model, part) if self.patients().cases(part) else None

    def _validation_summary(self, trainer: Trainer, weights: FlatWeights, own: FlatWeights | None) -> Summary:
        trainer.load(weights, own)
        validation = self._optional_part(trainer.model, VALIDATION)
        return trainer.validation(validation).under("validation")

    def _own_norms(self, header: RequestHeader, number: int) -> FlatWeights | None:
        """The site's own weights after a round, where BatchNorm stays local and it trains in the arm."""
        if self.plan.federation.batch_norm != "local" or number == 0:
            return None
        return self._store.find_round(header.model, header.arm, number)

    def _stored(self, model: str) -> StoredModel:
        stored = self._store.find(model)
        if stored is None:
            raise ProtocolError(f"no local model {model!r} was trained here under this plan")
        return stored

    def _loaded(self, request: Request) -> Trainer:
        """The model that a request is about: the weights that came, or the one that stays at this site."""
        header, trainer = request.header, self._trainer(request.header)
        if request.weights is None:
            trainer.load(self._stored(header.model).weights)
        else:
            trainer.load(request.weights, self._own_norms(header, header.round))
        return trainer


def _weights(request: Request) -> FlatWeights:
    if request.weights is None:
        raise ProtocolError(f"a request to {request.header.operation} came without weights")
    return request.weights


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
