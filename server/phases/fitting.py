"""Phase: fit every logistic model of the plan in every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.cards.fitted import explain_no_fit
from common.errors import ExchangeError
from common.messages.headers import Fitted, LassoSelection
from common.plan.study import Arm, LogisticModel, StudyPlan
from common.program.fits import fit_regression
from common.program.names import name_fit, name_selection
from common.program.regressions import Screening
from common.program.selections import ArmSelection, find_predictors
from common.program.trainings import train_at_site
from common.runtime.storage import write_atomically
from common.stats.estimate import OK, Status
from server.exchange import Exchange
from server.phases.training import TrainedModel
from server.procedures import carry_out
from server.reasons import SiteFailureError
from server.run import StudyRun


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
    at_site : Status
        Of a local model that stays at its site: whether there is one, and if not, why.
    """

    model: LogisticModel
    arm: Arm
    fitted: Fitted | None
    selection: LassoSelection | None = None
    at_site: Status = OK

    @property
    def standing(self) -> Status:
        """Whether there is a model, and if not, why."""
        return self.at_site if self.fitted is None else self.fitted.standing


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


def find_missing_scores(plan: StudyPlan, trained: Sequence[TrainedModel]) -> dict[tuple[str, str], Status]:
    """Models of the table that take the score of a network that there is not: why, by model and arm."""
    return {
        (model.name, network.arm.name): replace(
            network.standing,
            reason=f"it takes the score of {network.model.name}, which was {network.standing.reason}",
        )
        for network in trained
        for model in plan.table_models
        if not network.standing.ok and network.model.name in model.networks
    }


def fit_models(
    exchange: Exchange,
    run: StudyRun,
    known: Screening | None,
    obstacles: Mapping[tuple[str, str], Status],
) -> Fitting:
    """Every logistic model in every arm: over the sites by Newton's method, or at one site alone.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    run : StudyRun
        The plan, and the folder where models are stored.
    known : Screening or None
        Table 2, if the study has it.
    obstacles : mapping of (model, arm) to Status
        Why models cannot be fitted: nothing is asked about them.
    """
    if not run.plan.table_models:
        return Fitting((), ())
    federated = [arm for arm in run.plan.all_arms() if arm.kind == "federated"]
    selections = {
        arm: carry_out(exchange, name_selection(arm), find_predictors(run.plan, arm, known))
        for arm in federated
    }
    models = tuple(
        fit_model(exchange, run, (model, arm, selections.get(arm)), obstacles)
        for model in run.plan.regressions
        for arm in run.plan.arms_of(model)
    )
    return Fitting(models, tuple(selections.values()))


def fit_model(
    exchange: Exchange,
    run: StudyRun,
    wanted: tuple[LogisticModel, Arm, ArmSelection | None],
    obstacles: Mapping[tuple[str, str], Status],
) -> FittedRegression:
    """The model in one arm, or why there is none.

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
            return FittedRegression(model, arm, _fit_federated(exchange, run, model, selected))
        except SiteFailureError as refusal:
            if not refusal.costs_one_model:
                raise
            status = refusal.standing
    return FittedRegression(model, arm, _store(run, model, arm, explain_no_fit(status)))


def _fit_federated(exchange: Exchange, run: StudyRun, model: LogisticModel, selected: ArmSelection) -> Fitted:
    arm = selected.arm
    fitted = carry_out(exchange, name_fit(model, arm), fit_regression(run.plan, model, selected))
    return _store(run, model, arm, fitted)


def _fit_alone(exchange: Exchange, run: StudyRun, model: LogisticModel, arm: Arm) -> FittedRegression:
    (site,) = arm.sites
    program = train_at_site(run.plan, model, arm)
    trained, release = carry_out(exchange, name_fit(model, arm), program)
    if release is None:
        return FittedRegression(model, arm, None, at_site=trained.replies[site].header.standing)
    header = release.replies[site].header
    if header.fitted is None:
        raise ExchangeError(f"{site}: the release of {model.name} came without coefficients")
    return FittedRegression(model, arm, _store(run, model, arm, header.fitted), header.selection)


def _store(run: StudyRun, model: LogisticModel, arm: Arm, fitted: Fitted) -> Fitted:
    path: Path = run.models / model.name / f"{arm.name}.json"
    write_atomically(path, fitted.model_dump_json(indent=1).encode())
    return fitted
