"""A model of the table in a federated arm: fitted to the predictors that were selected there."""

from __future__ import annotations

from common.cards.fitted import NOTHING_TO_FIT, explain_no_fit, fitted_of
from common.cards.fourier_machine import explain_no_machine
from common.messages.headers import Fitted, FittedSvm
from common.plan.design import design_of
from common.plan.models import SvmModel
from common.plan.study import LogisticModel, StudyPlan
from common.program.machines import MachineChoice, fit_machine
from common.program.regressions import fit_regressions
from common.program.selections import ArmSelection
from common.program.steps import Program


def fit_regression(plan: StudyPlan, model: LogisticModel, selected: ArmSelection) -> Program[Fitted]:
    """The logistic model, or why there is none."""
    status = selected.predictors.judge(model)
    if not status.ok:
        return explain_no_fit(status)
    names = yield from selected.find_names(model)
    if not names:
        return NOTHING_TO_FIT
    arm = selected.arm
    (result,) = yield from fit_regressions(plan, arm.sites, [names], arm.name, selected.find_means(names))
    return fitted_of(result, design_of(plan))


def fit_support_vectors(
    plan: StudyPlan, model: SvmModel, selected: ArmSelection
) -> Program[FittedSvm | MachineChoice]:
    """The support vector machine, or why there is none; at a site the coordinator's choice."""
    status = selected.predictors.judge(model)
    if not status.ok:
        return explain_no_machine(status)
    names = yield from selected.find_names(model)
    return (yield from fit_machine(plan, selected.arm, model, names, selected.find_means(names)))
