"""The model trained on all patients in one place, to compare a federation with; in simulations only."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter
from rich.progress import Progress

from client.answers.samples import TRAINING, VALIDATION, join_samples
from client.answers.trainer import Trainer
from client.engine import SiteEngine
from common.cohort.split import FEWEST_TRAINING
from common.errors import MemoryShortageError, NonFiniteError
from common.messages.headers import Epoch
from common.models.checkpoint import Checkpoint, load, save
from common.plan.study import Arm, CnnModel
from common.stats.estimate import undefined
from common.training.dataset import Samples
from common.training.device import name_memory_shortage, pick_device
from server.run import StudyRun
from server.training.failure import FailedTraining, find_failure, keep_failure
from server.training.federated import make_initial_weights

_Curve = TypeAdapter(tuple[Epoch, ...])


def train_pooled(run: StudyRun, engines: Mapping[str, SiteEngine], progress: Progress) -> None:
    """Train the plan's pooled models, if it has any, and save them where the study looks for them."""
    for arm in run.plan.all_arms():
        if arm.kind == "pooled" and "training" in run.plan.phases:
            for model in run.plan.networks:
                _train(run, model, arm, engines, progress)


def _train(
    run: StudyRun, model: CnnModel, arm: Arm, engines: Mapping[str, SiteEngine], progress: Progress
) -> None:
    """Train one pooled model unless this plan's is there already, or has failed."""
    path = run.models / model.name / f"{arm.name}.safetensors"
    if path.exists() and load(path).metadata["plan"] == run.plan.digest():
        return
    if find_failure(run.checkpoints, run.plan, model, arm) is not None:
        return
    try:
        with name_memory_shortage():
            _train_new(run, model, arm, engines, progress)
    except (NonFiniteError, MemoryShortageError) as failure:
        status = undefined(f"not trained: {failure.code} where the patients were pooled")
        failed = FailedTraining(plan=run.plan.digest(), status=status.kind, reason=status.reason)
        keep_failure(run.checkpoints, model, arm, failed)


def _train_new(
    run: StudyRun, model: CnnModel, arm: Arm, engines: Mapping[str, SiteEngine], progress: Progress
) -> None:
    weights, layout = make_initial_weights(run.plan, model, arm, run.pretrained)
    federation = run.plan.federation
    task = progress.add_task(f"{model.name}, pooled", total=federation.rounds * federation.local_epochs)
    members = [engines[site] for site in arm.sites]
    trainer = Trainer(run.plan, model, arm.name, pick_device(members[0].settings.device))
    training = _gather(members, model, TRAINING)
    if training is None or len(training) < FEWEST_TRAINING:
        # The study says why there is no model
        progress.remove_task(task)
        return
    result = trainer.train_alone(
        weights,
        training,
        _gather(members, model, VALIDATION),
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


def _gather(members: list[SiteEngine], model: CnnModel, part: str) -> Samples | None:
    """The part's patients of all sites; each engine keeps them in memory for the study that follows."""
    samples = [
        member.open_patients().of(model, part)
        for member in members
        if member.open_patients().cases_of_part(part)
    ]
    return join_samples(samples) if samples else None
