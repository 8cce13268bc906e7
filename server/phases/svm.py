"""Phase: fit every support vector machine of the plan in every arm, and let them score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.design import design_of
from common.errors import ExchangeError
from common.headers import FittedSvm, LassoSelection, Operation
from common.storage import write_atomically
from common.study import Arm
from common.study_models import SvmModel
from common.svm import form_of, write_query
from server.exchange import Exchange
from server.phases.selection import ArmSelection
from server.run import StudyRun
from server.svm import SvmSites, fit_svm_over_sites


@dataclass(frozen=True)
class TrainedSvm:
    """A support vector machine after fitting, wherever it is.

    Attributes
    ----------
    model : SvmModel
    arm : Arm
    fitted : FittedSvm or None
        None for a local machine that stays at its site.
    selection : LassoSelection or None
        Of the radiomics features of a local machine that was released.
    """

    model: SvmModel
    arm: Arm
    fitted: FittedSvm | None
    selection: LassoSelection | None = None


def fit_svms(exchange: Exchange, run: StudyRun, selections: Sequence[ArmSelection]) -> tuple[TrainedSvm, ...]:
    """Every machine in every arm: over the sites in random Fourier features, or exactly at one site.

    Parameters
    ----------
    selections : sequence of ArmSelection
        Of the federated arms.
    """
    of_arm = {found.arm: found for found in selections}
    return tuple(
        TrainedSvm(model, arm, _fit_federated(exchange, run, model, of_arm[arm]))
        if arm in of_arm
        else _fit_alone(exchange, run, model, arm)
        for model in run.plan.table_models
        if isinstance(model, SvmModel)
        for arm in run.plan.arms_of(model)
    )


def score_by_svms(exchange: Exchange, machines: Sequence[TrainedSvm]) -> None:
    """One message a machine: its linear form, or none where the exact machine stays at its site."""
    for machine in machines:
        found = machine.fitted
        fitted = found is not None and found.gamma is not None
        exchange.ask(
            Operation.SCORE,
            machine.arm.sites if found is None else exchange.plan.site_names,
            None,
            write_query(form_of(found, design_of(exchange.plan))) if found is not None and fitted else {},
            model=machine.model.name,
            arm=machine.arm.name,
        )


def _fit_federated(exchange: Exchange, run: StudyRun, model: SvmModel, found: ArmSelection) -> FittedSvm:
    arm, names = found.arm, found.predictors.of(model)
    return _keep(run, model, arm, fit_svm_over_sites(SvmSites(exchange, arm.sites, arm.name, model, names)))


def _fit_alone(exchange: Exchange, run: StudyRun, model: SvmModel, arm: Arm) -> TrainedSvm:
    (site,) = arm.sites
    exchange.ask(Operation.TRAIN_LOCAL, arm.sites, model=model.name, arm=arm.name)
    if not run.plan.site(site).model_release:
        return TrainedSvm(model, arm, None)
    header = exchange.ask(Operation.RELEASE, arm.sites, model=model.name, arm=arm.name)[site].header
    if header.svm is None:
        raise ExchangeError(f"{site}: the release of {model.name} came without its linear form")
    return TrainedSvm(model, arm, _keep(run, model, arm, header.svm), header.selection)


def _keep(run: StudyRun, model: SvmModel, arm: Arm, fitted: FittedSvm) -> FittedSvm:
    path: Path = run.models / model.name / f"{arm.name}.json"
    write_atomically(path, fitted.model_dump_json(indent=1).encode())
    return fitted
