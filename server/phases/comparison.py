"""Phase: compare models on the same patients (Fig. 7), and one model between centres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.headers import Operation
from common.matrix import Cohort, Scorer, compared_cohorts, scorers_of
from common.protocol import Parameters
from common.questions import write_pairs, write_placements
from common.stats.contract import Summary
from common.stats.decision_difference import DecisionDifference, finish_decision_difference
from common.stats.delong import (
    AucCovariance,
    AucDifference,
    OmnibusResult,
    compare,
    finish_delong,
    omnibus,
    placements,
)
from common.stats.estimate import suppressed
from common.stats.mcnemar import McNemarResult, finish_mcnemar, model_pairs
from common.stats.meta import Heterogeneity, between_variance, finish_meta
from common.stats.minima import minima_of
from common.study import StudyPlan
from server.exchange import Exchange
from server.overlap import shown_beside
from server.phases.evaluation import Evaluated

Pair = tuple[int, int]


@dataclass(frozen=True)
class PairResult:
    """The reference model and another on the same patients.

    Attributes
    ----------
    first, second : Scorer
        The first is of the reference model.
    auc : AucDifference
    specificity, sensitivity : McNemarResult
    benefit : DecisionDifference or None
        Of two predicted risks.
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
    omnibus : OmnibusResult
        Over all scores that are fair on the cohort.
    pairs : tuple of PairResult
    """

    cohort: Cohort
    omnibus: OmnibusResult
    pairs: tuple[PairResult, ...]


@dataclass(frozen=True)
class Compared:
    """What comparing gave.

    Attributes
    ----------
    cohorts : tuple of CohortComparison
        Those where enough patients stand behind it.
    centres : mapping of Scorer to Heterogeneity
        Of models that more than one centre judges fairly.
    """

    cohorts: tuple[CohortComparison, ...]
    centres: Mapping[Scorer, Heterogeneity]


def compare_models(exchange: Exchange, evaluated: Evaluated, reference: str) -> Compared:
    """Every comparison of the reference model, in one message.

    Parameters
    ----------
    evaluated : Evaluated
        Its answers hold DeLong's first round.
    reference : str
        The model that others are compared with.
    """
    plan = exchange.plan
    scorers = scorers_of(plan)
    asked = [
        (index, cohort, members, _pairs(plan, members, reference))
        for (index, cohort, members), status in zip(
            compared_cohorts(plan, evaluated.scored.tolist()), evaluated.paired, strict=True
        )
        if status.ok
    ]
    judged = evaluated.answers
    firsts = {index: judged.of(cohort.sites).part(f"paired/{index}") for index, cohort, _, _ in asked}
    between = [judged.of(plan.site_names).part(f"centre/{scorer}") for scorer in range(len(scorers))]
    spread = np.array([between_variance(first) for first in between])
    parameters: Parameters = {
        "asked": evaluated.asked,
        "thresholds": evaluated.thresholds,
        "scored": evaluated.scored,
        "tau_squared": spread,
        **write_placements({index: placements(first) for index, first in firsts.items()}),
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
        for number, (scorer, first) in enumerate(zip(scorers, between, strict=True))
        if int(first.counts["sites"][0]) > 1
    }
    return Compared(_protected(plan, cohorts), centres)


def _protected(plan: StudyPlan, compared: Sequence[CohortComparison]) -> tuple[CohortComparison, ...]:
    """Without discordant calls that would tell, by subtraction, the few of another cohort."""
    pairs = {
        (place, number): pair for place, one in enumerate(compared) for number, pair in enumerate(one.pairs)
    }
    for models in {(pair.first, pair.second): None for pair in pairs.values()}:
        for positive in (False, True):
            counts = {
                key: found
                for key, pair in pairs.items()
                if (pair.first, pair.second) == models
                and (found := _discordant(pair, positive=positive)) is not None
            }
            cohorts = [compared[place].cohort for place, _ in counts]
            for key, may in zip(counts, shown_beside(plan, cohorts, list(counts.values())), strict=True):
                if not may:
                    pairs[key] = _without(pairs[key], positive=positive)
    return tuple(
        replace(one, pairs=tuple(pairs[place, number] for number in range(len(one.pairs))))
        for place, one in enumerate(compared)
    )


def _discordant(pair: PairResult, *, positive: bool) -> tuple[int, int] | None:
    found = pair.sensitivity if positive else pair.specificity
    if found.only_first is None or found.only_second is None:
        return None
    return found.only_first, found.only_second


def _without(pair: PairResult, *, positive: bool) -> PairResult:
    """Without one class' discordant calls, which differences of net benefit tell, too."""
    found = pair.sensitivity if positive else pair.specificity
    status = suppressed("few patients of another cohort could be worked out")
    hidden = McNemarResult(None, None, None, None, found.n_used, found.n_missing, found.method, status)
    if positive:
        return replace(pair, sensitivity=hidden, benefit=None)
    return replace(pair, specificity=hidden, benefit=None)


def _pairs(plan: StudyPlan, members: Sequence[int], reference: str) -> tuple[Pair, ...]:
    """Positions among the members: the reference against its arm's models, its lead arm against others."""
    scorers = scorers_of(plan)
    of_reference = [place for place, scorer in enumerate(members) if scorers[scorer].model.name == reference]
    return tuple(
        (first, second)
        for place, first in enumerate(of_reference)
        for second in range(len(members))
        if _are_compared(scorers[members[first]], scorers[members[second]], is_lead=place == 0)
    )


def _are_compared(first: Scorer, second: Scorer, *, is_lead: bool) -> bool:
    """Models trained on the same patients, scores from elsewhere, and the lead arm with its other arms."""
    if first == second:
        return False
    if second.model.name == first.model.name:
        return is_lead
    return "given" in {first.arm.kind, second.arm.kind} or first.arm == second.arm


def _finish(
    plan: StudyPlan,
    compared: tuple[Cohort, Sequence[int], tuple[Pair, ...]],
    rounds: tuple[Summary, Summary],
) -> CohortComparison:
    (cohort, members, pairs), (first, second) = compared, rounds
    minima = minima_of(plan.profile)
    covariance = finish_delong(first, second.part("delong"))
    return CohortComparison(
        cohort,
        omnibus(covariance, minima),
        tuple(_pair_results(plan, (members, pairs), covariance, second)),
    )


def _pair_results(
    plan: StudyPlan,
    compared: tuple[Sequence[int], tuple[Pair, ...]],
    covariance: AucCovariance,
    second: Summary,
) -> Iterator[PairResult]:
    members, pairs = compared
    minima, evaluation, scorers = minima_of(plan.profile), plan.evaluation, scorers_of(plan)
    order = model_pairs(len(members))
    for number, ((one, other), auc) in enumerate(zip(pairs, compare(covariance, pairs, minima), strict=True)):
        row = order.index((min(one, other), max(one, other)))
        specificity, sensitivity = (
            _facing(result, swapped=one > other)
            for result in finish_mcnemar(second.part("mcnemar"), row, evaluation.mcnemar, minima)
        )
        benefit = second.part(f"benefit/{number}")
        yield PairResult(
            scorers[members[one]],
            scorers[members[other]],
            auc,
            specificity,
            sensitivity,
            finish_decision_difference(benefit, evaluation.decision_thresholds, minima)
            if benefit.counts
            else None,
        )


def _facing(result: McNemarResult, *, swapped: bool) -> McNemarResult:
    """The result with the reference as the first of the two."""
    if not swapped:
        return result
    return replace(result, only_first=result.only_second, only_second=result.only_first)
