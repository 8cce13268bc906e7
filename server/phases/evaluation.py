"""Phase: judge every score on every cohort, and say what its model had seen of it (Table 3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.headers import Operation
from common.matrix import (
    FAIR,
    PARTS,
    Cohort,
    Scorer,
    cohorts_of,
    compared_cohorts,
    is_available,
    relation_of,
    scorers_of,
)
from common.questions import write_newton, write_pairs
from common.stats.calibration import (
    finish_calibration,
    recalibrate,
)
from common.stats.confusion import finish_confusion, withheld_confusion
from common.stats.contract import Summary
from common.stats.decision import finish_decision
from common.stats.estimate import Status
from common.stats.guard import Demand, finish_guard
from common.stats.minima import minima_of
from common.stats.newton import Query
from common.stats.roc import finish_roc, withheld_roc
from common.stats.stack import Problem
from common.stats.subgroups import finish_subgroups
from common.study import ScoresModel, StudyPlan
from common.types import Flags, Reals
from server.exchange import Exchange
from server.gathered import Gathered
from server.phases.judgement import Judgement, protect
from server.phases.operating_point import operating_points


@dataclass(frozen=True)
class Evaluated:
    """What the sites answered, and what was made of it.

    Attributes
    ----------
    judgements : tuple of Judgement
    answers : Gathered
        With what comparisons need.
    asked : bool array, shape (sites, parts, scorers)
        What was asked of each site; nothing of a part that stands in none of its cohorts that may be judged.
    thresholds : float array, shape (scorers,)
    unchosen : tuple of Scorer
        For whom the plan's threshold stands because none could be chosen.
    paired : tuple of Status
        Whether the scores of each cohort may be compared, in the order of `compared_cohorts`.
    scored : bool array, shape (scorers,)
        Whose model exists.
    """

    judgements: tuple[Judgement, ...]
    answers: Gathered
    asked: Flags
    thresholds: Reals
    unchosen: tuple[Scorer, ...]
    paired: tuple[Status, ...]
    scored: Flags


def evaluate_models(exchange: Exchange, unfitted: Collection[tuple[str, str]] = ()) -> Evaluated:
    """The evaluation matrix: who stands behind each cell, then all cells in one message, then calibration.

    Parameters
    ----------
    unfitted : collection of (model, arm)
        Names of models that could not be fitted: they are compared with nothing.
    """
    plan = exchange.plan
    scorers, cohorts = scorers_of(plan), cohorts_of(plan)
    scored = np.array([(scorer.model.name, scorer.arm.name) not in unfitted for scorer in scorers])
    counted = exchange.gather(Operation.GUARD, {"scored": scored}, stage="evaluation")
    permitted = {cohort: _permitted(plan, cohort, counted) for cohort in cohorts}
    compared = compared_cohorts(plan, scored.tolist())
    paired = tuple(_may_compare(plan, index, cohort, counted) for index, cohort, _ in compared)
    asked = np.zeros((len(plan.site_names), len(PARTS), len(scorers)), dtype=np.bool_)
    for cohort, statuses in permitted.items():
        own = [plan.site_names.index(site) for site in cohort.sites]
        asked[own, PARTS.index(cohort.part)] |= [status.ok for status in statuses]
    thresholds, unchosen = operating_points(exchange, asked, scored)
    together = np.array([status.ok for status in paired], dtype=np.bool_)
    answers = exchange.gather(
        Operation.EVALUATE,
        {"asked": asked, "paired": together, "thresholds": thresholds, "scored": scored},
    )
    judgements = [
        _judge(plan, (index, scorer), cohort, (permitted[cohort][index], thresholds[index]), answers)
        for index, scorer in enumerate(scorers)
        for cohort in cohorts
        if is_available(plan, scorer, cohort) and _has_patients(counted, cohort)
    ]
    recalibrated = _recalibrated(exchange, protect(plan, judgements), answers)
    return Evaluated(recalibrated, answers, asked, thresholds, unchosen, paired, scored)


def _permitted(plan: StudyPlan, cohort: Cohort, counted: Gathered) -> tuple[Status, ...]:
    """Whether each score may be judged on the cohort."""
    demands = (Demand("discrimination", one_site=cohort.one_site),) * len(scorers_of(plan))
    found = finish_guard(
        counted.of(cohort.sites).part(cohort.part),
        demands,
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    return tuple(result.status for result in found)


def _may_compare(plan: StudyPlan, index: int, cohort: Cohort, counted: Gathered) -> Status:
    (found,) = finish_guard(
        counted.of(cohort.sites).part(f"paired/{index}"),
        (Demand("discrimination", one_site=cohort.one_site),),
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    return found.status


def _has_patients(counted: Gathered, cohort: Cohort) -> bool:
    """Whether anybody is in the cohort, with a score or without."""
    found = counted.of(cohort.sites).part(cohort.part).counts
    return bool(found["classes"].sum() + found["missing"].sum())


def _judge(
    plan: StudyPlan,
    scored: tuple[int, Scorer],
    cohort: Cohort,
    terms: tuple[Status, float],
    answers: Gathered,
) -> Judgement:
    (index, scorer), (status, threshold) = scored, terms
    minima, evaluation = minima_of(plan.profile), plan.evaluation
    relation = relation_of(scorer, cohort)
    if not status.ok:
        return Judgement(
            scorer,
            cohort,
            relation,
            threshold,
            withheld_roc(plan.interval, status),
            withheld_confusion(evaluation.proportions, status),
        )
    pooled = answers.of(cohort.sites).part(f"{cohort.part}/{index}")
    exact = isinstance(scorer.model, ScoresModel) and scorer.model.step is not None
    judged = Judgement(
        scorer,
        cohort,
        relation,
        threshold,
        finish_roc(pooled.part("roc"), plan.interval, minima, exact=exact),
        finish_confusion(pooled.part("confusion"), evaluation.proportions, minima),
    )
    if relation not in FAIR or cohort.part not in {"test", "whole"}:
        return judged
    subgroups = {
        name: finish_subgroups(pooled.part(f"subgroups/{name}"), plan.interval, minima)
        for name in evaluation.subgroups
    }
    if not scorer.probability:
        return replace(judged, subgroups=subgroups)
    return replace(
        judged,
        subgroups=subgroups,
        calibration=finish_calibration(pooled.part("calibration"), minima),
        decision=finish_decision(pooled.part("decision"), evaluation.decision_thresholds, minima),
    )


def _recalibrated(
    exchange: Exchange, judgements: Sequence[Judgement], answers: Gathered
) -> tuple[Judgement, ...]:
    """With intercepts and slopes, all in one Newton loop."""
    plan = exchange.plan
    places = [
        index
        for index, judged in enumerate(judgements)
        if judged.calibration is not None and judged.calibration.status.ok
    ]
    if not places:
        return tuple(judgements)
    scorers, cohorts = scorers_of(plan), cohorts_of(plan)
    pairs = [
        (scorers.index(judgements[index].scorer), cohorts.index(judgements[index].cohort)) for index in places
    ]
    sums = [
        answers.of(cohorts[cohort].sites).part(f"{cohorts[cohort].part}/{scorer}") for scorer, cohort in pairs
    ]

    def ask(problem: Problem, query: Query) -> Summary:
        parameters = {**write_newton(problem, query), "pairs": write_pairs(pairs)}
        return exchange.sum(Operation.CALIBRATE, plan.site_names, parameters)

    found = recalibrate(ask, [one.part("calibration") for one in sums], minima_of(plan.profile))
    by_place = dict(zip(places, found, strict=True))
    return tuple(
        replace(judged, recalibration=by_place.get(index)) for index, judged in enumerate(judgements)
    )
