"""Phase: fit every support vector machine of the plan in every arm, and let them score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.design import design_of
from common.errors import ExchangeError
from common.headers import FittedSvm, Operation
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
    """

    model: SvmModel
    arm: Arm
    fitted: FittedSvm | None


def fit_svms(exchange: Exchange, run: StudyRun, selections: Sequence[ArmSelection]) -> tuple[TrainedSvm, ...]:
    """Every machine in every arm: over the sites in random Fourier features, or exactly at one site.

    Parameters
    ----------
    selections : sequence of ArmSelection
        Of the federated arms.
    """
    of_arm = {found.arm: found for found in selections}
    return tuple(
        TrainedSvm(model, arm, _fit(exchange, run, of_arm, (model, arm)))
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


def _fit(
    exchange: Exchange, run: StudyRun, of_arm: Mapping[Arm, ArmSelection], job: tuple[SvmModel, Arm]
) -> FittedSvm | None:
    model, arm = job
    if arm in of_arm:
        names = of_arm[arm].predictors.of(model)
        fitted = fit_svm_over_sites(SvmSites(exchange, arm.sites, arm.name, model, names))
        return _keep(run, model, arm, fitted)
    (site,) = arm.sites
    exchange.ask(Operation.TRAIN_LOCAL, arm.sites, model=model.name, arm=arm.name)
    if not run.plan.site(site).model_release:
        return None
    reply = exchange.ask(Operation.RELEASE, arm.sites, model=model.name, arm=arm.name)[site]
    if reply.header.svm is None:
        raise ExchangeError(f"{site}: the release of {model.name} came without its linear form")
    return _keep(run, model, arm, reply.header.svm)


def _keep(run: StudyRun, model: SvmModel, arm: Arm, fitted: FittedSvm) -> FittedSvm:
    path: Path = run.models / model.name / f"{arm.name}.json"
    write_atomically(path, fitted.model_dump_json(indent=1).encode())
    return fitted
