"""Phase: train every model of the plan in every arm."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter
from rich.progress import Progress

from common.cards.contributors import PARTIAL, describe_trainers, is_partial
from common.errors import ExchangeError, MemoryShortageError, NonFiniteError, ResumeError
from common.messages.headers import Epoch
from common.models.checkpoint import Checkpoint, load, save
from common.models.layout import Layout
from common.plan.matrix import Trainers
from common.plan.study import Arm, CnnModel
from common.program.names import name_training
from common.program.trainings import train_at_site
from common.stats.estimate import OK, Status, undefined
from common.types import FlatWeights
from server.exchange import Exchange
from server.phases.preparation import Preparation, judge_training
from server.procedures import carry_out
from server.reasons import SiteFailureError
from server.run import StudyRun
from server.training.early_end import EarlyEnd
from server.training.failure import FailedTraining, find_failure, keep_failure
from server.training.federated import FederatedTraining, Round, find_end, make_initial_weights, read_curve

_log = logging.getLogger(__name__)

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
    standing : Status
        Whether there is a network that scores; if not, why, and the path is None.
    early_end : EarlyEnd or None
        Why a federated training ended before the plan's last round; None if it did not.
    """

    model: CnnModel
    arm: Arm
    path: Path | None
    chosen: int
    curve: tuple[Round, ...]
    standing: Status = OK
    early_end: EarlyEnd | None = None

    @property
    def rounds_by_site(self) -> Mapping[str, int] | None:
        """By site of the arm, in how many rounds up to the chosen one its patients trained.

        None where no rounds join sites, where there is no model, or where it was not recorded who took part.
        """
        if self.arm.kind != "federated" or not self.standing.ok:
            return None
        return count_rounds(self.arm, self.curve, self.chosen)

    @property
    def trainers(self) -> Trainers | None:
        """Who took part up to the chosen round; None where `rounds_by_site` is."""
        rounds = self.rounds_by_site
        if rounds is None:
            return None
        return Trainers(
            trained=frozenset(site for site, number in rounds.items() if number),
            judged=frozenset(site for line in self.curve for site in line.answered or ()),
            partial=is_partial(rounds, self.chosen),
        )

    def load_weights(self) -> FlatWeights | None:
        """The weights, read from the coordinator's copy; None if they stay at their site."""
        return None if self.path is None else load(self.path).weights


@dataclass(frozen=True)
class _Assignment:
    """One model to be trained in one arm, the weights with which it starts, and each site's patients."""

    model: CnnModel
    arm: Arm
    weights: FlatWeights
    layout: Layout
    patients: Mapping[str, int]


def count_rounds(arm: Arm, curve: Sequence[Round], chosen: int) -> dict[str, int] | None:
    """By site of the arm, in how many of the first `chosen` rounds its patients trained; None if unknown."""
    rounds = dict.fromkeys(arm.sites, 0)
    for line in curve[:chosen]:
        if line.contributors is None:
            return None
        for site in line.contributors:
            rounds[site] += 1
    return rounds


def train_models(
    exchange: Exchange, run: StudyRun, progress: Progress, preparation: Preparation
) -> tuple[TrainedModel, ...]:
    """Every network of the plan in every arm, each stored as soon as it is trained.

    A training that fails costs its own model: why is kept, and the others go on.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    run : StudyRun
        The plan, and the folders of checkpoints and models.
    progress : Progress
        Shows how many rounds of a training are done.
    preparation : Preparation
        Patients of each part of each site.

    Raises
    ------
    ExchangeError
        If a site does not answer, or fails because of itself or the plan; what is trained by then is kept for
        --resume.
    ResumeError
        If a checkpoint belongs to another plan, or a pooled model is missing.
    """
    return tuple(
        train_model(exchange, run, progress, (model, arm, preparation))
        for model in run.plan.networks
        for arm in run.plan.all_arms()
    )


def train_model(
    exchange: Exchange, run: StudyRun, progress: Progress, wanted: tuple[CnnModel, Arm, Preparation]
) -> TrainedModel:
    """A network after its training, or why there is none.

    Raises
    ------
    SiteFailureError
        If a site fails because of itself or the plan.
    """
    model, arm, preparation = wanted
    status = judge_training(run.plan, preparation, arm)
    if not status.ok:
        exchange.watch.see_untrained(model.name, arm.name, f"not trained: {status.reason}")
        return TrainedModel(model, arm, None, 0, (), replace(status, reason=f"not trained: {status.reason}"))
    failed = find_failure(run.checkpoints, run.plan, model, arm)
    if failed is None:
        try:
            return _train(exchange, run, progress, wanted)
        except SiteFailureError as refusal:
            if not refusal.costs_one_model:
                raise
            status = refusal.standing
            # With what can be done about it, which is no part of a result
            exchange.watch.say(f"{model.name}, {arm.name}: {refusal}", logging.WARNING)
        except NonFiniteError as failure:
            status = undefined(f"{failure.code} at the coordinator: the sites' mean weights are not finite")
        except MemoryError:
            status = undefined(f"{MemoryShortageError.code} at the coordinator: its memory does not suffice")
        failed = _remember(run, model, arm, status)
    if arm.kind == "federated" and exchange.hidden is not None:
        # Again when the study is resumed: it may have been stopped before all sites had heard of the end
        exchange.hidden.abandon(model, arm)
    exchange.watch.see_untrained(model.name, arm.name, failed.reason)
    return TrainedModel(model, arm, None, 0, failed.curve, failed.standing)


