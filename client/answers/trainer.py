"""Training on a site's own patients: one federated round, or a whole model that stays at its site."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from torch import nn

from client.answers.control_store import ControlStore
from client.answers.epoch_choice import EpochChoice
from client.answers.epoch_count import count_epochs
from client.answers.epoch_file import EpochFile
from common.errors import ModelError, NonFiniteError
from common.hiding.rounds import (
    VALIDATION_GRID,
    round_to_ring,
    starts_alike,
    validate_nobody,
    weight_of,
)
from common.messages.headers import Epoch
from common.models.layout import BATCHNORM, Layout
from common.models.weights import flatten, flatten_change, overwrite
from common.models.zoo import build
from common.plan.study import FEDERATED, CnnModel, StudyPlan
from common.seeds import derive_seed
from common.stats.contract import Summary
from common.stats.minima import minima_of
from common.stats.roc import local_roc
from common.training.control_variates import ControlVariates
from common.training.dataset import Samples
from common.training.device import name_memory_shortage
from common.training.learning_rate import list_rates
from common.training.loop import Schedule, score, train
from common.types import FlatWeights, Pixels, Reals

_SUFFIX = ".epochs"


@dataclass(frozen=True)
class Trainer:
    """One model of the plan at one place.

    Attributes
    ----------
    plan : StudyPlan
        Settings and seed.
    model : CnnModel
        Which of the plan's.
    place : str
        Whose patients: the site's name, or "pooled" in simulations; seeds derive from it.
    device : torch.device
        Where to compute.
    secret : str
        Known to the site alone, where sums are hidden: whoever knew its seeds could recognise its update.
    own_seed : int or None
        With which the site draws among its patients; None for the plan's seed.
    kept : Path or None
        The folder in which trainings of this model keep their epochs; None: nowhere.
    progress : Progress or None
        Shows the epochs of a round.
    """

    plan: StudyPlan
    model: CnnModel
    place: str
    device: torch.device
    secret: str = ""
    own_seed: int | None = None
    kept: Path | None = None
    progress: Progress | None = None

    @property
    def seed(self) -> int:
        """With which this place draws."""
        return self.plan.seed if self.own_seed is None else self.own_seed

    @cached_property
    def network(self) -> nn.Module:
        """The network; whoever uses it loads weights first.

        Raises
        ------
        ModelError
            If torch cannot build it here.
        MemoryShortageError
            If the memory does not suffice.
        """
        try:
            with name_memory_shortage():
                return build(self.model.network(self.plan.preprocessing))
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as failure:
            raise ModelError(f"{self.model.name}: cannot be built here: {failure}") from None

    @cached_property
    def layout(self) -> Layout:
        """What each element of its flat weights is."""
        return Layout.of(self.network)

    def load(self, weights: FlatWeights, own_norms: FlatWeights | None = None) -> nn.Module:
        """The network with these weights; with the site's own BatchNorm if given (FedBN, Li et al. 2021)."""
        kept = weights if own_norms is None else np.where(self.layout.mask(BATCHNORM), own_norms, weights)
        overwrite(self.network, kept, self.layout)
        return self.network

    def make_batch(self, image: Pixels) -> torch.Tensor:
        """One patient's input as a batch of one."""
        return torch.from_numpy(np.array(image, dtype=np.float32))[None]

    def train_round(
        self, weights: FlatWeights, samples: Samples, number: int, arm: str = FEDERATED
    ) -> Summary:
        """What the site adds to one round by training the loaded network, which has the weights after it.

        Parameters
        ----------
        weights : float32 vector
            The global model, which was loaded before.
        samples : Samples
            The site's training patients.
        number : int
            Of the round, from 1.
        arm : str
            The arm's name.

        Returns
        -------
        Summary
            `delta`: weight x (new - old weights); `patients`: the weight, which is 1 where all sites weigh
            alike; `loss`: weight x mean loss.
        """
        network = self.network
        federation, secret = self.plan.federation, [self.secret] if self.secret else []
        secret += [arm] if starts_alike(self.plan, self.model) else []
        weight = weight_of(self.plan, len(samples))
        controls = self._begin_controls(arm, number, (weights, weight))
        schedule = Schedule(
            epochs=federation.local_epochs,
            seed=derive_seed(self.seed, self.place, "training", self.model.name, number, *secret),
            proximal_mu=federation.proximal_mu,
            device=self.device,
            threads=self.plan.threads,
            rates=self._list_rates_of(number),
            steps=federation.local_steps,
            correction=None if controls is None else controls.correction,
        )
        file = self._open_epochs(f"round-{number}", weights, samples, schedule)
        what = f"{self.place}: {self.model.name}, round {number}"
        with count_epochs(file, self.progress, what, schedule.epochs) as memory:
            log = train(network, samples, self.model.settings, replace(schedule, memory=memory))
        if file is not None:
            file.drop()
        delta = flatten_change(network, weights)
        if controls is not None:
            summed = self._see_as_summed(arm, delta, weight)
            self._open_controls(arm).end(number, (weights, weight), controls, summed)
        delta *= np.float32(weight)
        return Summary(
            {"patients": np.array(weight)},
            {"loss": np.array(weight * log.losses[-1])},
            {"delta": delta},
        )

    def train_nobody(self, weights: FlatWeights, number: int, arm: str = FEDERATED) -> Summary:
        """What a site with too few patients adds to a round: no change of the weights, and no weight."""
        if self.plan.federation.control_variates:
            self._open_controls(arm).skip_round(number)
        nothing = {"delta": np.zeros_like(weights)}
        return Summary({"patients": np.array(0)}, {"loss": np.array(0.0)}, nothing)

    def score(self, images: torch.Tensor) -> Reals:
        """The loaded network's probability of expansion for every image.

        Raises
        ------
        NonFiniteError
            If one is not a number.
        MemoryShortageError
            If the memory does not suffice.
        """
        return score(self.network, images, self.device, self.plan.threads)

    def validate(self, samples: Samples | None) -> Summary:
        """Class histograms of the loaded network's scores on the validation split, or zeros."""
        if samples is None:
            return validate_nobody()
        scores = self.score(samples.images)
        return local_roc(scores, samples.labels.cpu().numpy() > 0, VALIDATION_GRID)

    def train_alone(
        self,
        weights: FlatWeights,
        training: Samples,
        validation: Samples | None,
        report: Callable[[int], None],
    ) -> LocalModel:
        """A model of these patients alone: as many epochs as the federation's, best validation AUC kept.

        Parameters
        ----------
        weights : float32 array, shape (weights,)
            With which training starts.
        training : Samples
            The patients to train on.
        validation : Samples or None
            The patients who choose the epoch, if any.
        report : callable
            Gets the number of each epoch that is done.

        Raises
        ------
        NonFiniteError
            If a weight is NaN or infinite.
        """
        federation, minima = self.plan.federation, minima_of(self.plan.profile)
        network, choice = self.load(weights), EpochChoice(weights)

        def after_epoch(number: int, loss: float) -> None:
            report(number)
            if number % federation.local_epochs == 0:
                choice.judge((number, loss), self.validate(validation), minima, partial(flatten, network))

        schedule = Schedule(
            epochs=federation.rounds * federation.local_epochs,
            seed=derive_seed(self.seed, self.place, "training-alone", self.model.name),
            device=self.device,
            threads=self.plan.threads,
            rates=self._list_rates(1, federation.rounds * federation.local_epochs),
            steps=federation.local_steps,
        )
        file = self._open_epochs("alone", weights, training, schedule)
        if file is not None:
            file.note = choice.write_note
            if file.start is not None:
                choice.read_note(file.noted)
        train(network, training, self.model.settings, replace(schedule, memory=file), after_epoch)
        if not np.isfinite(choice.weights).all():
            raise NonFiniteError(f"{self.model.name}: weights are not finite -> lower the learning rate")
        return LocalModel(choice.weights, tuple(choice.curve), choice.chosen)

    def forget_epochs(self) -> None:
        """Remove what trainings of this model kept of their epochs: the model is safe."""
        if self.kept is not None:
            for path in self.kept.glob(f"*{_SUFFIX}"):
                path.unlink()

    def forget_controls(self, arm: str) -> None:
        """Remove the site's control variates of an arm's training: it is over."""
        if self.plan.federation.control_variates:
            self._open_controls(arm).drop()

    def _begin_controls(
        self, arm: str, number: int, begun: tuple[FlatWeights, int]
    ) -> ControlVariates | None:
        """What the site knows of gradients before a round; None without SCAFFOLD.

        A round begins with weights, and with the weight of the site's update.
        """
        if not self.plan.federation.control_variates:
            return None
        return self._open_controls(arm).begin(number, *begun)

    def _see_as_summed(self, arm: str, change: FlatWeights, weight: int) -> FlatWeights:
        """The change of this site that is in the arm's sum: rounded, where sums are hidden.

        The mean control variate follows from the sum. With what the ring rounds away, the sites' own would
        not have that mean, and the difference would stay in every later step of them all.
        """
        if not self.plan.privacy.hides_sums_of(len(self.plan.arm(arm).sites)):
            return change
        return round_to_ring(self.plan, self.layout, change, weight)

    def _open_controls(self, arm: str) -> ControlStore:
        """Where the site's own control variates lie.

        Raises
        ------
        ModelError
            If this place keeps nothing.
        """
        if self.kept is None:
            raise ModelError(f"{self.model.name}: {self.place} keeps no control variates")
        federation = self.plan.federation
        server_rate = federation.server_learning_rate if federation.server_optimiser == "sgd" else 1.0
        return ControlStore(self.kept, arm, self._sum_rates, server_rate)

    def _sum_rates(self, number: int) -> float:
        """The sum of the learning rates of a round's steps.

        Raises
        ------
        ModelError
            If the plan does not say how many steps there are.
        """
        federation = self.plan.federation
        if federation.local_steps is None:
            raise ModelError(f"{self.model.name}: steps of a round differ from site to site")
        constant = (self.model.settings.learning_rate,) * federation.local_epochs
        return sum(self._list_rates_of(number) or constant) * federation.local_steps

    def _list_rates_of(self, number: int) -> tuple[float, ...]:
        """The learning rates of a round's epochs."""
        epochs = self.plan.federation.local_epochs
        return self._list_rates(1 + (number - 1) * epochs, epochs)

    def _list_rates(self, first: int, epochs: int) -> tuple[float, ...]:
        """The learning rates of so many epochs, from one that is counted through the whole training."""
        settings, federation = self.model.settings, self.plan.federation
        numbers = range(first, first + epochs)
        whole = federation.rounds * federation.local_epochs
        return list_rates(settings.schedule, settings.learning_rate, numbers, whole)

    def _open_epochs(
        self, name: str, weights: FlatWeights, samples: Samples, schedule: Schedule
    ) -> EpochFile | None:
        """The file in which a training keeps its epochs; None where it has one, or nobody keeps any."""
        if self.kept is None or schedule.epochs == 1:
            return None

        def bind() -> str:
            about = [self.plan.digest(), self.model.name, self.place, name, torch.__version__]
            about += [str(value) for value in (schedule.epochs, schedule.seed, schedule.threads, self.device)]
            digest = hashlib.sha256(json.dumps(about).encode())
            # Weights of a message are read-only, which torch warns of
            corrected = () if schedule.correction is None else (schedule.correction,)
            for array in (weights, samples.images.cpu().numpy(), samples.labels.cpu().numpy(), *corrected):
                digest.update(np.ascontiguousarray(array).data)
            return digest.hexdigest()

        # Weights, two moments of each, and the best weights
        return EpochFile(self.kept / f"{name}{_SUFFIX}", bind, 4 * weights.nbytes)


@dataclass(frozen=True)
class LocalModel:
    """A model trained in one place.

    Attributes
    ----------
    weights : float32 array, shape (weights,)
        Of the chosen epoch.
    curve : tuple of Epoch
        Every `local_epochs` epochs.
    chosen : int
        Epoch of the weights.
    """

    weights: FlatWeights
    curve: tuple[Epoch, ...]
    chosen: int
