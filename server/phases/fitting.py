"""Phase: fit every logistic model of the plan in every arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.design import design_of
from common.errors import ExchangeError
from common.fitted import NOTHING_TO_FIT, fitted_of
from common.headers import Fitted, LassoSelection, Operation
from common.storage import write_atomically
from common.study import Arm, LogisticModel
from server.exchange import Exchange
from server.phases.regression import Screening
from server.phases.selection import ArmSelection, find_predictors
from server.regressions import fit_over_sites
from server.run import StudyRun


@dataclass(frozen=True)
class FittedRegression:
    """A logistic model after fitting, wherever it is.

    Attributes
    ----------
    model : LogisticModel
    arm : Arm
    fitted : Fitted or None
        None for a local model that stays at its site.
    selection : LassoSelection or None
        Of the radiomics features of a local model that was released.
    """

    model: LogisticModel
    arm: Arm
    fitted: Fitted | None
    selection: LassoSelection | None = None


@dataclass(frozen=True)
class Fitting:
    """All logistic models, and what was selected for the models of the federated arms.

    Attributes
    ----------
    models : tuple of FittedRegression
    selections : tuple of ArmSelection
    """

    models: tuple[FittedRegression, ...]
    selections: tuple[ArmSelection, ...]


def fit_models(exchange: Exchange, run: StudyRun, known: Screening | None) -> Fitting:
    """Every logistic model in every arm: over the sites by Newton's method, or at one site alone.

    Parameters
    ----------
    known : Screening or None
        Table 2, if the study made it.
    """
    if not run.plan.table_models:
        return Fitting((), ())
    federated = [arm for arm in run.plan.all_arms() if arm.kind == "federated"]
    selections = {arm: find_predictors(exchange, arm, known) for arm in federated}
    models = tuple(
        FittedRegression(model, arm, _fit_federated(exchange, run, model, selections[arm]))
        if arm in selections
        else _fit_alone(exchange, run, model, arm)
        for model in run.plan.regressions
        for arm in run.plan.arms_of(model)
    )
    return Fitting(models, tuple(selections.values()))


def _fit_federated(exchange: Exchange, run: StudyRun, model: LogisticModel, found: ArmSelection) -> Fitted:
    names = found.predictors.of(model)
    if not names:
        return _keep(run, model, found.arm, NOTHING_TO_FIT)
    (result,) = fit_over_sites(exchange, found.arm.sites, [names], found.arm.name)
    return _keep(run, model, found.arm, fitted_of(result, design_of(run.plan)))


def _fit_alone(exchange: Exchange, run: StudyRun, model: LogisticModel, arm: Arm) -> FittedRegression:
    (site,) = arm.sites
    exchange.ask(Operation.TRAIN_LOCAL, arm.sites, model=model.name, arm=arm.name)
    if not run.plan.site(site).model_release:
        return FittedRegression(model, arm, None)
    header = exchange.ask(Operation.RELEASE, arm.sites, model=model.name, arm=arm.name)[site].header
    if header.fitted is None:
        raise ExchangeError(f"{site}: the release of {model.name} came without coefficients")
    return FittedRegression(model, arm, _keep(run, model, arm, header.fitted), header.selection)


def _keep(run: StudyRun, model: LogisticModel, arm: Arm, fitted: Fitted) -> Fitted:
    path: Path = run.models / model.name / f"{arm.name}.json"
    write_atomically(path, fitted.model_dump_json(indent=1).encode())
    return fitted
