"""Phase: compare models on the same patients (Fig. 7), and one model between centres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.messages.headers import Operation
from common.messages.protocol import Parameters
from common.messages.questions import write_pairs, write_placements
from common.plan.matrix import Cohort, Scorer, find_compared_cohorts, scorers_of
from common.plan.study import StudyPlan
from common.stats.contract import Summary
from common.stats.decision_difference import DecisionDifference, finish_decision_difference
from common.stats.delong import (
    AucCovariance,
    AucDifference,
    OmnibusResult,
    compare_aucs,
    finish_delong,
    omnibus,
    placements_of,
)
from common.stats.estimate import suppressed
from common.stats.mcnemar import McNemarResult, finish_mcnemar, model_pairs
from common.stats.meta import Heterogeneity, between_variance, finish_meta
from common.stats.minima import minima_of
from server.exchange import Exchange
from server.phases.evaluation import EvaluatedModels
from server.phases.shown_cohorts import may_show_beside

ScorePair = tuple[int, int]
"""Positions of two scores among the members of a cohort's comparison; the first is of the reference model."""


@dataclass(frozen=True)
class PairResult:
    """The reference model compared with another one on the same patients.

    Attributes
    ----------
    first : Scorer
        A score of the reference model.
    second : Scorer
        The score that it is compared with.
    auc : AucDifference
        Difference of the AUCs, by DeLong.
    specificity : McNemarResult
        McNemar's test in patients without expansion.
    sensitivity : McNemarResult
        McNemar's test in patients with expansion.
    benefit : DecisionDifference or None
        Difference of net benefit, if both scores are predicted risks.
    """

    first: Scorer
    second: Scorer
    auc: AucDifference
    specificity: McNemarResult
    sensitivity: McNemarResult
    benefit: DecisionDifference | None


@dataclass(frozen=True)
class CohortComparison:
    """All comparisons on one cohort.

    Attributes
    ----------
    cohort : Cohort
        On whose patients.
    omnibus : OmnibusResult
        Whether the AUCs of all scores that are fair on the cohort are equal.
    pairs : tuple of PairResult
        Each comparison with the reference model.
    """

    cohort: Cohort
    omnibus: OmnibusResult
    pairs: tuple[PairResult, ...]


@dataclass(frozen=True)
class ComparedModels:
    """All comparisons of a study.

    Attributes
    ----------
    cohorts : tuple of CohortComparison
        The cohorts with enough patients for comparisons.
    centres : mapping of Scorer to Heterogeneity
        Differences between centres, of scores that more than one centre judges fairly.
    """

    cohorts: tuple[CohortComparison, ...]
    centres: Mapping[Scorer, Heterogeneity]


def compare_models(exchange: Exchange, evaluated: EvaluatedModels, reference: str) -> ComparedModels:
    """Every comparison of the reference model, in one round.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    evaluated : EvaluatedModels
        Its answers hold the first round of DeLong's method.
    reference : str
        Name of the model that the others are compared with.
    """
    plan = exchange.plan
    scorers = scorers_of(plan)
    asked = [
        (index, cohort, members, _list_pairs(plan, members, reference))
        for (index, cohort, members), status in zip(
            find_compared_cohorts(plan, evaluated.scored.tolist()), evaluated.paired, strict=True
        )
        if status.ok
    ]
    sums = evaluated.answers
    firsts = {index: sums.of(cohort.sites).part(f"paired/{index}") for index, cohort, _, _ in asked}
    by_centre = [sums.of(plan.site_names).part(f"centre/{scorer}") for scorer in range(len(scorers))]
    variances = np.array([between_variance(first) for first in by_centre])
    parameters: Parameters = {
        "asked": evaluated.asked,
        "thresholds": evaluated.thresholds,
        "scored": evaluated.scored,
        "tau_squared": variances,
        **write_placements({index: placements_of(first) for index, first in firsts.items()}),
        **{f"{index}.pairs": write_pairs(pairs) for index, _, _, pairs in asked},
    }
    answers = exchange.gather(Operation.COMPARE, parameters)
    cohorts = tuple(
        _finish(
            plan, (cohort, members, pairs), (firsts[index], answers.of(cohort.sites).part(f"paired/{index}"))
        )
        for index, cohort, members, pairs in asked
    )
    minima = minima_of(plan.profile)
    if plan.two_site_ack:
        minima = replace(minima, sites=min(minima.sites, 2))
    centres = {
        scorer: finish_meta(first, answers.of(plan.site_names).part(f"centre/{number}"), minima)
        for number, (scorer, first) in enumerate(zip(scorers, by_centre, strict=True))
        if int(first.counts["sites"][0]) > 1
    }
    return ComparedModels(_protect(plan, cohorts), centres)


