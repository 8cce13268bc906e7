"""Training a network on one site's patients, and scoring patients with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from common.cohort.split import FEWEST_TRAINING
from common.errors import NonFiniteError, SmallNumberError
from common.runtime.pulse import mark_progress
from common.stats.contract import are_finite
from common.training.augment import augments, draw_transforms, warp
from common.training.control_variates import GradientCorrection
from common.training.device import autocast, move_if_fits, place_network, reproducible, to_network_format
from common.training.epoch_state import EpochState, collect_arrays, restore_arrays
from common.training.normalisation import average_statistics
from common.training.proximal import Proximal
from common.training.recomputation import Recomputation, spare_memory_if_short

if TYPE_CHECKING:
    from torch import nn

    from common.training.dataset import Samples
    from common.training.epoch_state import EpochMemory
    from common.training.settings import TrainingSettings
    from common.types import FlatWeights, Reals

_log = logging.getLogger(__name__)

CPU = torch.device("cpu")

EpochReporter: TypeAlias = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and its mean loss; may score the network meanwhile."""


@dataclass(frozen=True)
class Schedule:
    """How long, with which seed and where one call of `train` runs.

    Attributes
    ----------
    epochs : int
        Passes over the patients.
    seed : int
        Seed of the patients' order, the augmentation and the dropout.
    proximal_mu : float
        FedProx' penalty; 0 is FedAvg.
    anchor : FlatWeights or None
        Weights towards which FedProx pulls, float32, shape (layout.size,); by default those at the start.
    device : torch.device
        As `pick_device` returns it.
    threads : int
        CPU threads: the same number gives the same bits.
    memory : EpochMemory or None
        Where the training goes on if its process died, and keeps its epochs.
    rates : tuple of float
        Learning rate of each epoch; empty for that of the settings in all.
    steps : int or None
        Steps of each epoch, through the patients again or through some of them; None: each patient once.
    correction : FlatWeights or None
        What SCAFFOLD adds to the gradient of each step, float32, shape (layout.size,).
    """

    epochs: int
    seed: int
    proximal_mu: float = 0.0
    anchor: FlatWeights | None = None
    device: torch.device = CPU
    threads: int = 1
    memory: EpochMemory | None = None
    rates: tuple[float, ...] = ()
    steps: int | None = None
    correction: FlatWeights | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")
        if self.proximal_mu < 0:
            raise ValueError(f"proximal_mu must not be negative, not {self.proximal_mu}")
        if self.rates and len(self.rates) != self.epochs:
            raise ValueError(f"{len(self.rates)} learning rates for {self.epochs} epochs")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")


@dataclass(frozen=True)
class TrainingLog:
    """What one call of `train` did.

    Attributes
    ----------
    losses : tuple of float
        For each epoch the mean cross-entropy per patient, without penalties.
    steps : int
        Steps of the optimiser, over all epochs.
    patients : int
        Number of training patients.
    """

    losses: tuple[float, ...]
    steps: int
    patients: int


def train(
    network: nn.Module,
    samples: Samples,
    settings: TrainingSettings,
    schedule: Schedule,
    report: EpochReporter | None = None,
) -> TrainingLog:
    """Train the network in place with a new optimiser, and return the losses.

    The same network, samples, settings and schedule give the same bits, whatever ran before; torch's global
    generators are restored. The network ends on the schedule's device.

    Raises
    ------
    SmallNumberError
        With fewer than two patients.
    NonFiniteError
        At a loss or weight that is NaN or infinite, with epoch and step.
    MemoryShortageError
        If the memory does not suffice.

    References
    ----------
    Kingma and Ba (2015), Adam. McMahan et al. (2017), FedAvg. Li et al. (2020), FedProx.
    Karimireddy et al. (2020), SCAFFOLD.
    Wu and Johnson (2021), Rethinking "Batch" in BatchNorm, section 3.1.
    """
    weight = _weigh_positives(samples, settings)
    device = schedule.device
    sparing = spare_memory_if_short(network, device)
    with reproducible(device, schedule.threads, schedule.seed), sparing as recomputation:
        place_network(network, device)
        run = _Run(network, move_if_fits(samples, device), settings, schedule, weight)
        run.recomputation = recomputation
        losses = run.go_on() if schedule.memory is not None else []
        for epoch in range(len(losses) + 1, schedule.epochs + 1):
            losses.append(run.run_epoch(epoch))
            is_read = report is not None or epoch == schedule.epochs
            if is_read and settings.batch_norm_statistics == "recomputed":
                run.recompute_statistics()
            if report is not None:
                report(epoch, losses[-1])
            if schedule.memory is not None and epoch < schedule.epochs:
                schedule.memory.keep(partial(run.collect, losses))
        run.check_state()
    return TrainingLog(tuple(losses), run.steps, len(samples))


