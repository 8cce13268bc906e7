"""A site's answers to the questions of training: rounds, models of its own, releases, and scores."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.progress import Progress

from client.environment import software_versions
from client.models import ModelStore, StoredModel
from client.regressions import SiteRegressions
from client.samples import PARTS, TRAINING, VALIDATION, SiteSamples
from client.score_store import ScoreStore
from client.site import SiteSettings, check_release
from client.svm import SiteSvms
from client.train import Trainer
from common.card import local_card, network_content, training_centre
from common.design import design_of
from common.errors import NonFiniteError, PlanError, PolicyError, ProtocolError
from common.fitted import coefficients_of, covariates_of
from common.headers import ReplyHeader, RequestHeader
from common.models.weights import flatten
from common.models.zoo import build
from common.protocol import Reply, Request
from common.questions import read_coefficients
from common.rounds import weight_of
from common.seeds import derive_seed
from common.stats.contract import Summary
from common.study import CnnModel, LogisticModel, ScoresModel, StudyPlan
from common.study_models import SvmModel
from common.training.dataset import Samples
from common.training.device import pick_device
from common.training.loop import score
from common.types import FlatWeights, Reals

_log = logging.getLogger(__name__)


@dataclass
class SiteTrainings:
    """What a plan's training may ask of one site.

    Attributes
    ----------
    plan : StudyPlan
    settings : SiteSettings
    patients : SiteSamples
    state : Path
        Where models and scores are kept.
    progress : Progress
        Shows what takes long.
    """

    plan: StudyPlan
    settings: SiteSettings
    patients: SiteSamples
    state: Path
    progress: Progress
    _kept: Trainer | None = field(default=None, repr=False)
    _tables: dict[str, SiteRegressions] = field(default_factory=dict, repr=False)

    def train(self, request: Request) -> Reply:
        """One round: first the pooled validation of the weights that came, then the training from them."""
        header, weights = request.header, _weights(request)
        trainer = self._network(header)
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

    def validate(self, request: Request) -> Reply:
        """The pooled validation of the weights that came."""
        trainer = self._network(request.header)
        own = self._own_norms(request.header, request.header.round)
        summary = self._validation_summary(trainer, _weights(request), own)
        return Reply(ReplyHeader(site=self.settings.name), summary)

    def weigh(self) -> Summary:
        """What this site's updates weigh: told once, so that no later set of sites tells it."""
        patients = len(self.patients.cases(TRAINING))
        return Summary({"patients": np.array(weight_of(self.plan, patients))})

    def initial(self, model: CnnModel) -> FlatWeights | None:
        """The weights with which the plan lets a network start; None if they come from ImageNet."""
        if model.initialisation == "imagenet":
            return None
        spec = model.network(self.plan.preprocessing)
        return flatten(build(spec, derive_seed(self.plan.seed, "initial-weights", model.name)))

    def train_alone(self, request: Request) -> Reply:
        """A model of this site's patients alone, which stays here."""
        header = request.header
        model = self._model(header)
        self._insist_own(header)
        if isinstance(model, LogisticModel):
            self._regressions(header.arm).fit_alone(model)
            return Reply(ReplyHeader(site=self.settings.name))
        if isinstance(model, SvmModel):
            self._svms(header.arm).fit_alone(model)
            return Reply(ReplyHeader(site=self.settings.name))
        stored = self._store.find(header.model)
        if stored is None:
            stored = self._train_alone(model, _weights(request))
        return Reply(ReplyHeader(site=self.settings.name, curve=stored.curve, chosen=stored.chosen))

    def release(self, request: Request) -> Reply:
        """A model trained here alone leaves only if plan and site both say so (a declared model release)."""
        name, model = self.settings.name, self._model(request.header)
        if not self.plan.site(name).model_release:
            raise PolicyError(f"the plan declares no release of the local model {model.name!r}")
        self._insist_own(request.header)
        check_release(self.settings, self.plan)
        _log.info("model release model=%s arm=%s", request.header.model, request.header.arm)
        if isinstance(model, LogisticModel | SvmModel):
            return Reply(self._released(model, request.header.arm))
        stored = self._stored(model.name)
        return Reply(ReplyHeader(site=name, chosen=stored.chosen), weights=stored.weights)

    def score(self, request: Request) -> Reply:
        """Every patient here scored by a model; the scores stay, evaluations sum over them."""
        header, model = request.header, self._model(request.header)
        if isinstance(model, LogisticModel):
            scores = self._risks(model, request)
        elif isinstance(model, SvmModel):
            scores = self._svm_risks(model, request)
        else:
            scores = self._outputs(self.loaded(request))
        cases = self.patients.prepared.cases
        self._scores.keep(header.model, header.arm, cases, scores)
        return Reply(ReplyHeader(site=self.settings.name))

    def loaded(self, request: Request) -> Trainer:
        """The network that a request is about: the weights that came, or the one that stays at this site."""
        header, trainer = request.header, self._network(request.header)
        if request.weights is None:
            self._insist_own(header)
            trainer.load(self._stored(header.model).weights)
        else:
            trainer.load(request.weights, self._own_norms(header, header.round))
        return trainer

    def trainer(self, model: CnnModel) -> Trainer:
        """The network at this site; kept until another is asked for."""
        if self._kept is None or self._kept.model != model:
            device = pick_device(self.settings.device)
            self._kept = Trainer(self.plan, model, self.settings.name, device)
        return self._kept

    @property
    def _store(self) -> ModelStore:
        return ModelStore(self.state / "models", self.plan.digest())

    @property
    def _scores(self) -> ScoreStore:
        return ScoreStore(self.state / "scores", self.plan.digest())

    def _regressions(self, arm: str) -> SiteRegressions:
        """Kept, because the arm's selection of features takes longest of all that its models need."""
        if arm not in self._tables:
            cases, folder = self.patients.prepared.cases, self.state / "models"
            own = (self.plan, self.settings.name, cases, folder, self._scores, arm)
            self._tables[arm] = SiteRegressions(*own)
        return self._tables[arm]

    def _released(self, model: LogisticModel | SvmModel, arm: str) -> ReplyHeader:
        """A model of the table, with how the features that it takes were selected."""
        table, name = self._regressions(arm), self.settings.name
        selection = table.selection_for(model)
        if isinstance(model, LogisticModel):
            return ReplyHeader(site=name, fitted=table.alone(model), selection=selection)
        return ReplyHeader(site=name, svm=SiteSvms(table).alone(model), selection=selection)

    def _svms(self, arm: str) -> SiteSvms:
        return SiteSvms(self._regressions(arm))

    def _model(self, header: RequestHeader) -> CnnModel | LogisticModel | SvmModel:
        model = self.plan.model(header.model)
        if isinstance(model, ScoresModel):
            raise PlanError(f"the scores {header.model!r} stand in the table, they are not trained")
        if header.arm not in {arm.name for arm in self.plan.arms_of(model)}:
            raise PlanError(f"the plan has no arm {header.arm!r} of {header.model!r}")
        return model

    def _is_own(self, header: RequestHeader) -> bool:
        return header.arm == f"local-{self.settings.name}"

    def _insist_own(self, header: RequestHeader) -> None:
        if not self._is_own(header):
            raise PolicyError(f"the arm {header.arm!r} is not this site's own")

    def _network(self, header: RequestHeader) -> Trainer:
        model = self._model(header)
        if not isinstance(model, CnnModel):
            raise PlanError(f"{header.model!r} is no network")
        return self.trainer(model)

    def _train_alone(self, model: CnnModel, weights: FlatWeights) -> StoredModel:
        trainer = self.trainer(model)
        epochs = self.plan.federation.rounds * self.plan.federation.local_epochs
        task = self.progress.add_task(f"{self.settings.name}: {model.name} alone", total=epochs)
        local = trainer.alone(
            weights,
            self._part(model, TRAINING),
            self._optional_part(model, VALIDATION),
            lambda epoch: self.progress.update(task, completed=epoch),
        )
        stored = StoredModel(local.weights, trainer.layout, local.curve, local.chosen)
        centre = training_centre(self.plan, self.settings.name, len(self.patients.cases(TRAINING)))
        content = network_content(self.plan, model, stored.chosen)
        card = local_card(self.plan, model.name, centre, software_versions(), content)
        self._store.keep(model.name, stored, card)
        self.progress.remove_task(task)
        return stored

    def _outputs(self, trainer: Trainer) -> Reals:
        """The loaded network's probabilities, in the order of the cases."""
        cases = self.patients.prepared.cases
        place = {case.patient.identifier: index for index, case in enumerate(cases)}
        scores = np.full(len(cases), np.nan)
        for part in PARTS:
            own = self.patients.cases(part)
            if own:
                images = self.patients.of(trainer.model, part).images
                found = score(trainer.network, images, trainer.device, self.plan.threads)
                scores[[place[case.patient.identifier] for case in own]] = found
        if not np.isfinite(scores).all():
            raise NonFiniteError(
                f"{trainer.model.name}: a score is NaN or infinite -> lower the learning rate"
            )
        return scores

    def _risks(self, model: LogisticModel, request: Request) -> Reals:
        """By the coefficients that came, or by the model that stays here; none by one that was not fitted."""
        regressions = self._regressions(request.header.arm)
        if "coefficients" in request.parameters:
            (names,) = request.header.regressions or ((),)
            return regressions.score(read_coefficients(request.parameters), names)
        nobody = np.full(len(self.patients.prepared.cases), np.nan)
        if not self._is_own(request.header):
            # Nothing came because nothing could be fitted; a model of this site alone is another model.
            return nobody
        own = regressions.alone(model)
        if own.intercept is None:
            return nobody
        return regressions.score(coefficients_of(own, design_of(self.plan)), covariates_of(own))

    def _svm_risks(self, model: SvmModel, request: Request) -> Reals:
        """By the linear form that came, or by the exact machine that stays here; none if there is neither."""
        machines = self._svms(request.header.arm)
        if request.parameters:
            return machines.score(model, request.parameters)
        if request.header.arm != f"local-{self.settings.name}":
            return np.full(len(self.patients.prepared.cases), np.nan)
        return machines.score_exactly(model)

    def _part(self, model: CnnModel, part: str) -> Samples:
        return self.patients.of(model, part)

    def _optional_part(self, model: CnnModel, part: str) -> Samples | None:
        return self._part(model, part) if self.patients.cases(part) else None

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


def _weights(request: Request) -> FlatWeights:
    if request.weights is None:
        raise ProtocolError(f"a request to {request.header.operation} came without weights")
    return request.weights
