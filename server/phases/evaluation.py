"""Phase: judge every score on every cohort, and say what its model had seen of the cohort (Table 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from common.messages.headers import Operation
from common.messages.protocol import Parameters
from common.messages.questions import write_grids, write_newton, write_pairs
from common.plan.comparisons import ComparedScores, find_compared_scores
from common.plan.matrix import (
    FAIR,
    PARTS,
    Cohort,
    Scorer,
    Trainers,
    cohorts_of,
    is_available,
    relation_of,
    scorers_of,
)
from common.plan.study import StudyPlan
from common.stats.calibration import (
    finish_calibration,
    recalibrate,
)
from common.stats.confusion import finish_confusion, withhold_confusion
from common.stats.contract import Summary
from common.stats.decision import finish_decision
from common.stats.estimate import Status
from common.stats.guard import ONE_CLASS, Demand, finish_guard
from common.stats.minima import minima_of
from common.stats.newton import Query
from common.stats.roc import finish_roc, withhold_roc
from common.stats.score_grid import ScoreGrid
from common.stats.stack import Problem
from common.stats.subgroups import finish_subgroups
from common.types import Flags, Reals
from server.exchange import Exchange, GroupSums
from server.phases.judgement import Judgement, label_judgements, protect_judgements
from server.phases.operating_point import choose_thresholds
from server.phases.score_grids import agree_on_grids


@dataclass(frozen=True)
class ComparedStatus:
    """Scores that are to be compared on the same patients, and whether they may be.

    Attributes
    ----------
    scores : ComparedScores
        Which scores, on whose patients.
    status : Status
        Whether enough patients have all of them.
    recounted : bool
        Whether they are fewer patients than have one of the scores, so that histograms of their own are
        needed.
    """

    scores: ComparedScores
    status: Status
    recounted: bool


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
    compared : tuple of ComparedStatus
        What may be compared with the reference model, in the order of `find_compared_scores`.
    counting : Parameters
        How the sites counted the scores: which exist, the reference model, what was recounted, the grids.
    grids : tuple of ScoreGrid
        The same grids, of each score.
    """

    judgements: tuple[Judgement, ...]
    answers: GroupSums
    asked: Flags
    thresholds: Reals
    unchosen: tuple[Scorer, ...]
    compared: tuple[ComparedStatus, ...]
    counting: Parameters
    grids: tuple[ScoreGrid, ...]


_ALL_FITTED: Mapping[tuple[str, str], Status] = MappingProxyType({})
_AS_PLANNED: Mapping[tuple[str, str], Trainers] = MappingProxyType({})


def evaluate_models(
    exchange: Exchange,
    reference: str,
    unfitted: Mapping[tuple[str, str], Status] = _ALL_FITTED,
    trainers: Mapping[tuple[str, str], Trainers] = _AS_PLANNED,
) -> EvaluatedModels:
    """The evaluation matrix.

    It takes one round that counts the patients of each cell, a few in which the bins of the scores are
    agreed on, one for thresholds if they are chosen, one for the sums of all permitted cells, and then the
    rounds of the recalibration.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    reference : str
        Name of the model that the others are compared with.
    unfitted : mapping of (model, arm) to Status
        Why each model that could not be trained was not: it is not compared, and its cells say so.
    trainers : mapping of (model, arm) to Trainers
        Who took part in each training, where not simply all sites of the arm: it labels the cells, and keeps
        patients of a site that took no part from choosing an operating point.
    """
    plan = exchange.plan
    scorers, cohorts = scorers_of(plan), cohorts_of(plan)
    scored = np.array([(scorer.model.name, scorer.arm.name) not in unfitted for scorer in scorers])
    names = [model.name for model in plan.models]
    known = {"scored": scored, "reference": np.array([names.index(reference)], dtype=np.int64)}
    counted = exchange.gather(Operation.GUARD, known, stage="evaluation")
    permitted = {cohort: _may_judge(plan, cohort, counted, unfitted) for cohort in cohorts}
    compared = tuple(
        _may_compare(plan, scores, counted)
        for scores in find_compared_scores(plan, scored.tolist(), reference)
    )
    asked = _ask_cohorts(
        plan, {cohort: [status.ok for status in statuses] for cohort, statuses in permitted.items()}
    )
    grids = agree_on_grids(exchange, asked, permitted)
    counting = {**known, **write_grids(grids), "recounted": np.zeros(len(compared), dtype=np.bool_)}
    thresholds, unchosen = choose_thresholds(exchange, asked, counting, grids, trainers)
    recounted = [scores.status.ok and scores.recounted for scores in compared]
    counting |= {"recounted": np.array(recounted, dtype=np.bool_)}
    countable = {cohort: _may_count(plan, cohort, counted, permitted[cohort]) for cohort in cohorts}
    answers = exchange.gather(
        Operation.EVALUATE,
        {**counting, "asked": asked | _ask_cohorts(plan, countable), "thresholds": thresholds},
    )
    judgements = [
        _judge(
            plan,
            (index, scorer),
            cohort,
            (permitted[cohort][index], thresholds[index], grids[index]),
            answers if permitted[cohort][index].ok or countable[cohort][index] else None,
        )
        for index, scorer in enumerate(scorers)
        for cohort in cohorts
        if is_available(plan, scorer, cohort) and _has_patients(counted, cohort)
    ]
    recalibrated = _recalibrate(exchange, protect_judgements(plan, judgements), answers)
    labelled = label_judgements(recalibrated, trainers)
    return EvaluatedModels(labelled, answers, asked, thresholds, unchosen, compared, counting, grids)