@torch.no_grad()
def score(
    network: nn.Module, images: torch.Tensor, device: torch.device, threads: int = 1, batch: int = 4
) -> Reals:
    """Probability of expansion of every patient, shape (n,), in float32 arithmetic without dropout.

    The last batch is filled up, because the number of patients in a batch decides the bits. So a patient's
    score does not depend on the other patients.

    Raises
    ------
    NonFiniteError
        If a probability is not a number.
    MemoryShortageError
        If the memory does not suffice.
    """
    if len(images) == 0:
        return np.zeros(0)
    training = network.training
    network.eval()
    try:
        with reproducible(device, threads):
            place_network(network, device)
            parts = torch.split(_fill_batches(images, batch), batch)
            logits = [_score_batch(network, part, device) for part in parts]
    finally:
        network.train(training)
    probabilities: Reals = torch.sigmoid(torch.cat(logits)[: len(images)].double()).numpy()
    if not np.isfinite(probabilities).all():
        raise NonFiniteError("the network's scores are not numbers -> its weights or inputs are damaged")
    return probabilities


def _score_batch(network: nn.Module, part: torch.Tensor, device: torch.device) -> torch.Tensor:
    mark_progress("scoring patients by a network")
    logits: torch.Tensor = network(to_network_format(part.to(device))).reshape(-1).cpu()
    return logits


def _is_finite(tensor: torch.Tensor) -> bool:
    if tensor.device.type == "cpu" and tensor.dtype is torch.float32:
        # torch's check makes three tensors of the same length
        return are_finite(tensor.detach().numpy())
    return bool(torch.isfinite(tensor).all())


def _fill_batches(images: torch.Tensor, batch: int) -> torch.Tensor:
    """The images with the last one repeated until every batch is full."""
    lacking = -len(images) % batch
    return torch.cat([images, images[-1:].expand(lacking, *images.shape[1:])]) if lacking else images


