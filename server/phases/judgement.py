"""The cells of the evaluation matrix, and which of their numbers may be shown beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.plan.matrix import Cohort, Relation, Scorer, Trainers, relation_of, scorers_of
from common.plan.study import StudyPlan
from common.stats.calibration import CalibrationResult, Recalibration
from common.stats.confusion import ConfusionResult, withhold_class, withhold_confusion
from common.stats.decision import DecisionCurve
from common.stats.estimate import suppressed
from common.stats.roc import RocResult, withhold_roc
from server.phases.shown_cohorts import may_show_beside


@dataclass(frozen=True)
class Judgement:
    """One cell of the evaluation matrix.

    Attributes
    ----------
    scorer : Scorer
        Whose score is judged.
    cohort : Cohort
        On which patients.
    relation : Relation
        What the model has seen of the cohort: by the plan, or by who took part once that is known.
    threshold : float
        Operating point, on the scale of [0, 1].
    roc : RocResult
        ROC curve and AUC.
    confusion : ConfusionResult
        Confusion table at the threshold, and its proportions.
    calibration : CalibrationResult or None
        Of predicted risks, on test or whole cohorts that are fair to the model; else None.
    recalibration : Recalibration or None
        Intercept and slope of the calibration, if the calibration may be shown.
    decision : DecisionCurve or None
        Net benefit of predicted risks, on the cohorts that have a calibration.
    subgroups : mapping of str to tuple of RocResult, or None
        By variable, one result for each level; None where the cohort is not split.
    trainers : Trainers or None
        Who took part in the training; None: the sites of the scorer's arm.
    """

    scorer: Scorer
    cohort: Cohort
    relation: Relation
    threshold: float
    roc: RocResult
    confusion: ConfusionResult
    calibration: CalibrationResult | None = None
    recalibration: Recalibration | None = None
    decision: DecisionCurve | None = None
    subgroups: Mapping[str, tuple[RocResult, ...]] | None = None
    trainers: Trainers | None = None


def label_judgements(
    judgements: Sequence[Judgement], trainers: Mapping[tuple[str, str], Trainers]
) -> tuple[Judgement, ...]:
    """The judgements with who trained each model, and what that model has seen of the cohort.

    What was asked and computed stays as the plan has it: a question must not depend on who was silent.

    Parameters
    ----------
    judgements : sequence of Judgement
        Labelled by the plan.
    trainers : mapping of (model, arm) to Trainers
        Who took part in each training, where that is known.
    """
    return tuple(
        replace(
            judgement,
            trainers=taking_part,
            relation=relation_of(judgement.scorer, judgement.cohort, taking_part),
        )
        for judgement in judgements
        for taking_part in [trainers.get((judgement.scorer.model.name, judgement.scorer.arm.name))]
    )


def protect_judgements(plan: StudyPlan, judgements: Sequence[Judgement]) -> list[Judgement]:
    """The judgements without numbers from which few patients of another cohort would follow by subtraction.

    The other cohort may be any union of parts and centres, whether the results list it or not.
    """
    protected = list(judgements)
    for scorer in scorers_of(plan):
        places = [place for place, judgement in enumerate(protected) if judgement.scorer == scorer]
        sizes = {place: _count_patients(protected[place].roc) for place in places}
        for place in _find_disclosing(plan, protected, sizes):
            judgement = protected[place]
            roc, confusion = (
                withhold_roc(plan.interval, _WITHHELD),
                withhold_confusion(plan.evaluation.proportions, _WITHHELD),
            )
            protected[place] = Judgement(
                judgement.scorer, judgement.cohort, judgement.relation, judgement.threshold, roc, confusion
            )
        for positive in (False, True):
            calls = {place: _count_calls(protected[place].confusion, positive=positive) for place in places}
            for place in _find_disclosing(plan, protected, calls):
                without = withhold_class(protected[place].confusion, positive=positive)
                # A decision curve discloses the calls at its thresholds.
                protected[place] = replace(protected[place], confusion=without, decision=None)
    return protected


_WITHHELD = suppressed("few patients of another cohort could be worked out")


def _find_disclosing(
    plan: StudyPlan, judgements: Sequence[Judgement], counts: Mapping[int, tuple[int, ...] | None]
) -> list[int]:
    """Places of the judgements whose counts may not be shown beside the others'."""
    known = {place: cells for place, cells in counts.items() if cells is not None}
    shown = may_show_beside(plan, [judgements[place].cohort for place in known], list(known.values()))
    return [place for place, is_shown in zip(known, shown, strict=True) if not is_shown]


def _count_patients(roc: RocResult) -> tuple[int, ...] | None:
    """Patients without and with expansion, and those without a score; None if one of them is hidden."""
    if roc.n_negative is None or roc.n_positive is None or roc.auc.n_missing is None:
        return None
    return roc.n_negative, roc.n_positive, roc.auc.n_missing


def _count_calls(confusion: ConfusionResult, *, positive: bool) -> tuple[int, ...] | None:
    """Patients of one class who are called positive, and who are not; None if one of them is hidden."""
    called_positive, called_negative = (
        (confusion.matrix.true_positive, confusion.matrix.false_negative)
        if positive
        else (confusion.matrix.false_positive, confusion.matrix.true_negative)
    )
    if called_positive is None or called_negative is None:
        return None
    return called_positive, called_negative
