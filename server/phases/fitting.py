"""Phase: fit every logistic model of the plan in every arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.cards.fitted import NOTHING_TO_FIT, fitted_of
from common.errors import ExchangeError
from common.messages.headers import Fitted, LassoSelection, Operation
from common.plan.design import design_of
from common.plan.study import Arm, LogisticModel
from common.runtime.storage import write_atomically
from server.exchange import Exchange
from server.phases.regression import Screening
from server.phases.selection import ArmSelection, find_predictors
from server.run import StudyRun
from server.training.logistic import fit_over_sites


@dataclass(frozen=True)
class FittedRegression:
    """A logistic model after fitting, at the coordinator or at its site.

    Attributes
    ----------
    model : LogisticModel
        The model, as the plan describes it.
    arm : Arm
        Whose patients it was fitted to.
    fitted : Fitted or None
        Its coefficients; None for a local model that stays at its site.
    selection : LassoSelection or None
        Selected radiomics features of a local model that was released; None for other models.
    """

    model: LogisticModel
    arm: Arm
    fitted: Fitted | None
    selection: LassoSelection | None = None


@dataclass(frozen=True)
class Fitting:
    """All logistic models, and the predictors that were selected in the federated arms.

    Attributes
    ----------
    models : tuple of FittedRegression
        Every logistic model in every arm.
    selections : tuple of ArmSelection
        One for each federated arm.
    """

    models: tuple[FittedRegression, ...]
    selections: tuple[ArmSelection, ...]


def fit_models(exchange: Exchange, run: StudyRun, known: Screening | None) -> Fitting:
    """Every logistic model in every arm: over the sites by Newton's method, or at one site alone.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    run : StudyRun
        The plan, and the folder where models are stored.
    known : Screening or None
        Table 2, if the study has it.
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


def _fit_federated(exchange: Exchange, run: StudyRun, model: LogisticModel, selected: ArmSelection) -> Fitted:
    arm, names = selected.arm, selected.predictors.of(model)
    if not names:
        return _store(run, model, arm, NOTHING_TO_FIT)
    (result,) = fit_over_sites(exchange, arm.sites, [names], arm.name)
    return _store(run, model, arm, fitted_of(result, design_of(run.plan)))


def _fit_alone(exchange: Exchange, run: StudyRun, model: LogisticModel, arm: Arm) -> FittedRegression:
    (site,) = arm.sites
    exchange.ask(Operation.TRAIN_LOCAL, arm.sites, model=model.name, arm=arm.name)
    if not run.plan.site(site).model_release:
        return FittedRegression(model, arm, None)
    header = exchange.ask(Operation.RELEASE, arm.sites, model=model.name, arm=arm.name)[site].header
    if header.fitted is None:
        raise ExchangeError(f"{site}: the release of {model.name} came without coefficients")
    return FittedRegression(model, arm, _store(run, model, arm, header.fitted), header.selection)


def _store(run: StudyRun, model: LogisticModel, arm: Arm, fitted: Fitted) -> Fitted:
    path: Path = run.models / model.name / f"{arm.name}.json"
    write_atomically(path, fitted.model_dump_json(indent=1).encode())
    return fitted
