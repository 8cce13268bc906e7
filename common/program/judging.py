"""Which scores may be judged and compared on which cohorts, and the sums that judge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from common.messages.catalogue import Operation
from common.messages.protocol import Parameters
from common.messages.questions import read_grids, write_grids
from common.plan.comparisons import ComparedScores, find_compared_scores
from common.plan.grids import most_edges
from common.plan.matrix import Cohort, Scorer, Trainers, cohorts_of, scorers_of
from common.plan.study import StudyPlan
from common.program.asked_rows import ask_cohorts, list_groups
from common.program.cutoffs import choose_thresholds
from common.program.guard_rounds import judge_counted
from common.program.score_bins import agree_on_grids
from common.program.steps import Answered, GroupSums, Program, Step, ask
from common.stats.estimate import Status, undefined
from common.stats.guard import ONE_CLASS, Demand, finish_guard
from common.stats.minima import minima_of
from common.stats.score_grid import ScoreGrid
from common.types import Flags, Reals


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
class JudgedScores:
    """What judges all scores: at the coordinator of all cohorts, at a site of those to which it belongs.

    Attributes
    ----------
    counted : GroupSums
        The patients behind each score of each cohort.
    permitted : mapping of Cohort to tuple of Status
        Whether each score may be judged on the cohort.
    countable : mapping of Cohort to list of bool
        Of which scores the calls may be counted although they cannot be judged.
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

    counted: GroupSums
    permitted: Mapping[Cohort, tuple[Status, ...]]
    countable: Mapping[Cohort, list[bool]]
    answers: GroupSums
    asked: Flags
    thresholds: Reals
    unchosen: tuple[Scorer, ...]
    compared: tuple[ComparedStatus, ...]
    counting: Parameters
    grids: tuple[ScoreGrid, ...]


ALL_FITTED: Mapping[tuple[str, str], Status] = MappingProxyType({})
"""No model could not be fitted."""
AS_PLANNED: Mapping[tuple[str, str], Trainers] = MappingProxyType({})
"""All sites of each arm took part in its trainings."""
_NOT_SCORED = undefined("it scored nobody")


def judge_scores(
    plan: StudyPlan,
    reference: str | None,
    unfitted: Mapping[tuple[str, str], Status] = ALL_FITTED,
    trainers: Mapping[tuple[str, str], Trainers] = AS_PLANNED,
) -> Program[JudgedScores]:
    """The sums of the evaluation matrix.

    It takes one round that counts the patients of each cell, a few in which the bins of the scores are
    agreed on, one for thresholds if they are chosen, and one for the sums of all permitted cells.

    Parameters
    ----------
    plan : StudyPlan
    reference : str or None
        Name of the model that the others are compared with; None at a site, which is told.
    unfitted : mapping of (model, arm) to Status
        Why each model that could not be trained was not: it is not compared, and its cells say so.
    trainers : mapping of (model, arm) to Trainers
        Who took part in each training, where not simply all sites of the arm: no other patients choose an
        operating point.
    """
    answered = yield from ask(
        Step(Operation.GUARD, _describe_scores(plan, reference, unfitted), stage="evaluation")
    )
    known, counted = _keep(answered, "scored", "reference"), answered.sums
    scored = known["scored"].tolist()
    permitted = {
        cohort: _may_judge(plan, cohort, counted, (scored, unfitted))
        for cohort in cohorts_of(plan)
        if counted.concern(cohort.sites)
    }
    leader = plan.models[int(known["reference"][0])].name
    compared = tuple(
        _may_compare(plan, scores, counted) for scores in find_compared_scores(plan, scored, leader)
    )
    grids = yield from agree_on_grids(plan, permitted, is_complete=answered.is_complete)
    return (yield from _sum_permitted(plan, (known, counted), (permitted, compared), grids, trainers))


def _describe_scores(
    plan: StudyPlan, reference: str | None, unfitted: Mapping[tuple[str, str], Status]
) -> Parameters:
    """Which scores exist, and with which they are compared; a site does not know, and is told."""
    if reference is None:
        return {}
    scored = [(scorer.model.name, scorer.arm.name) not in unfitted for scorer in scorers_of(plan)]
    names = [model.name for model in plan.models]
    return {"scored": np.array(scored), "reference": np.array([names.index(reference)], dtype=np.int64)}