def _may_judge(
    plan: StudyPlan, cohort: Cohort, counted: GroupSums, unfitted: Mapping[tuple[str, str], Status]
) -> tuple[Status, ...]:
    """Whether each score may be judged on the cohort."""
    scorers = scorers_of(plan)
    demands = (Demand("discrimination", one_site=cohort.one_site),) * len(scorers)
    guards = finish_guard(
        counted.of(cohort.sites).part(cohort.part),
        demands,
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    # Of a model that was not fitted nobody has a score: "no patients" would tell of the cohort.
    return tuple(
        unfitted.get((scorer.model.name, scorer.arm.name), guard.status)
        for scorer, guard in zip(scorers, guards, strict=True)
    )


def _may_count(plan: StudyPlan, cohort: Cohort, counted: GroupSums, judged: Sequence[Status]) -> list[bool]:
    """Of which scores the calls may be counted although they cannot be judged: all have one outcome."""
    demands = (Demand("calls", one_site=cohort.one_site),) * len(judged)
    guards = finish_guard(
        counted.of(cohort.sites).part(cohort.part),
        demands,
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    return [status == ONE_CLASS and guard.status.ok for status, guard in zip(judged, guards, strict=True)]


def _ask_cohorts(plan: StudyPlan, wanted: Mapping[Cohort, Sequence[bool]]) -> Flags:
    """Which scores each site is asked for, shape (sites, parts, scorers): those of each cohort it is in."""
    asked = np.zeros((len(plan.site_names), len(PARTS), len(scorers_of(plan))), dtype=np.bool_)
    for cohort, scores in wanted.items():
        site_indices = [plan.site_names.index(site) for site in cohort.sites]
        asked[site_indices, PARTS.index(cohort.part)] |= list(scores)
    return asked


def _may_compare(plan: StudyPlan, scores: ComparedScores, counted: GroupSums) -> ComparedStatus:
    """Whether enough of the cohort's patients have all of the scores, and whether some have only one."""
    cohort = scores.cohort
    sums = counted.of(cohort.sites)
    complete = sums.part(scores.name)
    (guard,) = finish_guard(
        complete,
        (Demand("discrimination", one_site=cohort.one_site),),
        minima_of(plan.profile),
        two_site_ack=plan.two_site_ack,
    )
    with_one = sums.part(cohort.part).counts["classes"][list(scores.scorers)]
    return ComparedStatus(scores, guard.status, bool((with_one != complete.counts["classes"]).any()))


def _has_patients(counted: GroupSums, cohort: Cohort) -> bool:
    """Whether the cohort has any patient, with or without a score."""
    counts = counted.of(cohort.sites).part(cohort.part).counts
    return bool(counts["classes"].sum() + counts["missing"].sum())


def _judge(
    plan: StudyPlan,
    scored: tuple[int, Scorer],
    cohort: Cohort,
    terms: tuple[Status, float, ScoreGrid],
    answers: GroupSums | None,
) -> Judgement:
    """One cell of the evaluation matrix, without numbers if there are no answers about it.

    Of patients of one class it has their calls alone.
    """
    (index, scorer), (status, threshold, grid) = scored, terms
    minima, evaluation = minima_of(plan.profile), plan.evaluation
    relation = relation_of(scorer, cohort)
    if answers is None:
        return Judgement(
            scorer,
            cohort,
            relation,
            threshold,
            withhold_roc(plan.interval, status),
            withhold_confusion(evaluation.proportions, status),
        )
    pooled = answers.of(cohort.sites).part(f"{cohort.part}/{index}")
    judgement = Judgement(
        scorer,
        cohort,
        relation,
        threshold,
        finish_roc(pooled.part("roc"), grid, plan.interval, minima),
        finish_confusion(pooled.part("confusion"), evaluation.proportions, minima),
    )
    if not status.ok or relation not in FAIR or cohort.part not in {"test", "whole"}:
        return judgement
    subgroups = {
        name: finish_subgroups(pooled.part(f"subgroups/{name}"), grid, plan.interval, minima)
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
