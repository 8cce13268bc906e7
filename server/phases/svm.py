"""Phase: fit every support vector machine of the plan in every arm, and let them score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.cards.fourier_machine import explain_no_machine, form_of, write_query
from common.errors import ExchangeError
from common.messages.catalogue import Operation
from common.messages.headers import FittedSvm, LassoSelection
from common.plan.design import design_of
from common.plan.models import SvmModel
from common.plan.study import Arm
from common.program.fits import fit_support_vectors
from common.program.names import name_fit
from common.program.selections import ArmSelection
from common.program.trainings import train_at_site
from common.runtime.storage import write_atomically
from common.stats.estimate import OK, Status
from server.exchange import Exchange
from server.phases.endorsed_models import SentModel, score_nobody, send_model
from server.procedures import carry_out
from server.reasons import SiteFailureError
from server.run import StudyRun


@dataclass(frozen=True)
class TrainedSvm:
    """A support vector machine after fitting, at the coordinator or at its site.

    Attributes
    ----------
    model : SvmModel
        The machine, as the plan describes it.
    arm : Arm
        Whose patients it was fitted to.
    fitted : FittedSvm or None
        The fitted machine; None for a local machine that stays at its site.
    selection : LassoSelection or None
        Selected radiomics features of a local machine that was released; None for other machines.
    at_site : Status
        Of a local machine that stays at its site: whether there is one, and if not, why.
    """

    model: SvmModel
    arm: Arm
    fitted: FittedSvm | None
    selection: LassoSelection | None = None
    at_site: Status = OK

    @property
    def standing(self) -> Status:
        """Whether there is a model, and if not, why."""
        return self.at_site if self.fitted is None else self.fitted.standing


def fit_svms(
    exchange: Exchange,
    run: StudyRun,
    selections: Sequence[ArmSelection],
    obstacles: Mapping[tuple[str, str], Status],
) -> tuple[TrainedSvm, ...]:
    """Every machine in every arm: over the sites with random Fourier features, or exactly at one site.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    run : StudyRun
        The plan, and the folder where models are stored.
    selections : sequence of ArmSelection
        One for each federated arm.
    obstacles : mapping of (model, arm) to Status
        Why machines cannot be fitted: nothing is asked about them.
    """
    of_arm = {selected.arm: selected for selected in selections}
    return tuple(
        fit_svm(exchange, run, (model, arm, of_arm.get(arm)), obstacles)
        for model in run.plan.table_models
        if isinstance(model, SvmModel)
        for arm in run.plan.arms_of(model)
    )


def fit_svm(
    exchange: Exchange,
    run: StudyRun,
    wanted: tuple[SvmModel, Arm, ArmSelection | None],
    obstacles: Mapping[tuple[str, str], Status],
) -> TrainedSvm:
    """The machine in one arm, or why there is none.

    Raises
    ------
    SiteFailureError
        If a site fails because of itself or the plan.
    """
    model, arm, selected = wanted
    status = obstacles.get((model.name, arm.name), OK)
    if status.ok:
        try:
            if selected is None:
                return _fit_alone(exchange, run, model, arm)
            return TrainedSvm(model, arm, _fit_federated(exchange, run, model, selected))
        except SiteFailureError as refusal:
            if not refusal.costs_one_model:
                raise
            status = refusal.standing
    return TrainedSvm(model, arm, _store(run, model, arm, explain_no_machine(status)))


def score_by_svms(exchange: Exchange, machines: Sequence[TrainedSvm]) -> None:
    """Send each machine's linear form to the sites, or nothing if the exact machine stays at its site."""
    for machine in machines:
        score_by_svm(exchange, machine)


def score_by_svm(exchange: Exchange, machine: TrainedSvm) -> None:
    """Send one machine to the sites, as `score_by_svms` does."""
    fitted = machine.fitted
    has_form = fitted is not None and fitted.gamma is not None
    is_missing = fitted is not None and not fitted.standing.ok
    if is_missing:
        score_nobody(exchange, machine.model, machine.arm)
        return
    sites = machine.arm.sites if fitted is None else exchange.plan.site_names
    form = {} if fitted is None or not has_form else write_query(form_of(fitted, design_of(exchange.plan)))
    send_model(exchange, Operation.SCORE, SentModel(machine.model, machine.arm, parameters=form), sites)


def _fit_federated(exchange: Exchange, run: StudyRun, model: SvmModel, selected: ArmSelection) -> FittedSvm:
    arm = selected.arm
    fitted = carry_out(exchange, name_fit(model, arm), fit_support_vectors(run.plan, model, selected))
    if not isinstance(fitted, FittedSvm):
        raise ExchangeError(f"{model.name}, {arm.name}: the sums of its ridge regressions are missing")
    return _store(run, model, arm, fitted)


def _fit_alone(exchange: Exchange, run: StudyRun, model: SvmModel, arm: Arm) -> TrainedSvm:
    (site,) = arm.sites
    program = train_at_site(run.plan, model, arm)
    trained, release = carry_out(exchange, name_fit(model, arm), program)
    if release is None:
        return TrainedSvm(model, arm, None, at_site=trained.replies[site].header.standing)
    header = release.replies[site].header
    if header.svm is None:
        raise ExchangeError(f"{site}: the release of {model.name} came without its linear form")
    return TrainedSvm(model, arm, _store(run, model, arm, header.svm), header.selection)


def _store(run: StudyRun, model: SvmModel, arm: Arm, fitted: FittedSvm) -> FittedSvm:
    path: Path = run.models / model.name / f"{arm.name}.json"
    write_atomically(path, fitted.model_dump_json(indent=1).encode())
    return fitted
