"""Phase: train every model of the plan in every arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter
from rich.progress import Progress

from common.errors import ExchangeError, ResumeError
from common.headers import Epoch, Operation
from common.models.checkpoint import Checkpoint, load, save
from common.models.layout import Layout
from common.study import Arm, CnnModel
from common.types import FlatWeights
from server.exchange import Exchange
from server.run import StudyRun
from server.training import FederatedTraining, Round, initial_weights

_Curve = TypeAdapter(tuple[Epoch, ...])


@dataclass(frozen=True)
class TrainedModel:
    """A model after training, wherever it is.

    Attributes
    ----------
    model : CnnModel
    arm : Arm
        On whom it was trained.
    path : Path or None
        The coordinator's copy; None for a local model that stays at its site.
    chosen : int
        Round or epoch of the weights.
    curve : tuple of Round
        Its learning curve.
    """

    model: CnnModel
    arm: Arm
    path: Path | None
    chosen: int
    curve: tuple[Round, ...]

    def weights(self) -> FlatWeights | None:
        """The weights, or None if they stay at their site."""
        return None if self.path is None else load(self.path).weights


@dataclass(frozen=True)
class _Assignment:
    """One model to be trained in one arm, and the weights with which it starts."""

    model: CnnModel
    arm: Arm
    weights: FlatWeights
    layout: Layout


def train_models(exchange: Exchange, run: StudyRun, progress: Progress) -> tuple[TrainedModel, ...]:
    """Every model of the plan in every arm, each saved as soon as it is trained.

    Raises
    ------
    ExchangeError
        If a site fails or stays away; what is trained by then is kept for --resume.
    """
    trained = []
    for model in run.plan.networks:
        for arm in run.plan.all_arms():
            weights, layout = initial_weights(run.plan, model, arm, run.pretrained)
            assignment = _Assignment(model, arm, weights, layout)
            if arm.kind == "federated":
                trained.append(_federated(exchange, run, assignment, progress))
            elif arm.kind == "local":
                trained.append(_local(exchange, run, assignment))
            else:
                trained.append(_pooled(run, model, arm))
    return tuple(trained)


def _federated(
    exchange: Exchange, run: StudyRun, assignment: _Assignment, progress: Progress
) -> TrainedModel:
    model, arm, layout = assignment.model, assignment.arm, assignment.layout
    task = progress.add_task(f"{model.name}, {arm.name}", total=run.plan.federation.rounds)
    training = FederatedTraining(
        exchange, model, arm, layout, run.checkpoints, lambda done: progress.update(task, completed=done)
    )
    done = training.run(assignment.weights)
    progress.remove_task(task)
    return TrainedModel(model, arm, _keep(run, assignment, done.best, done.chosen), done.chosen, done.curve)


def _local(exchange: Exchange, run: StudyRun, assignment: _Assignment) -> TrainedModel:
    """Trained at its one site; it comes here only as a declared model release."""
    model, arm = assignment.model, assignment.arm
    (site,) = arm.sites
    reply = exchange.ask(
        Operation.TRAIN_LOCAL, arm.sites, assignment.weights, model=model.name, arm=arm.name
    )[site]
    path = None
    if run.plan.site(site).model_release:
        answer = exchange.ask(Operation.RELEASE, arm.sites, model=model.name, arm=arm.name)[site]
        if answer.weights is None:
            raise ExchangeError(f"{site}: the release of {model.name} came without weights")
        path = _keep(run, assignment, answer.weights, reply.header.chosen)
    return TrainedModel(model, arm, path, reply.header.chosen, as_rounds(reply.header.curve))


def _pooled(run: StudyRun, model: CnnModel, arm: Arm) -> TrainedModel:
    """Trained by the simulation on all patients in one place, before the study began."""
    path = run.models / model.name / f"{arm.name}.safetensors"
    if not path.exists():
        raise ResumeError(f"{path}: the pooled model is missing -> only `rhe-simulate run` can train it")
    kept = load(path)
    curve = _Curve.validate_json(kept.metadata["curve"])
    return TrainedModel(model, arm, path, int(kept.metadata["chosen"]), as_rounds(curve))


def as_rounds(curve: tuple[Epoch, ...]) -> tuple[Round, ...]:
    """A curve of epochs as it stands in the results; what left a site was released by it."""
    return tuple(
        Round(number=line.number, loss=line.loss, validation_auc=line.validation_auc, released=True)
        for line in curve
    )


def _keep(run: StudyRun, assignment: _Assignment, weights: FlatWeights, chosen: int) -> Path:
    model, arm = assignment.model.name, assignment.arm
    path = run.models / model / f"{arm.name}.safetensors"
    metadata = {
        "plan": run.plan.digest(),
        "model": model,
        "arm": arm.name,
        "training_sites": ",".join(arm.sites),
        "chosen": str(chosen),
    }
    save(path, Checkpoint(weights, assignment.layout, metadata))
    return path
