"""Training a network on one site's patients, and scoring patients with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from common.cohort.split import FEWEST_TRAINING
from common.errors import NonFiniteError, SmallNumberError
from common.training.augment import augments, draw_transforms, warp
from common.training.device import autocast, move_if_fits, place_network, reproducible, to_network_format
from common.training.normalisation import average_statistics
from common.training.proximal import Proximal

if TYPE_CHECKING:
    from torch import nn

    from common.training.dataset import Samples
    from common.training.settings import TrainingSettings
    from common.types import FlatWeights, Reals

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
    """

    epochs: int
    seed: int
    proximal_mu: float = 0.0
    anchor: FlatWeights | None = None
    device: torch.device = CPU
    threads: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")
        if self.proximal_mu < 0:
            raise ValueError(f"proximal_mu must not be negative, not {self.proximal_mu}")


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
    """Train the network in place with a new Adam optimiser, and return the losses.

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
    Wu and Johnson (2021), Rethinking "Batch" in BatchNorm, section 3.1.
    """
    weight = _weigh_positives(samples, settings)
    with reproducible(schedule.device, schedule.threads, schedule.seed):
        place_network(network, schedule.device)
        run = _Run(network, move_if_fits(samples, schedule.device), settings, schedule, weight)
        losses = []
        for epoch in range(1, schedule.epochs + 1):
            losses.append(run.run_epoch(epoch))
            is_read = report is not None or epoch == schedule.epochs
            if is_read and settings.batch_norm_statistics == "recomputed":
                run.recompute_statistics()
            if report is not None:
                report(epoch, losses[-1])
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
            logits = [network(to_network_format(part.to(device))).reshape(-1).cpu() for part in parts]
    finally:
        network.train(training)
    probabilities: Reals = torch.sigmoid(torch.cat(logits)[: len(images)].double()).numpy()
    if not np.isfinite(probabilities).all():
        raise NonFiniteError("the network's scores are not numbers -> its weights or inputs are damaged")
    return probabilities


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
        self._device = schedule.device
        self._source = torch.Generator().manual_seed(schedule.seed)
        self._weight = (
            None if positive_weight is None else torch.tensor(positive_weight, device=schedule.device)
        )
        self._parameters = list(network.parameters())
        self._proximal = (
            Proximal(network, schedule.proximal_mu, schedule.anchor) if schedule.proximal_mu > 0 else None
        )
        self._adam = torch.optim.Adam(
            self._parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.steps = 0

    def run_epoch(self, number: int) -> float:
        """Train for one pass over the patients, and return the mean loss per patient.

        Raises
        ------
        NonFiniteError
            With the first step whose loss is NaN or infinite.
        """
        self._network.train()
        order = torch.randperm(len(self._samples), generator=self._source)
        parts = cut_batches(order, self._settings.batch_size)
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
            if not bool(torch.isfinite(tensor).all()):
                raise NonFiniteError(f"{name} is NaN or infinite after training -> lower the learning rate")

    def _draw_transforms(self, parts: list[torch.Tensor]) -> list[torch.Tensor | None]:
        if not augments(self._settings):
            return [None] * len(parts)
        drawn = draw_transforms(len(self._samples), self._samples.dimensions, self._settings, self._source)
        return list(torch.split(drawn.to(self._device), [len(part) for part in parts]))

    def _take_images(self, part: torch.Tensor) -> torch.Tensor:
        chosen = self._samples.images[part.to(self._samples.images.device)]
        return chosen.to(self._device, non_blocking=True)

    def _step(self, part: torch.Tensor, transforms: torch.Tensor | None) -> torch.Tensor:
        images = self._take_images(part)
        labels = self._samples.labels[part.to(self._samples.labels.device)].to(self._device)
        if transforms is not None:
            images = warp(images, transforms)
        with autocast(self._settings, self._device):
            logits = self._network(to_network_format(images))
        loss = binary_cross_entropy_with_logits(logits.reshape(-1).float(), labels, pos_weight=self._weight)
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._proximal is not None:
            self._proximal.add_gradient()
        self._adam.step()
        self.steps += 1
        return loss.detach()


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
