"""The model trained on all patients in one place, to compare a federation with; in simulations only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from pydantic import TypeAdapter
from rich.progress import Progress

from client.answers.samples import TRAINING, VALIDATION
from client.engine import SiteEngine
from common.cohort.split import FEWEST_TRAINING
from common.errors import MemoryShortageError, NonFiniteError
from common.messages.headers import Epoch
from common.models.checkpoint import Checkpoint, load, save
from common.plan.study import Arm, CnnModel
from common.stats.estimate import undefined
from common.training.device import name_memory_shortage, pick_device
from common.types import Flags, Pixels
from server.run import StudyRun
from server.training.failure import FailedTraining, find_failure, keep_failure
from server.training.federated import make_initial_weights

_Curve = TypeAdapter(tuple[Epoch, ...])
PooledPart: TypeAlias = tuple[Pixels, Flags]
"""Images and outcomes of patients of one part, as `Samples.of` takes them."""


@dataclass(frozen=True)
class PooledTraining:
    """One network to be trained on the patients of several sites.

    Attributes
    ----------
    model : CnnModel
        The network, as the plan describes it.
    arm : Arm
        Whose patients train it.
    device : str
        As the first site's settings name it.
    training, validation : PooledPart or None
        The patients of all these sites; None if there are none.
    """

    model: CnnModel
    arm: Arm
    device: str
    training: PooledPart | None
    validation: PooledPart | None

    def run(self, run: StudyRun, progress: Progress) -> None:
        """Train, and save the model, or why there is none, where the study looks for it."""
        with keep_why_untrained(run, self.model, self.arm):
            self._train(run, progress)

    def _train(self, run: StudyRun, progress: Progress) -> None:
        if self.training is None or len(self.training[1]) < FEWEST_TRAINING:
            # The study says why there is no model
            return
        # torch and MONAI: whoever trains nothing does not wait for them
        from client.answers.trainer import Trainer
        from common.training.dataset import Samples

        model, arm = self.model, self.arm
        weights, layout = make_initial_weights(run.plan, model, arm, run.pretrained)
        federation = run.plan.federation
        task = progress.add_task(f"{model.name}, pooled", total=federation.rounds * federation.local_epochs)
        trainer = Trainer(run.plan, model, arm.name, pick_device(self.device))
        result = trainer.train_alone(
            weights,
            Samples.of(*self.training),
            None if self.validation is None else Samples.of(*self.validation),
            lambda epoch: progress.update(task, completed=epoch),
        )
        metadata = {
            "plan": run.plan.digest(),
            "model": model.name,
            "arm": arm.name,
            "training_sites": ",".join(arm.sites),
            "chosen": str(result.chosen),
            "curve": _Curve.dump_json(result.curve).decode(),
        }
        path = run.models / model.name / f"{arm.name}.safetensors"
        save(path, Checkpoint(result.weights, layout, metadata))
        progress.remove_task(task)


def train_pooled(run: StudyRun, engines: Mapping[str, SiteEngine], progress: Progress) -> None:
    """Train the plan's pooled models, if it has any, and save them where the study looks for them."""
    for model, arm in list_pooled(run):
        members = [engines[site] for site in arm.sites]
        with keep_why_untrained(run, model, arm):
            training, validation = (
                join_parts([read_part(member, model, part) for member in members])
                for part in (TRAINING, VALIDATION)
            )
            device = members[0].settings.device
            PooledTraining(model, arm, device, training, validation).run(run, progress)


@contextmanager
def keep_why_untrained(run: StudyRun, model: CnnModel, arm: Arm) -> Iterator[None]:
    """A context in which a pooled training may fail: why is kept where the study looks for it."""
    try:
        with name_memory_shortage():
            yield
    except (NonFiniteError, MemoryShortageError) as failure:
        status = undefined(f"not trained: {failure.code} where the patients were pooled")
        failed = FailedTraining(plan=run.plan.digest(), status=status.kind, reason=status.reason)
        keep_failure(run.checkpoints, model, arm, failed)


def list_pooled(run: StudyRun) -> Iterator[tuple[CnnModel, Arm]]:
    """The plan's pooled models that are neither there already nor have failed."""
    if "training" not in run.plan.phases:
        return
    for arm in (arm for arm in run.plan.all_arms() if arm.kind == "pooled"):
        for model in run.plan.networks:
            path = run.models / model.name / f"{arm.name}.safetensors"
            is_there = path.exists() and load(path).metadata["plan"] == run.plan.digest()
            if not is_there and find_failure(run.checkpoints, run.plan, model, arm) is None:
                yield model, arm


def read_part(member: SiteEngine, model: CnnModel, part: str) -> PooledPart | None:
    """A part's patients of one site, whose engine keeps them in memory for the study that follows."""
    patients = member.open_patients()
    if not patients.cases_of_part(part):
        return None
    samples = patients.of(model, part)
    return samples.images.cpu().numpy(), samples.labels.cpu().numpy() > 0


def join_parts(parts: Sequence[PooledPart | None]) -> PooledPart | None:
    """The patients of several sites one after the other; exists for simulations, where data may meet."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return np.concatenate([images for images, _ in known]), np.concatenate([labels for _, labels in known])
