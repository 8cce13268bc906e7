"""Phase: fit every logistic model of the plan in every arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.design import design_of
from common.errors import ExchangeError
from common.fitted import fitted_of
from common.headers import Fitted, Operation
from common.storage import write_atomically
from common.study import Arm, LogisticModel
from server.exchange import Exchange
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
    """

    model: LogisticModel
    arm: Arm
    fitted: Fitted | None


def fit_models(exchange: Exchange, run: StudyRun) -> tuple[FittedRegression, ...]:
    """Every logistic model in every arm: over the sites by Newton's method, or at one site alone."""
    return tuple(
        FittedRegression(model, arm, _fit(exchange, run, model, arm))
        for model in run.plan.regressions
        for arm in run.plan.arms_of(model)
    )


def _fit(exchange: Exchange, run: StudyRun, model: LogisticModel, arm: Arm) -> Fitted | None:
    if arm.kind == "federated":
        (result,) = fit_over_sites(exchange, arm.sites, [model.covariates])
        return _keep(run, model, arm, fitted_of(result, design_of(run.plan)))
    (site,) = arm.sites
    exchange.ask(Operation.TRAIN_LOCAL, arm.sites, model=model.name, arm=arm.name)
    if not run.plan.site(site).model_release:
        return None
    reply = exchange.ask(Operation.RELEASE, arm.sites, model=model.name, arm=arm.name)[site]
    if reply.header.fitted is None:
        raise ExchangeError(f"{site}: the release of {model.name} came without coefficients")
    return _keep(run, model, arm, reply.header.fitted)


def _keep(run: StudyRun, model: LogisticModel, arm: Arm, fitted: Fitted) -> Fitted:
    path: Path = run.models / model.name / f"{arm.name}.json"
    write_atomically(path, fitted.model_dump_json(indent=1).encode())
    return fitted
