"""Phase: train every model of the plan in every arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter
from rich.progress import Progress

from common.errors import ExchangeError, ResumeError
from common.messages.headers import Epoch, Operation
from common.models.checkpoint import Checkpoint, load, save
from common.models.layout import Layout
from common.plan.study import Arm, CnnModel
from common.types import FlatWeights
from server.exchange import Exchange
from server.run import StudyRun
from server.training.federated import FederatedTraining, Round, make_initial_weights

_Curve = TypeAdapter(tuple[Epoch, ...])


@dataclass(frozen=True)
class TrainedModel:
    """A network after training, at the coordinator or at its site.

    Attributes
    ----------
    model : CnnModel
        The network, as the plan describes it.
    arm : Arm
        Whose patients trained it.
    path : Path or None
        File of the coordinator's copy; None for a local model that stays at its site.
    chosen : int
        Round, or local or pooled epoch, whose weights were chosen.
    curve : tuple of Round
        Its learning curve, one entry for each round or epoch.
    """

    model: CnnModel
    arm: Arm
    path: Path | None
    chosen: int
    curve: tuple[Round, ...]

    def load_weights(self) -> FlatWeights | None:
        """The weights, read from the coordinator's copy; None if they stay at their site."""
        return None if self.path is None else load(self.path).weights


@dataclass(frozen=True)
class _Assignment:
    """One model to be trained in one arm, and the weights with which it starts."""

    model: CnnModel
    arm: Arm
    weights: FlatWeights
    layout: Layout


def train_models(exchange: Exchange, run: StudyRun, progress: Progress) -> tuple[TrainedModel, ...]:
    """Every network of the plan in every arm, each stored as soon as it is trained.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    run : StudyRun
        The plan, and the folders of checkpoints and models.
    progress : Progress
        Shows how many rounds of a training are done.

    Raises
    ------
    ExchangeError
        If a site fails or does not answer; what is trained by then is kept for --resume.
    ResumeError
        If a checkpoint belongs to another plan, or a pooled model is missing.
    """
    trained = []
    for model in run.plan.networks:
        for arm in run.plan.all_arms():
            weights, layout = make_initial_weights(run.plan, model, arm, run.pretrained)
            assignment = _Assignment(model, arm, weights, layout)
            if arm.kind == "federated":
                trained.append(_train_federated(exchange, run, assignment, progress))
            elif arm.kind == "local":
                trained.append(_train_local(exchange, run, assignment))
            else:
                trained.append(_load_pooled(run, model, arm))
    return tuple(trained)


def _train_federated(
    exchange: Exchange, run: StudyRun, assignment: _Assignment, progress: Progress
) -> TrainedModel:
    model, arm, layout = assignment.model, assignment.arm, assignment.layout
    task = progress.add_task(f"{model.name}, {arm.name}", total=run.plan.federation.rounds)
    training = FederatedTraining(
        exchange, model, arm, layout, run.checkpoints, lambda rounds: progress.update(task, completed=rounds)
    )
    state = training.run(assignment.weights)
    progress.remove_task(task)
    path = _store(run, assignment, state.best, state.chosen)
    return TrainedModel(model, arm, path, state.chosen, state.curve)


def _train_local(exchange: Exchange, run: StudyRun, assignment: _Assignment) -> TrainedModel:
    """A network that its one site trains; the coordinator gets it only as a declared model release.

    Raises
    ------
    ExchangeError
        If a released model comes without weights.
    """
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
        path = _store(run, assignment, answer.weights, reply.header.chosen)
    return TrainedModel(model, arm, path, reply.header.chosen, rounds_of(reply.header.curve))


def _load_pooled(run: StudyRun, model: CnnModel, arm: Arm) -> TrainedModel:
    """A network that the simulation trained on all patients in one place, before the study began.

    Raises
    ------
    ResumeError
        If the simulation has not trained it.
    """
    path = run.models / model.name / f"{arm.name}.safetensors"
    if not path.exists():
        raise ResumeError(f"{path}: the pooled model is missing -> only `rhe-simulate run` can train it")
    checkpoint = load(path)
    curve = _Curve.validate_json(checkpoint.metadata["curve"])
    return TrainedModel(model, arm, path, int(checkpoint.metadata["chosen"]), rounds_of(curve))


def rounds_of(curve: tuple[Epoch, ...]) -> tuple[Round, ...]:
    """A curve of epochs in the form of the results; the site has already released what it sent."""
    return tuple(
        Round(number=line.number, loss=line.loss, validation_auc=line.validation_auc, released=True)
        for line in curve
    )


def _store(run: StudyRun, assignment: _Assignment, weights: FlatWeights, chosen: int) -> Path:
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
