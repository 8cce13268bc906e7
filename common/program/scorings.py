"""The steps in which a model scores the patients of each site; the scores stay there."""

from __future__ import annotations

from dataclasses import replace

from common.cards.fitted import coefficients_of, covariates_of
from common.errors import NotThePlanError
from common.messages.catalogue import Operation
from common.messages.headers import Fitted
from common.messages.protocol import Parameters
from common.messages.questions import write_coefficients
from common.plan.design import design_of
from common.plan.matrix import Cohort, Scorer, is_available
from common.plan.models import AnyTrainedModel, CardModel, SvmModel
from common.plan.study import Arm, CnnModel, LogisticModel, StudyPlan
from common.program.machines import MachineChoice
from common.program.steps import Program, Step

_UNTRAINED = "untrained"
_OF_REGRESSIONS = ("estimated",)
_OF_MACHINES = ("columns", "mean", "sd", "folds", "gammas", "left_out")
"""Parameters of a model that scores, beside its coefficients."""
BY_TRAINERS, BY_OTHERS, BY_NOBODY = 1, 2, 3
"""Steps of a scoring: at the sites that trained the model, at the others, and at all where there is none."""


def list_scored_sites(plan: StudyPlan, model: AnyTrainedModel, arm: Arm) -> tuple[str, ...]:
    """The sites at which the model may score: all, but for a local model that stays at its site."""
    scorer = Scorer(model, arm)
    return tuple(site for site in plan.site_names if is_available(plan, scorer, Cohort((site,), "whole")))


def score_over_sites(plan: StudyPlan, model: AnyTrainedModel, arm: Arm, fitted: object) -> Program[None]:
    """The scoring by a model as a site follows it.

    First the sites of the arm score, then the others; a model that there is not scores nobody, also after it
    failed at a site.

    Parameters
    ----------
    plan : StudyPlan
    model : AnyTrainedModel
    arm : Arm
    fitted : object
        What this site knows of the model: of a logistic model over sites its fit; None where nothing.
    """
    everywhere = list_scored_sites(plan, model, arm)
    others = tuple(site for site in everywhere if site not in arm.sites)
    scoring = Step(
        Operation.SCORE,
        model=model.name,
        arm=arm.name,
        round=None if isinstance(model, CnnModel) else 0,
        regressions=None if isinstance(model, LogisticModel) else (),
        carries_weights=isinstance(model, CnnModel),
        is_optional=True,
    )
    scoring = replace(scoring, absent=_list_absent(model))
    own = replace(scoring, sites=arm.sites, derive=_check_own(plan, model, arm, fitted))
    if arm.kind == "federated" and isinstance(fitted, Fitted):
        own = replace(own, regressions=() if fitted.intercept is None else (covariates_of(fitted),))
    yield own
    # Who missed the end of a training scores with the others, once those who know the network have signed it
    later = everywhere if isinstance(model, CnnModel) else others
    if later:
        # A step of no sites would be everybody's
        yield replace(scoring, sites=later)
    yield Step(
        Operation.SCORE, model=model.name, arm=arm.name, sites=everywhere, stage=_UNTRAINED, is_optional=True
    )


def score_with_card(plan: StudyPlan, model: CardModel) -> Program[None]:
    """The scoring by a model of an earlier study: its file goes to every site, which knows its digest."""
    (arm,) = plan.arms_of(model)
    absent = ("coefficients", *_OF_REGRESSIONS, *_OF_MACHINES)
    yield Step(
        Operation.SCORE,
        model=model.name,
        arm=arm.name,
        sites=plan.site_names,
        carries_weights=True,
        absent=absent,
    )


def _list_absent(model: AnyTrainedModel) -> tuple[str, ...]:
    """How parameters begin that models of this kind do not have."""
    if isinstance(model, CnnModel):
        return ("coefficients", *_OF_REGRESSIONS, *_OF_MACHINES)
    return _OF_REGRESSIONS if isinstance(model, SvmModel) else _OF_MACHINES


class _OwnFit:
    """Compares what members of the arm are asked to score with to what they fitted together."""

    def __init__(self, plan: StudyPlan, fitted: Fitted) -> None:
        self._plan = plan
        self._fitted = fitted

    def __call__(self, asked: Parameters) -> Parameters:
        """The coefficients of the fit.

        Raises
        ------
        NotThePlanError
            If there is no fit, but coefficients came.
        """
        if self._fitted.intercept is None:
            if asked:
                raise NotThePlanError("coefficients came of a model that could not be fitted")
            return {}
        return write_coefficients(coefficients_of(self._fitted, design_of(self._plan)))


class _OwnChoice:
    """Compares what members of the arm are asked to score with to the machine that the coordinator fitted."""

    def __init__(self, choice: MachineChoice) -> None:
        self._choice = choice

    def __call__(self, asked: Parameters) -> Parameters:
        """The linear form of the machine.

        Raises
        ------
        NotThePlanError
            If it was not fitted, but a form came.
        """
        if asked and not self._choice.form:
            raise NotThePlanError("a machine came that was not fitted with this site")
        return self._choice.form


def _check_own(
    plan: StudyPlan, model: AnyTrainedModel, arm: Arm, fitted: object
) -> _OwnFit | _OwnChoice | None:
    if arm.kind != "federated" or isinstance(model, CnnModel):
        return None
    if isinstance(model, SvmModel):
        return _OwnChoice(fitted if isinstance(fitted, MachineChoice) else MachineChoice({}))
    if not isinstance(fitted, Fitted):
        return _OwnFit(plan, Fitted(status="undefined", reason="the fit is not known here"))
    return _OwnFit(plan, fitted)
