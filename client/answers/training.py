"""A site's answers to the questions of training: rounds, models of its own, releases, and scores."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import numpy as np
from rich.progress import Progress

from client.answers.card_scores import score_by_card
from client.answers.model_store import ModelStore, StoredModel
from client.answers.own_models import insist_trained_here
from client.answers.regressions import SiteRegressions
from client.answers.samples import TRAINING, VALIDATION, SiteSamples
from client.answers.score_store import ScoreStore
from client.answers.svm import SiteSvms
from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from client.membership.environment import read_versions
from client.membership.site import SiteSettings, check_release
from client.release.releases import SiteReleases
from common.cards.card import describe_network, make_local_card, training_centre_of
from common.errors import (
    NonFiniteError,
    NotThePlanError,
    PlanError,
    PolicyError,
    ProtocolError,
    SmallNumberError,
)
from common.hiding.rounds import start_seed, weight_of
from common.messages.headers import ReplyHeader, RequestHeader
from common.messages.protocol import Reply, Request
from common.plan.design import design_of
from common.plan.matrix import SPLITS
from common.plan.message_size import MOST_TOGETHER, size_weights
from common.plan.models import AnyTableModel, AnyTrainedModel, CardModel, SvmModel
from common.plan.study import Arm, CnnModel, LogisticModel, ScoresModel, StudyPlan
from common.stats.contract import Summary
from common.training.device import name_memory_shortage, pick_device
from common.types import FlatWeights, Reals

if TYPE_CHECKING:
    from client.answers.trainer import Trainer
    from common.training.dataset import Samples

_log = logging.getLogger(__name__)
_TOO_CLOSE = "the part {part} has too few patients more or less than in an earlier study"


@dataclass
class SiteTrainings:
    """What a plan's training may ask of one site.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    settings : SiteSettings
        Its site.toml.
    patients : SiteSamples
        Its prepared patients.
    state : Path
        Where models and scores are kept.
    progress : Progress
        Shows what takes long.
    secret : str
        Known to the site alone; goes into the seeds of federated training, which everybody could otherwise
        derive from the plan.
    own_seed : int or None
        With which the site draws among its patients; None for the plan's seed.
    """

    plan: StudyPlan
    settings: SiteSettings
    patients: SiteSamples
    state: Path
    progress: Progress
    secret: str = ""
    own_seed: int | None = None
    _kept: dict[str, Trainer] = field(default_factory=dict, repr=False)
    _tables: dict[str, SiteRegressions] = field(default_factory=dict, repr=False)
    _claimed: dict[str, bool] = field(default_factory=dict, repr=False)

    def train(self, request: Request) -> Reply:
        """One round: first the pooled validation of the weights that came, then the training from them.

        Raises
        ------
        ProtocolError
            If no weights came.
        PlanError
            If the plan has no such network or arm.
        """
        header, weights = request.header, _weights_of(request)
        trainer = self._find_network(header)
        own_norms = self._find_own_norms(header, header.round - 1)
        with name_memory_shortage():
            trainer.load(weights, own_norms)
            # Scoring leaves the network as it was loaded
            validated = self._validate(trainer)
            trained = self._train_round(trainer, header, weights)
        summary = Summary(
            {**trained.counts, **validated.counts},
            {**trained.reals, **validated.reals},
            trained.updates,
        )
        return Reply(ReplyHeader(site=self.settings.name), summary)

    def _train_round(self, trainer: Trainer, header: RequestHeader, weights: FlatWeights) -> Summary:
        """What the site adds to the round; nothing if it has too few patients to train a network."""
        if not weight_of(self.plan, len(self._list_released(TRAINING))):
            return trainer.train_nobody(weights, header.round, header.arm)
        samples = self._read_part(trainer.model, TRAINING)
        trained = trainer.train_round(weights, samples, header.round, header.arm)
        if self.plan.federation.batch_norm == "local":
            # After the training, whose modules import torch
            from common.models.weights import flatten

            after = flatten(trainer.network)
            self._store.keep_round(header.model, header.arm, header.round, after, trainer.layout)
        return trained

    def validate(self, request: Request) -> Reply:
        """The pooled validation of the weights that came, with which a training is over."""
        trainer = self._find_network(request.header)
        own_norms = self._find_own_norms(request.header, request.header.round)
        trainer.forget_controls(request.header.arm)
        with name_memory_shortage():
            trainer.load(_weights_of(request), own_norms)
            summary = self._validate(trainer)
        return Reply(ReplyHeader(site=self.settings.name), summary)

    def weigh(self) -> Summary:
        """The weight of this site's updates; summed once, so that no later set of sites reveals it."""
        patients = len(self._list_released(TRAINING))
        return Summary({"patients": np.array(weight_of(self.plan, patients))})

    def make_initial_weights(self, model: CnnModel, arm: Arm) -> FlatWeights | None:
        """The weights with which a network starts by the plan; None if they come from ImageNet."""
        if model.initialisation == "imagenet":
            return None
        # MONAI, whose import takes longer than the engine's own: a plan of tables alone does without
        from common.models.weights import flatten
        from common.models.zoo import build

        spec = model.network(self.plan.preprocessing)
        return flatten(build(spec, start_seed(self.plan, model, arm)))

    def train_alone(self, request: Request) -> Reply:
        """Train a model on this site's patients alone; it stays here.

        Raises
        ------
        PolicyError
            If the arm is not this site's own.
        PlanError
            If the plan has no such model or arm.
        """
        header = request.header
        model = self._find_model(header)
        self._refuse_other_arm(header)
        if isinstance(model, LogisticModel):
            fitted = self._open_regressions(header.arm).fit_alone(model)
            return Reply(ReplyHeader(site=self.settings.name, standing=fitted.standing))
        if isinstance(model, SvmModel):
            machine = self._open_svms(header.arm).fit_alone(model)
            return Reply(ReplyHeader(site=self.settings.name, standing=machine.standing))
        stored = self._store.find(header.model)
        if stored is None:
            stored = self._train_alone(model, _weights_of(request))
        return Reply(ReplyHeader(site=self.settings.name, curve=stored.curve, chosen=stored.chosen))

    def release(self, request: Request) -> Reply:
        """A model trained here alone; it leaves only by a release that both plan and site declare.

        Raises
        ------
        PolicyError
            If the plan declares no release, the site allows none, or the arm is not the site's own.
        ProtocolError
            If no such model was trained here.
        SmallNumberError
            If too few of its patients have changed since a release under another plan.
        """
        name, model = self.settings.name, self._find_model(request.header)
        if not self.plan.site(name).model_release:
            raise PolicyError(f"the plan declares no release of the local model {model.name!r}")
        self._refuse_other_arm(request.header)
        check_release(self.settings, self.plan)
        _log.info("model release model=%s arm=%s", request.header.model, request.header.arm)
        if isinstance(model, AnyTableModel):
            training = cases_of(self.patients.prepared.cases, "training")
            self._releases.remember([("training", training)], read_again=False)
            return Reply(self._make_release(model, request.header.arm))
        stored = self._read_stored(model.name)
        for part in (TRAINING, VALIDATION):
            if self.patients.cases_of_part(part) and not self._list_released(part):
                raise SmallNumberError(f"{model.name}: {_TOO_CLOSE.format(part=part)}")
        return Reply(ReplyHeader(site=name, chosen=stored.chosen), weights=stored.weights)

    def score(self, request: Request) -> Reply:
        """Score every patient here by a model; the scores stay, evaluations sum over them.

        A model that does not exist scores nobody.
        """
        header, planned = request.header, self.plan.model(request.header.model)
        if isinstance(planned, CardModel):
            scores = score_by_card(self.plan, planned, request.weights, self.patients.prepared, self.state)
            self._scores.keep(header.model, header.arm, self.patients.prepared.cases, scores)
            return Reply(ReplyHeader(site=self.settings.name))
        model = self._find_model(header)
        if header.stage == "untrained":
            scores = np.full(len(self.patients.prepared.cases), np.nan)
            if isinstance(model, CnnModel) and self.plan.federation.control_variates:
                # The training failed: no VALIDATE ends it
                self.open_trainer(model).forget_controls(header.arm)
        elif isinstance(model, CnnModel):
            with name_memory_shortage():
                scores = self._score_network(self.load_network(request))
        elif isinstance(model, LogisticModel):
            scores = self._open_regressions(header.arm).score_as_asked(model, request)
        elif isinstance(model, SvmModel):
            scores = self._score_svm(model, request)
        else:
            assert_never(model)
        cases = self.patients.prepared.cases
        self._scores.keep(header.model, header.arm, cases, scores)
        return Reply(ReplyHeader(site=self.settings.name))

    def insist_own(self, request: Request) -> None:
        """Refuse a model that is not the one trained here alone, whose arm the request names.

        Raises
        ------
        PolicyError
            If the arm is not this site's own.
        ProtocolError
            If no such model was trained here.
        NotThePlanError
            If it is another.
        """
        header, model = request.header, self._find_model(request.header)
        self._refuse_other_arm(header)
        if isinstance(model, CnnModel):
            insist_trained_here(request, self._read_stored(model.name), design_of(self.plan))
        elif isinstance(model, LogisticModel):
            held = self._open_regressions(header.arm).read_alone(model)
            insist_trained_here(request, held, design_of(self.plan))
        else:
            machine = self._open_svms(header.arm).read_alone(model)
            insist_trained_here(request, machine, design_of(self.plan))

    def load_network(self, request: Request) -> Trainer:
        """The network that a request is about: the weights that came, or the one that stays at this site."""
        header, trainer = request.header, self._find_network(request.header)
        if request.weights is None:
            self._refuse_other_arm(header)
            trainer.load(self._read_stored(header.model).weights)
        else:
            trainer.load(request.weights, self._find_own_norms(header, header.round))
        return trainer

    def open_trainer(self, model: CnnModel) -> Trainer:
        """The network at this site; small ones, whose trainings take turns, are kept beside each other."""
        from client.answers.trainer import Trainer

        if model.name not in self._kept:
            sizes = [size_weights(kept.model) for kept in self._kept.values()]
            if sum(sizes) + size_weights(model) > MOST_TOGETHER:
                self._kept.clear()
            device, kept = pick_device(self.settings.device), self._store.folder_of(model.name)
            whose = (self.settings.name, device, self.secret, self.own_seed, kept, self.progress)
            self._kept[model.name] = Trainer(self.plan, model, *whose)
        return self._kept[model.name]

    @property
    def _store(self) -> ModelStore:
        return ModelStore(self.state / "models", self.plan.digest())

    @property
    def _scores(self) -> ScoreStore:
        return ScoreStore(self.state / "scores", self.plan.digest())

    def _open_regressions(self, arm: str) -> SiteRegressions:
        """The logistic models of an arm; kept, because their selection of features takes long."""
        if arm not in self._tables:
            name, folder = self.settings.name, self.state / "models"
            whose = (self.patients.prepared.cases, folder, self._scores, arm, self.own_seed)
            self._tables[arm] = SiteRegressions(self.plan, name, *whose)
        return self._tables[arm]

    def _make_release(self, model: AnyTableModel, arm: str) -> ReplyHeader:
        """The reply with a model of the table, and how the features that it takes were selected."""
        table, name = self._open_regressions(arm), self.settings.name
        selection = table.find_selection(model)
        if isinstance(model, LogisticModel):
            return ReplyHeader(site=name, fitted=table.read_alone(model), selection=selection)
        return ReplyHeader(site=name, svm=SiteSvms(table).read_alone(model), selection=selection)

    def _open_svms(self, arm: str) -> SiteSvms:
        return SiteSvms(self._open_regressions(arm))

    def _find_model(self, header: RequestHeader) -> AnyTrainedModel:
        model = self.plan.model(header.model)
        if isinstance(model, ScoresModel | CardModel):
            raise PlanError(f"{header.model!r} is not trained in this study")
        if header.arm not in {arm.name for arm in self.plan.arms_of(model)}:
            raise PlanError(f"the plan has no arm {header.arm!r} of {header.model!r}")
        return model

    def _is_own(self, header: RequestHeader) -> bool:
        return header.arm == f"local-{self.settings.name}"

    def _refuse_other_arm(self, header: RequestHeader) -> None:
        if not self._is_own(header):
            raise PolicyError(f"the arm {header.arm!r} is not this site's own")

    def _find_network(self, header: RequestHeader) -> Trainer:
        model = self._find_model(header)
        if not isinstance(model, CnnModel):
            raise PlanError(f"{header.model!r} is no network")
        return self.open_trainer(model)

    def _train_alone(self, model: CnnModel, weights: FlatWeights) -> StoredModel:
        """The network, trained and kept.

        Raises
        ------
        SmallNumberError
            If the training patients have one outcome: nothing tells it from the other.
        NotThePlanError
            If the weights are not the plan's first.
        """
        initial = self.make_initial_weights(model, self.plan.arm(f"local-{self.settings.name}"))
        digest = hashlib.sha256(np.ascontiguousarray(weights, dtype="<f4").data).hexdigest()
        is_other = initial is not None and not np.array_equal(initial, weights)
        if is_other or model.first_weights not in {None, digest}:
            raise NotThePlanError(f"{model.name}: the weights are not those with which the plan starts")
        if len({case.positive for case in self.patients.cases_of_part(TRAINING)}) == 1:
            raise SmallNumberError(f"{model.name}: the training patients of this site have one outcome only")
        trainer = self.open_trainer(model)
        epochs = self.plan.federation.rounds * self.plan.federation.local_epochs
        task = self.progress.add_task(f"{self.settings.name}: {model.name} alone", total=epochs)
        with name_memory_shortage():
            local = trainer.train_alone(
                weights,
                self._read_part(model, TRAINING),
                self._read_optional_part(model, VALIDATION),
                lambda epoch: self.progress.update(task, completed=epoch),
            )
        stored = StoredModel(local.weights, trainer.layout, local.curve, local.chosen)
        centre = training_centre_of(self.plan, self.settings.name, len(self.patients.cases_of_part(TRAINING)))
        content = describe_network(self.plan, model, stored.chosen)
        card = make_local_card(self.plan, model.name, centre, read_versions(), content)
        self._store.keep(model.name, stored, card)
        trainer.forget_epochs()
        self.progress.remove_task(task)
        return stored

    def _score_network(self, trainer: Trainer) -> Reals:
        """The loaded network's probabilities, in the order of the cases.

        Raises
        ------
        NonFiniteError
            If a score is NaN or infinite.
        """
        cases = self.patients.prepared.cases
        place = {case.patient.identifier: index for index, case in enumerate(cases)}
        scores = np.full(len(cases), np.nan)
        for part in SPLITS:
            of_part = self.patients.cases_of_part(part)
            if of_part:
                images = self.patients.of(trainer.model, part).images
                part_scores = trainer.score(images)
                scores[[place[case.patient.identifier] for case in of_part]] = part_scores
        if not np.isfinite(scores).all():
            raise NonFiniteError(
                f"{trainer.model.name}: a score is NaN or infinite -> lower the learning rate"
            )
        return scores

    def _score_svm(self, model: SvmModel, request: Request) -> Reals:
        """Risks by the linear form that came, or by the exact machine that stays here; NaN without either."""
        machines = self._open_svms(request.header.arm)
        if request.parameters:
            return machines.score(model, request.parameters)
        if request.header.arm != f"local-{self.settings.name}":
            return np.full(len(self.patients.prepared.cases), np.nan)
        return machines.score_exactly(model)

    def _read_part(self, model: CnnModel, part: str) -> Samples:
        return self.patients.of(model, part)

    def _read_optional_part(self, model: CnnModel, part: str) -> Samples | None:
        return self._read_part(model, part) if self.patients.cases_of_part(part) else None

    def _validate(self, trainer: Trainer) -> Summary:
        """The scores of the loaded network on the site's validation patients, as histograms."""
        is_released = bool(self._list_released(VALIDATION))
        validation = self._read_part(trainer.model, VALIDATION) if is_released else None
        return trainer.validate(validation).under("validation")

    def _list_released(self, part: str) -> tuple[PreparedCase, ...]:
        """The patients of a part; nobody if too few are others than in an earlier study of networks."""
        cases = self.patients.cases_of_part(part)
        if part not in self._claimed:
            self._claimed[part] = self._releases.claim((part, cases))
            if not self._claimed[part]:
                _log.warning("%s: the site adds nothing of it", _TOO_CLOSE.format(part=part))
        return cases if self._claimed[part] else ()

    @cached_property
    def _releases(self) -> SiteReleases:
        return SiteReleases.open(self.plan, self.patients.prepared.cases, self.state)

    def _find_own_norms(self, header: RequestHeader, number: int) -> FlatWeights | None:
        """The site's own weights after a round, where BatchNorm stays local and it trains in the arm."""
        if self.plan.federation.batch_norm != "local" or number == 0:
            return None
        return self._store.find_round(header.model, header.arm, number)

    def _read_stored(self, model: str) -> StoredModel:
        stored = self._store.find(model)
        if stored is None:
            raise ProtocolError(f"no local model {model!r} was trained here under this plan")
        return stored


def _weights_of(request: Request) -> FlatWeights:
    if request.weights is None:
        raise ProtocolError(f"a request to {request.header.operation} came without weights")
    return request.weights
