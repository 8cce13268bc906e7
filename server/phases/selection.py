"""Phase: which covariates "independent" and "radiomics" mean in the models of one federated arm."""

from __future__ import annotations

from dataclasses import dataclass

from common.cards.selected import explain_no_selection, summary_of
from common.messages.headers import LassoSelection, Operation
from common.messages.protocol import Parameters
from common.plan.models import INDEPENDENT, RADIOMICS
from common.plan.predictors import Predictors
from common.plan.study import Arm
from common.radiomics.features import FEATURES
from common.radiomics.lasso_selection import SelectionSettings, select_features, select_nothing
from common.stats.contract import Summary
from common.stats.glm import select_terms
from common.stats.guard import Demand, finish_guard
from common.stats.lasso import Scaling
from common.stats.minima import minima_of
from common.types import Counts
from server.exchange import Exchange
from server.phases.regression import Screening, screen_candidates
from server.phases.reproducibility import JudgedFeatures, judge_features


@dataclass(frozen=True)
class ArmSelection:
    """The predictors that were selected on an arm's training patients.

    Attributes
    ----------
    arm : Arm
        Whose patients.
    predictors : Predictors
        The covariates that "independent" and "radiomics" stand for.
    selection : LassoSelection or None
        Which features the LASSO selected; None if no model takes radiomics.
    judged : JudgedFeatures or None
        On which features repeated readings agree; None if the plan does not ask for it.
    """

    arm: Arm
    predictors: Predictors
    selection: LassoSelection | None
    judged: JudgedFeatures | None = None


def find_predictors(exchange: Exchange, arm: Arm, known: Screening | None) -> ArmSelection:
    """The arm's independent covariates and its selected features, each if a model takes them.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    arm : Arm
        Whose training patients.
    known : Screening or None
        Table 2, which is used if it was made on the same patients.
    """
    plan = exchange.plan
    taken = {name for model in plan.table_models for name in model.covariates}
    independent: tuple[str, ...] = ()
    if INDEPENDENT in taken:
        is_usable = known is not None and known.sites == arm.sites
        screening = known if known and is_usable else screen_candidates(exchange, arm.sites, arm.name)
        together = () if screening.multivariable is None else (screening.multivariable,)
        independent = tuple(term.name for term in select_terms(together, plan.regression.entry_p))
    if RADIOMICS not in taken:
        return ArmSelection(arm, Predictors(independent), None)
    judged = judge_features(exchange, arm) if plan.radiomics.readings else None
    selection = select_over_sites(exchange, arm, judged)
    return ArmSelection(arm, Predictors(independent, selection.names), selection, judged)


def select_over_sites(exchange: Exchange, arm: Arm, judged: JudgedFeatures | None = None) -> LassoSelection:
    """The features that the LASSO selects over the sites.

    Patients with all features are counted first; then come the features' moments, their products with the
    outcome, and their Gram matrices.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    arm : Arm
        Whose training patients.
    judged : JudgedFeatures or None
        Only its retained features may be selected; None if any feature may.
    """
    plan = exchange.plan
    if judged is not None and not judged.status.ok:
        return summary_of(select_nothing(len(FEATURES), judged.status))
    minima = minima_of(plan.profile)
    counted = exchange.sum(Operation.GUARD, arm.sites, stage="selection", arm=arm.name)
    demand = Demand("regression", one_site=len(arm.sites) == 1)
    (guard,) = finish_guard(counted, (demand,), minima, two_site_ack=plan.two_site_ack)
    if not guard.status.ok:
        return explain_no_selection(guard.status)
    settings = SelectionSettings(plan.radiomics.rule, plan.radiomics.wide_gram_accepted)
    retained = None if judged is None else judged.retained
    return summary_of(
        select_features(_SelectionQuestions(exchange, arm), FEATURES, settings, minima, retained)
    )


@dataclass(frozen=True)
class _SelectionQuestions:
    """The questions of a selection to the arm's sites."""

    exchange: Exchange
    arm: Arm

    def sum_moments(self) -> Summary:
        return self._sum(Operation.SCALING, {})

    def sum_products(self, scale: Scaling) -> Summary:
        return self._sum(Operation.PRESCREEN, _write_scaling(scale))

    def sum_cross_products(self, scale: Scaling, kept: Counts) -> Summary:
        return self._sum(Operation.GRAM, {**_write_scaling(scale), "chosen": kept})

    def _sum(self, operation: Operation, parameters: Parameters) -> Summary:
        return self.exchange.sum(operation, self.arm.sites, parameters, arm=self.arm.name)


def _write_scaling(scale: Scaling) -> Parameters:
    return {"mean": scale.mean, "sd": scale.sd, "kept": scale.kept}
