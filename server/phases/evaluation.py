"""Phase: judge every score on every cohort, and say what its model had seen of the cohort (Table 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.plan.matrix import (
    FAIR,
    Cohort,
    Scorer,
    Trainers,
    cohorts_of,
    is_available,
    relation_of,
    scorers_of,
)
from common.plan.repeated_trainings import is_repeat
from common.plan.study import StudyPlan
from common.program.judging import ALL_FITTED, AS_PLANNED, ComparedStatus, JudgedScores, judge_scores
from common.program.names import CALIBRATION, EVALUATION
from common.program.recalibration_loops import recalibrate_scores
from common.program.steps import GroupSums
from common.stats.calibration import finish_calibration
from common.stats.confusion import finish_confusion, withhold_confusion
from common.stats.decision import finish_decision
from common.stats.estimate import Status
from common.stats.minima import minima_of
from common.stats.roc import finish_roc, withhold_roc
from common.stats.subgroups import finish_subgroups
from common.types import Reals
from server.exchange import Exchange
from server.phases.judgement import Judgement, label_judgements, protect_judgements
from server.procedures import carry_out


@dataclass(frozen=True)
class EvaluatedModels:
    """The judgements of all scores, and the sums on which they rest.

    Attributes
    ----------
    judgements : tuple of Judgement
        The cells of the evaluation matrix that have patients.
    judged : JudgedScores
        The sums; comparisons use them too.
    """

    judgements: tuple[Judgement, ...]
    judged: JudgedScores

    @property
    def thresholds(self) -> Reals:
        """Operating points, on the scale of [0, 1], shape (scorers,)."""
        return self.judged.thresholds

    @property
    def unchosen(self) -> tuple[Scorer, ...]:
        """Scores that keep the plan's threshold because none could be chosen."""
        return self.judged.unchosen

    @property
    def compared(self) -> tuple[ComparedStatus, ...]:
        """What may be compared with the reference model, in the order of `find_compared_scores`."""
        return self.judged.compared


def evaluate_models(
    exchange: Exchange,
    reference: str,
    unfitted: Mapping[tuple[str, str], Status] = ALL_FITTED,
    trainers: Mapping[tuple[str, str], Trainers] = AS_PLANNED,
) -> EvaluatedModels:
    """The evaluation matrix, after the rounds of `judge_scores` and those of the recalibration.

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
    judged = carry_out(exchange, EVALUATION, judge_scores(plan, reference, unfitted, trainers))
    judgements = [
        _judge(plan, (index, scorer), cohort, judged)
        for index, scorer in enumerate(scorers_of(plan))
        for cohort in cohorts_of(plan)
        if is_available(plan, scorer, cohort) and _has_patients(judged.counted, cohort)
    ]
    recalibrated = _recalibrate(exchange, protect_judgements(plan, judgements), judged)
    return EvaluatedModels(label_judgements(recalibrated, trainers), judged)


def _has_patients(counted: GroupSums, cohort: Cohort) -> bool:
    """Whether the cohort has any patient, with or without a score."""
    counts = counted.of(cohort.sites).part(cohort.part).counts
    return bool(counts["classes"].sum() + counts["missing"].sum())


def _judge(plan: StudyPlan, scored: tuple[int, Scorer], cohort: Cohort, judged: JudgedScores) -> Judgement:
    """One cell of the evaluation matrix, without numbers if the sites were not asked about it.

    Of patients of one class it has their calls alone.
    """
    index, scorer = scored
    status, threshold, grid = judged.permitted[cohort][index], judged.thresholds[index], judged.grids[index]
    minima, evaluation = minima_of(plan.profile), plan.evaluation
    relation = relation_of(scorer, cohort)
    if not status.ok and not judged.countable[cohort][index]:
        return Judgement(
            scorer,
            cohort,
            relation,
            threshold,
            withhold_roc(plan.interval, status),
            withhold_confusion(evaluation.proportions, status),
        )
    pooled = judged.answers.of(cohort.sites).part(f"{cohort.part}/{index}")
    judgement = Judgement(
        scorer,
        cohort,
        relation,
        threshold,
        finish_roc(pooled.part("roc"), grid, plan.interval, minima),
        finish_confusion(pooled.part("confusion"), evaluation.proportions, minima),
    )
    is_judged = relation in FAIR and cohort.part in {"test", "whole"} and not is_repeat(scorer.model)
    if not status.ok or not is_judged:
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
    exchange: Exchange, judgements: Sequence[Judgement], judged: JudgedScores
) -> tuple[Judgement, ...]:
    """The judgements with intercepts and slopes of the recalibration."""
    calibrated = _find_calibrated(exchange.plan, judgements)
    if not calibrated:
        return tuple(judgements)
    wanted: dict[int, list[int]] = {}
    for cohort, scorer in calibrated.values():
        wanted.setdefault(cohort, []).append(scorer)
    program = recalibrate_scores(exchange.plan, judged, wanted)
    found = carry_out(exchange, CALIBRATION, program)
    return tuple(
        replace(judgement, recalibration=found[calibrated[place]]) if place in calibrated else judgement
        for place, judgement in enumerate(judgements)
    )


def _find_calibrated(plan: StudyPlan, judgements: Sequence[Judgement]) -> dict[int, tuple[int, int]]:
    """Cohort and score number of each judgement whose calibration may be shown, by position."""
    scorers, cohorts = scorers_of(plan), cohorts_of(plan)
    return {
        place: (cohorts.index(judgement.cohort), scorers.index(judgement.scorer))
        for place, judgement in enumerate(judgements)
        if judgement.calibration is not None and judgement.calibration.status.ok
    }