def _remember(run: StudyRun, model: CnnModel, arm: Arm, status: Status) -> FailedTraining:
    curve = read_curve(run.checkpoints, model, arm) if arm.kind == "federated" else ()
    failed = FailedTraining(
        plan=run.plan.digest(), status=status.kind, reason=f"not trained: {status.reason}", curve=curve
    )
    keep_failure(run.checkpoints, model, arm, failed)
    return failed


def _train(
    exchange: Exchange, run: StudyRun, progress: Progress, wanted: tuple[CnnModel, Arm, Preparation]
) -> TrainedModel:
    model, arm, preparation = wanted
    if arm.kind == "pooled":
        return _load_pooled(run, model, arm)
    weights, layout = make_initial_weights(run.plan, model, arm, run.pretrained)
    assignment = _Assignment(model, arm, weights, layout, preparation.training_patients)
    if arm.kind == "local":
        return _train_local(exchange, run, assignment)
    return _train_federated(exchange, run, assignment, progress)


def _train_federated(
    exchange: Exchange, run: StudyRun, assignment: _Assignment, progress: Progress
) -> TrainedModel:
    model, arm, layout = assignment.model, assignment.arm, assignment.layout
    task = progress.add_task(f"{model.name}, {arm.name}", total=run.plan.federation.rounds)
    training = FederatedTraining(
        exchange=exchange,
        model=model,
        arm=arm,
        layout=layout,
        folder=run.checkpoints,
        report=lambda rounds: progress.update(task, completed=rounds),
        patients=assignment.patients,
    )
    try:
        state = training.run(assignment.weights)
    finally:
        progress.remove_task(task)
    rounds = count_rounds(arm, state.curve, state.chosen)
    if rounds is not None and is_partial(rounds, state.chosen):
        trainers = describe_trainers(rounds, state.chosen)
        _log.warning("%s model=%s arm=%s %s", PARTIAL, model.name, arm.name, trainers)
    path = _store(run, assignment, state.best, state.chosen, rounds)
    exchange.watch.see_trained(model.name, arm.name, state.curve, state.chosen)
    end = find_end(run.plan, state.curve)
    if end is not None:
        words = (model.name, arm.name, state.rounds, end.planned, end.gained)
        _log.info("training ended early model=%s arm=%s rounds=%d of=%d last_gain=%d", *words)
    return TrainedModel(model, arm, path, state.chosen, state.curve, early_end=end)


def _train_local(exchange: Exchange, run: StudyRun, assignment: _Assignment) -> TrainedModel:
    """A network that its one site trains; the coordinator gets it only as a declared model release.

    Raises
    ------
    ExchangeError
        If a released model comes without weights.
    """
    model, arm = assignment.model, assignment.arm
    (site,) = arm.sites
    epochs = run.plan.federation.rounds * run.plan.federation.local_epochs
    words = f"{epochs} epochs at {site}"
    exchange.watch.see_training(model.name, arm.name, run.plan.federation.rounds, words=words)
    program = train_at_site(run.plan, model, arm, assignment.weights)
    trained, release = carry_out(exchange, name_training(model, arm), program)
    reply, path = trained.replies[site], None
    if release is not None:
        answer = release.replies[site]
        if answer.weights is None:
            raise ExchangeError(f"{site}: the release of {model.name} came without weights")
        path = _store(run, assignment, answer.weights, reply.header.chosen)
    curve, chosen = rounds_of(reply.header.curve), reply.header.chosen
    exchange.watch.see_trained(model.name, arm.name, curve, chosen, "epoch")
    return TrainedModel(model, arm, path, chosen, curve)


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


def _store(
    run: StudyRun,
    assignment: _Assignment,
    weights: FlatWeights,
    chosen: int,
    rounds: Mapping[str, int] | None = None,
) -> Path:
    """The file with the weights, and with who trained them: `rounds` by site of the arm, where known."""
    model, arm = assignment.model.name, assignment.arm
    absent = {site for site, number in (rounds or {}).items() if number == 0}
    path = run.models / model / f"{arm.name}.safetensors"
    metadata = {
        "plan": run.plan.digest(),
        "model": model,
        "arm": arm.name,
        "training_sites": ",".join(site for site in arm.sites if site not in absent),
        "absent_sites": ",".join(site for site in arm.sites if site in absent),
        "chosen": str(chosen),
    }
    save(path, Checkpoint(weights, assignment.layout, metadata))
    return path
