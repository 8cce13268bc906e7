"""The score from which a patient is called positive: fixed, or chosen in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from common.messages.catalogue import Operation
from common.messages.protocol import Parameters
from common.plan.matrix import Cohort, Scorer, Trainers, scorers_of
from common.plan.models import CardModel
from common.plan.study import ScoresModel, StudyPlan
from common.program.asked_rows import ask_cohorts, list_groups
from common.program.steps import GroupSums, Program, Step
from common.stats.contract import total
from common.stats.estimate import Status
from common.stats.minima import minima_of
from common.stats.score_grid import ScoreGrid
from common.stats.youden import finish_youden
from common.types import Counts, Flags, Reals


def choose_thresholds(
    plan: StudyPlan,
    permitted: Mapping[Cohort, Sequence[Status]],
    counted_on: tuple[Parameters, Sequence[ScoreGrid] | None],
    trainers: Mapping[tuple[str, str], Trainers],
) -> Program[tuple[Reals, tuple[Scorer, ...]]]:
    """The threshold of each score, on the scale of [0, 1], before any test patient is used.

    Parameters
    ----------
    plan : StudyPlan
    permitted : mapping of Cohort to sequence of Status
        Whether each score may be judged on the cohort.
    counted_on : (Parameters, sequence of ScoreGrid or None)
        How scores are counted: "scored", which of them exist; "recounted", of what none is asked here; the
        reference model and the grids. Then the same grids of each score; None at a site, which is told.
    trainers : mapping of (model, arm) to Trainers
        Who took part in each training, where that is known: no other site's patients choose.

    Returns
    -------
    float array, shape (scorers,)
        The plan's thresholds, or those with the largest Youden index on the training patients; NaN where the
        sums that choose are not known here. That of an earlier study's model is frozen.
    tuple of Scorer
        Scores that keep the plan's threshold, because too few training patients have them.
    """
    counting, grids = counted_on
    scorers, scored = scorers_of(plan), counting["scored"]
    fixed = np.array([fixed_threshold_of(plan, scorer) for scorer in scorers])
    if plan.evaluation.operating_point == "fixed":
        return fixed, ()
    choosing = np.array([not isinstance(scorer.model, CardModel) for scorer in scorers])
    none_chosen = tuple(scorer for scorer, wanted in zip(scorers, choosing & scored, strict=True) if wanted)
    is_told = grids is None
    wanted = {
        cohort: [status.ok for status in statuses]
        for cohort, statuses in permitted.items()
        if cohort.part == "train"
    }
    asked = ask_cohorts(plan, wanted)
    if not plan.training_sites or not (is_told or asked.any()):
        return fixed, none_chosen
    question = {**counting, "asked": asked, "thresholds": fixed}
    step = Step(
        Operation.EVALUATE,
        question,
        stage="operating point",
        is_optional=is_told,
        groups=list_groups(plan, wanted),
    )
    answered = yield step
    if is_told or answered is None:
        return np.where(choosing, np.nan, fixed), none_chosen
    return _choose(plan, answered.sums, (fixed, scored), grids or (), trainers)


def _choose(
    plan: StudyPlan,
    answers: GroupSums,
    terms: tuple[Reals, Counts | Reals | Flags],
    grids: Sequence[ScoreGrid],
    trainers: Mapping[tuple[str, str], Trainers],
) -> tuple[Reals, tuple[Scorer, ...]]:
    (fixed, scored), unchosen = terms, []
    chosen = fixed.copy()
    for index, scorer in enumerate(scorers_of(plan)):
        if isinstance(scorer.model, CardModel):
            continue
        taking_part = trainers.get((scorer.model.name, scorer.arm.name))
        trained = total(
            answers.of(sites).part(f"train/{index}").part("roc")
            for sites in _group_trainers(scorer.arm.sites or plan.training_sites, taking_part)
        )
        point = finish_youden(trained, grids[index], minima_of(plan.profile))
        if point.threshold is not None:
            chosen[index] = point.threshold
        elif scored[index]:
            unchosen.append(scorer)
    return chosen, tuple(unchosen)


def _group_trainers(sites: tuple[str, ...], taking_part: Trainers | None) -> list[tuple[str, ...]]:
    """The groups whose sums make up the patients who trained a model: one, or, if a site did not, each's."""
    if taking_part is None or (taking_part.trained | taking_part.without_patients).issuperset(sites):
        return [sites]
    return [(site,) for site in sites if site in taking_part.trained]


def fixed_threshold_of(plan: StudyPlan, scorer: Scorer) -> float:
    """The threshold that the plan gives for a score, on the scale of [0, 1]."""
    model = scorer.model
    if isinstance(model, ScoresModel) and model.threshold is not None:
        return model.scale(model.threshold)
    if isinstance(model, CardModel):
        return model.threshold
    return plan.evaluation.threshold
