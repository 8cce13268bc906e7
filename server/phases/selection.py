"""Phase: which covariates "independent" and "radiomics" mean in the models of one federated arm."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.cards.selected import explain_no_selection, summary_of
from common.messages.headers import LassoSelection, Operation
from common.messages.protocol import Parameters
from common.messages.questions import write_path
from common.plan.models import INDEPENDENT, RADIOMICS
from common.plan.predictors import Predictors
from common.plan.study import Arm
from common.radiomics.features import FEATURES
from common.radiomics.lasso_selection import (
    FEWEST_FOLDS,
    SelectionSettings,
    select_features,
    select_nothing,
)
from common.stats.contract import Summary
from common.stats.folds import choose_folds
from common.stats.glm import select_terms
from common.stats.guard import Demand, finish_guard
from common.stats.icc import RatingLocation
from common.stats.lasso import Scaling
from common.stats.lasso_binomial import PathQuery
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

    @property
    def means(self) -> dict[str, float]:
        """Mean of each selected feature, about which sums over the sites are taken."""
        return {} if self.selection is None else self.selection.means


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
    predictors = Predictors(independent, selection.names, selection.standing)
    return ArmSelection(arm, predictors, selection, judged)


def select_over_sites(exchange: Exchange, arm: Arm, judged: JudgedFeatures | None = None) -> LassoSelection:
    """The features that the LASSO selects over the sites.

    Patients with all features are counted first, in all and in the folds of each possible number of folds.
    Then come the features' magnitudes and moments, their products with the outcome, and their cross-products:
    of the Gaussian LASSO once, of the binomial one in each round of its path.

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
    demands = (Demand("regression", one_site=len(arm.sites) == 1),) * len(counted.counts["classes"])
    guard = finish_guard(counted, demands, minima, two_site_ack=plan.two_site_ack)[0]
    folds = choose_folds(counted.counts["classes"][1:], plan.radiomics.folds, FEWEST_FOLDS, minima)
    status = guard.status if not guard.status.ok else folds.status
    if not status.ok:
        asked = {"family": plan.radiomics.family, "rounds": 1, "planned_folds": folds.planned}
        return explain_no_selection(status).model_copy(update=asked)
    settings = SelectionSettings(
        plan.radiomics.rule, plan.radiomics.wide_gram_accepted, plan.radiomics.family
    )
    questions = _SelectionQuestions(exchange, arm, folds.number)
    retained = None if judged is None else judged.retained
    selection = select_features(questions, FEATURES, settings, minima, retained)
    # The guard round is one more.
    return summary_of(replace(selection, folds=folds, rounds=selection.rounds + 1))


@dataclass(frozen=True)
class _SelectionQuestions:
    """The questions of a selection to the arm's sites, about so many folds."""

    exchange: Exchange
    arm: Arm
    n_folds: int

    def sum_magnitudes(self) -> Summary:
        return self._sum(Operation.MAGNITUDES, {})

    def sum_moments(self, magnitude: RatingLocation) -> Summary:
        return self._sum(Operation.SCALING, {"centre": magnitude.centre, "scale": magnitude.scale})

    def sum_products(self, scale: Scaling) -> Summary:
        return self._sum(Operation.PRESCREEN, self._write_features(scale))

    def sum_cross_products(self, scale: Scaling, kept: Counts) -> Summary:
        return self._sum(Operation.GRAM, {**self._write_features(scale), "chosen": kept})

    def sum_path(self, scale: Scaling, kept: Counts, query: PathQuery) -> Summary:
        return self._sum(Operation.PATH, {**self._write_features(scale), "chosen": kept, **write_path(query)})

    def _write_features(self, scale: Scaling) -> Parameters:
        """How the features are standardised, and how many folds there are."""
        return {"mean": scale.mean, "sd": scale.sd, "kept": scale.kept, "folds": np.array([self.n_folds])}

    def _sum(self, operation: Operation, parameters: Parameters) -> Summary:
        return self.exchange.sum(operation, self.arm.sites, parameters, arm=self.arm.name)