def cut_batches(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """The order cut into batches; a last batch of one patient joins the batch before it.

    BatchNorm cannot normalise a single patient, and no patient should be left out.

    Examples
    --------
    >>> [len(batch) for batch in batches(torch.arange(9), 4)]
    [4, 5]
    """
    parts = list(torch.split(order, max(size, 2)))
    if len(parts) > 1 and len(parts[-1]) == 1:
        last = parts.pop()
        parts[-1] = torch.cat([parts[-1], last])
    return parts


class _Run:
    """The state of one call of `train`."""

    recomputation: Recomputation

    def __init__(
        self,
        network: nn.Module,
        samples: Samples,
        settings: TrainingSettings,
        schedule: Schedule,
        positive_weight: float | None,
    ) -> None:
        self._network = network
        self._samples = samples
        self._settings = settings
        self._schedule = schedule
        self._device = schedule.device
        self._source = torch.Generator().manual_seed(schedule.seed)
        self._weight = (
            None if positive_weight is None else torch.tensor(positive_weight, device=schedule.device)
        )
        self._parameters = list(network.parameters())
        self._proximal = (
            Proximal(network, schedule.proximal_mu, schedule.anchor) if schedule.proximal_mu > 0 else None
        )
        self._correction = (
            None if schedule.correction is None else GradientCorrection(network, schedule.correction)
        )
        self._optimiser = _make_optimiser(self._parameters, settings)
        self.steps = self._epoch = 0

    def run_epoch(self, number: int) -> float:
        """Train for one pass over the patients, or the schedule's steps; return the mean loss per patient.

        Raises
        ------
        NonFiniteError
            With the first step whose loss is NaN or infinite.
        """
        self._network.train()
        self._epoch = number
        self._set_rate(number)
        parts = self._draw_batches()
        transforms = self._draw_transforms(parts)
        # The losses stay on the device until the epoch ends: reading one would make the device wait.
        losses = torch.stack(
            [self._step(part, chosen) for part, chosen in zip(parts, transforms, strict=True)]
        )
        finite = torch.isfinite(losses)
        if not bool(finite.all()):
            step = int(torch.argmin(finite.int())) + 1
            raise NonFiniteError(
                f"the loss is {float(losses[step - 1])} at epoch {number}, step {step} of {len(parts)} "
                '-> lower the learning rate, or use precision = "float32"'
            )
        sizes = torch.tensor([len(part) for part in parts], dtype=torch.float64)
        return float((losses.double().cpu() * sizes).sum() / sizes.sum())

    def _draw_batches(self) -> list[torch.Tensor]:
        """The batches of an epoch, in a new order; if they are too few, those of further orders follow."""
        steps, parts = self._schedule.steps, self._cut_order()
        while steps is not None and len(parts) < steps:
            parts += self._cut_order()
        return parts[:steps]

    def _cut_order(self) -> list[torch.Tensor]:
        order = torch.randperm(len(self._samples), generator=self._source)
        return cut_batches(order, self._settings.batch_size)

    def _set_rate(self, epoch: int) -> None:
        """Give the optimiser the learning rate of an epoch, where it changes."""
        if self._schedule.rates:
            for group in self._optimiser.param_groups:
                group["lr"] = self._schedule.rates[epoch - 1]

    def go_on(self) -> list[float]:
        """Go to where the training was when its process died, and return the losses until there."""
        start = None if self._schedule.memory is None else self._schedule.memory.start
        if start is None:
            return []
        restore_arrays(start.arrays, self._network, self._optimiser, self._source, self._device)
        self.steps = start.steps
        _log.info("a training goes on after epoch=%d of=%d", len(start.losses), self._schedule.epochs)
        return list(start.losses)

    def collect(self, losses: Sequence[float]) -> EpochState:
        """Where the training stands, after as many epochs as there are losses."""
        arrays = collect_arrays(self._network, self._optimiser, self._source, self._device)
        return EpochState(tuple(losses), self.steps, arrays)

    @torch.no_grad()
    def recompute_statistics(self) -> None:
        """Measure BatchNorm's means and variances again, for the current weights."""
        with average_statistics(self._network):
            for part in cut_batches(torch.arange(len(self._samples)), self._settings.batch_size):
                with autocast(self._settings, self._device):
                    self._network(to_network_format(self._take_images(part)))

    def check_state(self) -> None:
        """Refuse a network that ended with weights or statistics that are not finite.

        Raises
        ------
        NonFiniteError
            With the first such tensor.
        """
        for name, tensor in self._network.state_dict().items():
            if not _is_finite(tensor):
                raise NonFiniteError(f"{name} is NaN or infinite after training -> lower the learning rate")

    def _draw_transforms(self, parts: list[torch.Tensor]) -> list[torch.Tensor | None]:
        if not augments(self._settings):
            return [None] * len(parts)
        sizes = [len(part) for part in parts]
        drawn = draw_transforms(sum(sizes), self._samples.dimensions, self._settings, self._source)
        return list(torch.split(drawn.to(self._device), sizes))

    def _take_images(self, part: torch.Tensor) -> torch.Tensor:
        chosen = self._samples.images[part.to(self._samples.images.device)]
        return chosen.to(self._device, non_blocking=True)

    def _step(self, part: torch.Tensor, transforms: torch.Tensor | None) -> torch.Tensor:
        images = self._take_images(part)
        labels = self._samples.labels[part.to(self._samples.labels.device)].to(self._device)
        if transforms is not None:
            images = warp(images, transforms)
        loss = self.recomputation.attempt(partial(self._propagate, to_network_format(images), labels))
        if self._proximal is not None:
            self._proximal.add_gradient()
        if self._correction is not None:
            self._correction.add_gradient()
        self._optimiser.step()
        self.steps += 1
        mark_progress(f"training, epoch {self._epoch} of {self._schedule.epochs}")
        return loss

    def _propagate(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of a batch; its gradients are in the parameters."""
        with autocast(self._settings, self._device):
            logits = self._network(images)
        loss = binary_cross_entropy_with_logits(logits.reshape(-1).float(), labels, pos_weight=self._weight)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def _make_optimiser(parameters: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    """The settings' optimiser with an empty memory."""
    kind = torch.optim.SGD if settings.optimiser == "sgd" else torch.optim.Adam
    return kind(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def _weigh_positives(samples: Samples, settings: TrainingSettings) -> float | None:
    """How much an expansion counts in the loss; None if as much as its absence.

    Where classes are balanced and a site has one alone, there is nothing to balance: its patients count once.

    Raises
    ------
    SmallNumberError
        With fewer than two patients.
    """
    positives, patients = samples.positives, len(samples)
    if patients < FEWEST_TRAINING:
        raise SmallNumberError(
            f"{patients} training patient(s): BatchNorm needs at least two -> add patients"
        )
    if settings.class_weighting == "none" or positives in {0, patients}:
        return None
    return (patients - positives) / positives
