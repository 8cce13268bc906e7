"""Comparisons of models and of centres as the results file holds them."""

from __future__ import annotations

from collections.abc import Iterable

from common.matrix import Scorer
from common.stats.decision_difference import DecisionDifference
from common.stats.estimate import undefined
from common.stats.mcnemar import McNemarResult
from common.stats.meta import Heterogeneity as CentreResult
from common.study import StudyPlan
from server.analyses import Comparison, Comparisons, Discordance, Heterogeneity, NetBenefitDifference
from server.phases.comparison import CohortComparison, Compared, PairResult
from server.records import measure_of, standing_of


def comparisons_of(plan: StudyPlan, compared: Compared) -> Iterable[Comparisons]:
    """Of every cohort."""
    return (_cohort(plan, found) for found in compared.cohorts)


def heterogeneity_of(compared: Compared) -> Iterable[Heterogeneity]:
    """Of every model that several centres judge."""
    return (_centres(scorer, found) for scorer, found in compared.centres.items())


def _cohort(plan: StudyPlan, found: CohortComparison) -> Comparisons:
    test = found.omnibus
    return Comparisons(
        cohort_sites=found.cohort.sites,
        part=found.cohort.part,
        used=test.n_used,
        missing=test.n_missing,
        chi_squared=test.chi_squared,
        degrees_of_freedom=test.degrees_of_freedom,
        p_value=test.p,
        standing=standing_of(test.status),
        pairs=tuple(_pair(pair, adjusted=plan.evaluation.adjustment == "holm") for pair in found.pairs),
    )


def _pair(pair: PairResult, *, adjusted: bool) -> Comparison:
    auc = pair.auc
    return Comparison(
        first_model=pair.first.model.name,
        first_arm=pair.first.arm.name,
        second_model=pair.second.model.name,
        second_arm=pair.second.arm.name,
        difference=measure_of(auc.difference, auc.interval, auc.method, auc.status),
        p_value=auc.p,
        p_adjusted=auc.p_adjusted if adjusted else None,
        sensitivity=_discordance(pair.sensitivity),
        specificity=_discordance(pair.specificity),
        net_benefit=_benefit(pair.benefit),
    )


def _discordance(found: McNemarResult) -> Discordance:
    return Discordance(
        only_first=found.only_first,
        only_second=found.only_second,
        p_value=found.p,
        method=found.method,
        standing=standing_of(found.status),
    )


def _benefit(found: DecisionDifference | None) -> tuple[NetBenefitDifference, ...]:
    return tuple(
        NetBenefitDifference(
            threshold=point.threshold,
            difference=point.difference,
            low=point.interval.low,
            high=point.interval.high,
        )
        for point in (() if found is None else found.points)
    )


def _centres(scorer: Scorer, found: CentreResult) -> Heterogeneity:
    two = found.difference_p is not None
    status = undefined("fewer than three centres have no mean") if two else found.status
    return Heterogeneity(
        model=scorer.model.name,
        arm=scorer.arm.name,
        sites=found.sites,
        sites_excluded=found.sites_excluded,
        auc=measure_of(found.auc, found.interval, found.method, status),
        prediction_low=found.prediction.low if found.prediction else None,
        prediction_high=found.prediction.high if found.prediction else None,
        q=found.q,
        p_value=found.difference_p if two else found.p,
        i_squared=found.i_squared,
        tau_squared=found.tau_squared,
        per_site=found.per_site,
    )