def _keep(answered: Answered, *names: str) -> Parameters:
    return {name: answered.asked[name] for name in names}


def _sum_permitted(
    plan: StudyPlan,
    counts: tuple[Parameters, GroupSums],
    terms: tuple[Mapping[Cohort, tuple[Status, ...]], tuple[ComparedStatus, ...]],
    grids: tuple[ScoreGrid, ...] | None,
    trainers: Mapping[tuple[str, str], Trainers],
) -> Program[JudgedScores]:
    """The sums of all permitted cells, at thresholds that are fixed or chosen before."""
    (known, counted), (permitted, compared) = counts, terms
    counting: Parameters = {
        **known,
        **({} if grids is None else write_grids(grids)),
        "recounted": np.zeros(len(compared), dtype=np.bool_),
    }
    thresholds, unchosen = yield from choose_thresholds(plan, permitted, (counting, grids), trainers)
    countable = {
        cohort: _may_count(plan, cohort, counted, of_cohort) for cohort, of_cohort in permitted.items()
    }
    judged = {cohort: [status.ok for status in statuses] for cohort, statuses in permitted.items()}
    wanted = {cohort: np.logical_or(judged[cohort], countable[cohort]).tolist() for cohort in judged}
    question: Parameters = {
        **counting,
        "asked": ask_cohorts(plan, wanted),
        "recounted": np.array([scores.status.ok and scores.recounted for scores in compared], dtype=np.bool_),
        "thresholds": thresholds,
    }
    here = np.array([counted.concern(scores.scores.cohort.sites) for scores in compared], dtype=np.bool_)
    groups = list_groups(plan, wanted)
    answered = yield from ask(Step(Operation.EVALUATE, question, groups=groups, relevant={"recounted": here}))
    counting = {name: array for name, array in answered.asked.items() if name not in {"asked", "thresholds"}}
    return JudgedScores(
        counted=counted,
        permitted=permitted,
        countable=countable,
        answers=answered.sums,
        asked=ask_cohorts(plan, judged),
        thresholds=np.asarray(answered.asked["thresholds"], dtype=np.float64),
        unchosen=unchosen,
        compared=compared,
        counting=counting,
        grids=read_grids(counting, len(scorers_of(plan)), most_edges(plan)),
    )


def _may_judge(
    plan: StudyPlan,
    cohort: Cohort,
    counted: GroupSums,
    existing: tuple[Sequence[bool], Mapping[tuple[str, str], Status]],
) -> tuple[Status, ...]:
    """Whether each score may be judged on the cohort."""
    scorers, (scored, unfitted) = scorers_of(plan), existing
    of_cohort = counted.of(cohort.sites).part(cohort.part)
    guards = judge_counted(plan, "evaluation", of_cohort, one_site=cohort.one_site)
    # Of a model that was not fitted nobody has a score: "no patients" would tell of the cohort.
    return tuple(
        guard.status if exists else unfitted.get((scorer.model.name, scorer.arm.name), _NOT_SCORED)
        for scorer, exists, guard in zip(scorers, scored, guards, strict=True)
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


def _may_compare(plan: StudyPlan, scores: ComparedScores, counted: GroupSums) -> ComparedStatus:
    """Whether enough of the cohort's patients have all of the scores, and whether some have only one."""
    cohort = scores.cohort
    if not counted.concern(cohort.sites):
        return ComparedStatus(scores, _NOT_HERE, recounted=False)
    sums = counted.of(cohort.sites)
    complete = sums.part(scores.name)
    (guard,) = judge_counted(plan, "evaluation", complete, one_site=cohort.one_site)
    with_one = sums.part(cohort.part).counts["classes"][list(scores.scorers)]
    return ComparedStatus(scores, guard.status, bool((with_one != complete.counts["classes"]).any()))


_NOT_HERE = undefined("the cohort is of other sites")
