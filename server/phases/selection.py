"""Phase: what stands for "independent" and "radiomics" in the models of one federated arm."""

from __future__ import annotations

from dataclasses import dataclass

from common.headers import LassoSelection, Operation
from common.predictors import Predictors
from common.protocol import Parameters
from common.radiomics.features import FEATURES
from common.radiomics.selection import SelectionSettings, nothing_judged, select_features
from common.selected import not_selected, summary_of
from common.stats.contract import Summary
from common.stats.glm import entering
from common.stats.guard import Demand, finish_guard
from common.stats.lasso import Scaling
from common.stats.minima import minima_of
from common.study import Arm
from common.study_models import INDEPENDENT, RADIOMICS
from common.types import Counts
from server.exchange import Exchange
from server.phases.regression import Screening, screen
from server.phases.reproducibility import JudgedFeatures, judge_features


@dataclass(frozen=True)
class ArmSelection:
    """What was found on an arm's training patients.

    Attributes
    ----------
    arm : Arm
    predictors : Predictors
    selection : LassoSelection or None
        None where no model takes radiomics.
    judged : JudgedFeatures or None
        On which features repeated readings agree; None where the plan does not ask.
    """

    arm: Arm
    predictors: Predictors
    selection: LassoSelection | None
    judged: JudgedFeatures | None = None


def find_predictors(exchange: Exchange, arm: Arm, known: Screening | None) -> ArmSelection:
    """The arm's independent covariates, and the features that the LASSO selects, each if a model takes them.

    Parameters
    ----------
    known : Screening or None
        Table 2, which serves if it was made on the same patients.
    """
    plan = exchange.plan
    taken = {name for model in plan.table_models for name in model.covariates}
    independent: tuple[str, ...] = ()
    if INDEPENDENT in taken:
        serves = known is not None and known.sites == arm.sites
        found = known if known and serves else screen(exchange, arm.sites, arm.name)
        together = () if found.multivariable is None else (found.multivariable,)
        independent = tuple(term.name for term in entering(together, plan.regression.entry_p))
    if RADIOMICS not in taken:
        return ArmSelection(arm, Predictors(independent), None)
    judged = judge_features(exchange, arm) if plan.radiomics.readings else None
    selection = select_over_sites(exchange, arm, judged)
    return ArmSelection(arm, Predictors(independent, selection.names), selection, judged)


def select_over_sites(exchange: Exchange, arm: Arm, judged: JudgedFeatures | None = None) -> LassoSelection:
    """The LASSO over the sites: who has all features, then moments, products with the outcome, Grams.

    Parameters
    ----------
    judged : JudgedFeatures or None
        Whose retained features alone may be selected; None: any.
    """
    plan = exchange.plan
    if judged is not None and not judged.status.ok:
        return summary_of(nothing_judged(len(FEATURES), judged.status))
    minima = minima_of(plan.profile)
    counted = exchange.sum(Operation.GUARD, arm.sites, stage="selection", arm=arm.name)
    demand = Demand("regression", one_site=len(arm.sites) == 1)
    (guard,) = finish_guard(counted, (demand,), minima, two_site_ack=plan.two_site_ack)
    if not guard.status.ok:
        return not_selected(guard.status)
    settings = SelectionSettings(plan.radiomics.rule, plan.radiomics.wide_gram_accepted)
    retained = None if judged is None else judged.retained
    return summary_of(select_features(_Sums(exchange, arm), FEATURES, settings, minima, retained))


@dataclass(frozen=True)
class _Sums:
    """The sites as whoever answers a selection."""

    exchange: Exchange
    arm: Arm

    def scaling(self) -> Summary:
        return self._sum(Operation.SCALING, {})

    def prescreen(self, scale: Scaling) -> Summary:
        return self._sum(Operation.PRESCREEN, _parameters(scale))

    def gram(self, scale: Scaling, kept: Counts) -> Summary:
        return self._sum(Operation.GRAM, {**_parameters(scale), "chosen": kept})

    def _sum(self, operation: Operation, parameters: Parameters) -> Summary:
        return self.exchange.sum(operation, self.arm.sites, parameters, arm=self.arm.name)


def _parameters(scale: Scaling) -> Parameters:
    return {"mean": scale.mean, "sd": scale.sd, "kept": scale.kept}
