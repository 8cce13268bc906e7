"""Phase: judge every score on every cohort, and say what its model had seen of the cohort (Table 3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.messages.headers import Operation
from common.messages.questions import write_newton, write_pairs
from common.plan.matrix import (
    FAIR,
    PARTS,
    Cohort,
    Scorer,
    cohorts_of,
    find_compared_cohorts,
    is_available,
    relation_of,
    scorers_of,
)
from common.plan.study import ScoresModel, StudyPlan
from common.stats.calibration import (
    finish_calibration,
    recalibrate,
)
from common.stats.confusion import finish_confusion, withhold_confusion
from common.stats.contract import Summary
from common.stats.decision import finish_decision
from common.stats.estimate import Status
from common.stats.guard import Demand, finish_guard
from common.stats.minima import minima_of
from common.stats.newton import Query
from common.stats.roc import finish_roc, withhold_roc
from common.stats.stack import Problem
from common.stats.subgroups import finish_subgroups
from common.types import Flags, Reals
from server.exchange import Exchange, GroupSums
from server.phases.judgement import Judgement, protect_judgements
from server.phases.operating_point import choose_thresholds


@dataclass(frozen=True)
class EvaluatedModels:
    """The judgements of all scores, and the sums on which they rest.

    Attributes
    ----------
    judgements : tuple of Judgement
        The cells of the evaluation matrix that have patients.
    answers : GroupSums
        The sums of the sites' answers; comparisons use them too.
    asked : bool array, shape (sites, parts, scorers)
        Which scores each site was asked for, by part; none for a part that no permitted cohort includes.
    thresholds : float array, shape (scorers,)
        Operating points, on the scale of [0, 1].
    unchosen : tuple of Scorer
        Scores that keep the plan's threshold because none could be chosen.
    paired : tuple of Status
        Whether the scores of each cohort may be compared, in the order of `find_compared_cohorts`.
    scored : bool array, shape (scorers,)
        Whether the score's model exists.
    """

    judgements: tuple[Judgement, ...]
    answers: GroupSums
    asked: Flags
    thresholds: Reals
    unchosen: tuple[Scorer, ...]
    paired: tuple[Status, ...]
    scored: Flags


def evaluate_models(exchange: Exchange, unfitted: Collection[tuple[str, str]] = ()) -> EvaluatedModels:
    """The evaluation matrix.

    It takes one round that counts the patients of each cell, one for thresholds if they are chosen, one for
    the sums of all permitted cells, and then the rounds of the recalibration.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    unfitted : collection of (model, arm)
        Names of models that could not be fitted: they are not compared.
    """
    plan = exchange.plan
    scorers, cohorts = scorers_of(plan), cohorts_of(plan)
    scored = np.array([(scorer.model.name, scorer.arm.name) not in unfitted for scorer in scorers])
    counted = exchange.gather(Operation.GUARD, {"scored": scored}, stage="evaluation")
    permitted = {cohort: _may_judge(plan, cohort, counted) for cohort in cohorts}
    compared = find_compared_cohorts(plan, scored.tolist())
    paired = tuple(_may_compare(plan, index, cohort, counted) for index, cohort, _ in compared)
    asked = np.zeros((len(plan.site_names), len(PARTS), len(scorers)), dtype=np.bool_)
    for cohort, statuses in permitted.items():
        site_indices = [plan.site_names.index(site) for site in cohort.sites]
        asked[site_indices, PARTS.index(cohort.part)] |= [status.ok for status in statuses]
    thresholds, unchosen = choose_thresholds(exchange, asked, scored)
    may_compare = np.array([status.ok for status in paired], dtype=np.bool_)
    answers = exchange.gather(
        Operation.EVALUATE,
        {"asked": asked, "paired": may_compare, "thresholds": thresholds, "scored": scored},
    )
    judgements = [
        _judge(plan, (index, scorer), cohort, (permitted[cohort][index], thresholds[index]), answers)
        for index, scorer in enumerate(scorers)
        for cohort in cohorts
        if is_available(plan, scorer, cohort) and _has_patients(counted, cohort)
    ]
    recalibrated = _recalibrate(exchange, protect_judgements(plan, judgements), answers)
    return EvaluatedModels(recalibrated, answers, asked, thresholds, unchosen, paired, scored)


def _may_judge(plan: StudyPlan, cohort: Cohort, counted: GroupSums) -> tuple[Status, ...]:
    """Whether each score may be judged on the cohort."""
    demands = (Demand("discrimination", one_site=cohort.one_site),) * len(scorers_of(plan))
    guards = finish_guard(
        counted.of(cohort.sites).part(cohort.part),
        demands,
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    return tuple(guard.status for guard in guards)


def _may_compare(plan: StudyPlan, index: int, cohort: Cohort, counted: GroupSums) -> Status:
    """Whether the scores may be compared on the cohort, which has this index in `find_compared_cohorts`."""
    (guard,) = finish_guard(
        counted.of(cohort.sites).part(f"paired/{index}"),
        (Demand("discrimination", one_site=cohort.one_site),),
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    return guard.status


def _has_patients(counted: GroupSums, cohort: Cohort) -> bool:
    """Whether the cohort has any patient, with or without a score."""
    counts = counted.of(cohort.sites).part(cohort.part).counts
    return bool(counts["classes"].sum() + counts["missing"].sum())


def _judge(
    plan: StudyPlan,
    scored: tuple[int, Scorer],
    cohort: Cohort,
    terms: tuple[Status, float],
    answers: GroupSums,
) -> Judgement:
    """One cell of the evaluation matrix, without numbers if its status is not ok."""
    (index, scorer), (status, threshold) = scored, terms
    minima, evaluation = minima_of(plan.profile), plan.evaluation
    relation = relation_of(scorer, cohort)
    if not status.ok:
        return Judgement(
            scorer,
            cohort,
            relation,
            threshold,
            withhold_roc(plan.interval, status),
            withhold_confusion(evaluation.proportions, status),
        )
    pooled = answers.of(cohort.sites).part(f"{cohort.part}/{index}")
    exact = isinstance(scorer.model, ScoresModel) and scorer.model.step is not None
    judgement = Judgement(
        scorer,
        cohort,
        relation,
        threshold,
        finish_roc(pooled.part("roc"), plan.interval, minima, exact=exact),
        finish_confusion(pooled.part("confusion"), evaluation.proportions, minima),
    )
    if relation not in FAIR or cohort.part not in {"test", "whole"}:
        return judgement
    subgroups = {
        name: finish_subgroups(pooled.part(f"subgroups/{name}"), plan.interval, minima)
        for name in evaluation.subgroups
    }
    if not scorer.probability:
        return replace(judgement, subgroups=subgroups)
    return replace(
        judgement,
        subgroups=subgroups,
        calibration=finish_calibration(pooled.part("calibration"), minima),
        decision=finish_decision(pooled.part("decision"), evaluation.decision_thresholds, minima),
    )


def _recalibrate(
    exchange: Exchange, judgements: Sequence[Judgement], answers: GroupSums
) -> tuple[Judgement, ...]:
    """The judgements with intercepts and slopes of the recalibration, all fitted in one Newton loop."""
    plan, cohorts = exchange.plan, cohorts_of(exchange.plan)
    calibrated = _find_calibrated(plan, judgements)
    if not calibrated:
        return tuple(judgements)
    pairs = list(calibrated.values())
    sums = [
        answers.of(cohorts[cohort].sites).part(f"{cohorts[cohort].part}/{scorer}") for scorer, cohort in pairs
    ]

    def ask(problem: Problem, query: Query) -> Summary:
        parameters = {**write_newton(problem, query), "pairs": write_pairs(pairs)}
        return exchange.sum(Operation.CALIBRATE, plan.site_names, parameters)

    calibrations = [cell.part("calibration") for cell in sums]
    recalibrations = recalibrate(ask, calibrations, minima_of(plan.profile))
    by_place = dict(zip(calibrated, recalibrations, strict=True))
    return tuple(
        replace(judgement, recalibration=by_place.get(index)) for index, judgement in enumerate(judgements)
    )


def _find_calibrated(plan: StudyPlan, judgements: Sequence[Judgement]) -> dict[int, tuple[int, int]]:
    """Score and cohort number of each judgement whose calibration may be shown, by position."""
    scorers, cohorts = scorers_of(plan), cohorts_of(plan)
    return {
        place: (scorers.index(judgement.scorer), cohorts.index(judgement.cohort))
        for place, judgement in enumerate(judgements)
        if judgement.calibration is not None and judgement.calibration.status.ok
    }