def _protect(plan: StudyPlan, compared: Sequence[CohortComparison]) -> tuple[CohortComparison, ...]:
    """The comparisons without discordant calls from which few patients of another cohort would follow."""
    pairs = {
        (place, number): pair
        for place, comparison in enumerate(compared)
        for number, pair in enumerate(comparison.pairs)
    }
    for models in {(pair.first, pair.second): None for pair in pairs.values()}:
        for positive in (False, True):
            counts = {
                key: discordant
                for key, pair in pairs.items()
                if (pair.first, pair.second) == models
                and (discordant := _count_discordant(pair, positive=positive)) is not None
            }
            cohorts = [compared[place].cohort for place, _ in counts]
            shown = may_show_beside(plan, cohorts, list(counts.values()))
            for key, is_shown in zip(counts, shown, strict=True):
                if not is_shown:
                    pairs[key] = _withhold_class(pairs[key], positive=positive)
    return tuple(
        replace(comparison, pairs=tuple(pairs[place, number] for number in range(len(comparison.pairs))))
        for place, comparison in enumerate(compared)
    )


def _count_discordant(pair: PairResult, *, positive: bool) -> tuple[int, int] | None:
    """Patients of one class whom only the first, and only the second score calls right; None if hidden."""
    test = pair.sensitivity if positive else pair.specificity
    if test.only_first is None or test.only_second is None:
        return None
    return test.only_first, test.only_second


def _withhold_class(pair: PairResult, *, positive: bool) -> PairResult:
    """The pair without one class' discordant calls, and without the net benefit, which discloses them too."""
    test = pair.sensitivity if positive else pair.specificity
    status = suppressed("few patients of another cohort could be worked out")
    hidden = McNemarResult(None, None, None, test.method, status, None, test.n_used, test.n_missing)
    if positive:
        return replace(pair, sensitivity=hidden, benefit=None)
    return replace(pair, specificity=hidden, benefit=None)


def _list_pairs(plan: StudyPlan, members: Sequence[int], reference: str) -> tuple[ScorePair, ...]:
    """Positions among the members, the reference model first.

    In each arm it is compared with the arm's other models; in its first arm, with its own other arms too.
    """
    scorers = scorers_of(plan)
    of_reference = [place for place, scorer in enumerate(members) if scorers[scorer].model.name == reference]
    return tuple(
        (first, second)
        for place, first in enumerate(of_reference)
        for second in range(len(members))
        if _are_compared(scorers[members[first]], scorers[members[second]], is_lead=place == 0)
    )


def _are_compared(first: Scorer, second: Scorer, *, is_lead: bool) -> bool:
    """Whether the reference model's score is compared with the second.

    It is if both come from one arm, if one comes from elsewhere, or if both are of the reference model and
    the first is of its lead arm.
    """
    if first == second:
        return False
    if second.model.name == first.model.name:
        return is_lead
    return "given" in {first.arm.kind, second.arm.kind} or first.arm == second.arm


def _finish(
    plan: StudyPlan,
    compared: tuple[Cohort, Sequence[int], tuple[ScorePair, ...]],
    rounds: tuple[Summary, Summary],
) -> CohortComparison:
    """One cohort's comparisons, from the sums of both rounds."""
    (cohort, members, pairs), (first, second) = compared, rounds
    minima = minima_of(plan.profile)
    covariance = finish_delong(first, second.part("delong"))
    return CohortComparison(
        cohort,
        omnibus(covariance, minima),
        tuple(_finish_pairs(plan, (members, pairs), covariance, second)),
    )


def _finish_pairs(
    plan: StudyPlan,
    compared: tuple[Sequence[int], tuple[ScorePair, ...]],
    covariance: AucCovariance,
    second: Summary,
) -> Iterator[PairResult]:
    members, pairs = compared
    minima, evaluation, scorers = minima_of(plan.profile), plan.evaluation, scorers_of(plan)
    order = model_pairs(len(members))
    differences = compare_aucs(covariance, pairs, minima)
    for number, ((reference, other), auc) in enumerate(zip(pairs, differences, strict=True)):
        row = order.index((min(reference, other), max(reference, other)))
        specificity, sensitivity = (
            _put_reference_first(result, swapped=reference > other)
            for result in finish_mcnemar(second.part("mcnemar"), row, evaluation.mcnemar, minima)
        )
        benefit = second.part(f"benefit/{number}")
        yield PairResult(
            scorers[members[reference]],
            scorers[members[other]],
            auc,
            specificity,
            sensitivity,
            finish_decision_difference(benefit, evaluation.decision_thresholds, minima)
            if benefit.counts
            else None,
        )


def _put_reference_first(result: McNemarResult, *, swapped: bool) -> McNemarResult:
    """The result with the reference model as the first of the two."""
    if not swapped:
        return result
    return replace(result, only_first=result.only_second, only_second=result.only_first)
