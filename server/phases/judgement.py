"""One cell of the evaluation matrix, and what of all cells may be shown beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.matrix import Cohort, Relation, Scorer, scorers_of
from common.stats.calibration import CalibrationResult, Recalibration
from common.stats.confusion import ConfusionResult, withheld_confusion, withhold_class
from common.stats.decision import DecisionCurve
from common.stats.estimate import suppressed
from common.stats.roc import RocResult, withheld_roc
from common.study import StudyPlan
from server.overlap import shown_beside


@dataclass(frozen=True)
class Judgement:
    """One cell of the evaluation matrix.

    Attributes
    ----------
    scorer : Scorer
    cohort : Cohort
    relation : Relation
        How far the cohort is from what the model has seen.
    threshold : float
        Operating point, on the scale of [0, 1].
    roc : RocResult
    confusion : ConfusionResult
    calibration : CalibrationResult or None
        Of predicted risks, where nobody judged trained the model.
    recalibration : Recalibration or None
        Intercept and slope, of the same.
    decision : DecisionCurve or None
        Net benefit, of the same.
    subgroups : mapping of str to tuple of RocResult
        By variable, one result a level.
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


def protect(plan: StudyPlan, judgements: Sequence[Judgement]) -> list[Judgement]:
    """Without what would tell, by subtraction, few patients of another cohort, listed or not."""
    kept = list(judgements)
    for scorer in scorers_of(plan):
        own = [place for place, judged in enumerate(kept) if judged.scorer == scorer]
        sizes = {place: _sizes(kept[place].roc) for place in own}
        for place in _telling(plan, kept, sizes):
            judged = kept[place]
            roc, confusion = (
                withheld_roc(plan.interval, _TELLS),
                withheld_confusion(plan.evaluation.proportions, _TELLS),
            )
            kept[place] = Judgement(
                judged.scorer, judged.cohort, judged.relation, judged.threshold, roc, confusion
            )
        for positive in (False, True):
            calls = {place: _calls(kept[place].confusion, positive=positive) for place in own}
            for place in _telling(plan, kept, calls):
                without = withhold_class(kept[place].confusion, positive=positive)
                # A decision curve tells the calls at its thresholds.
                kept[place] = replace(kept[place], confusion=without, decision=None)
    return kept


_TELLS = suppressed("few patients of another cohort could be worked out")


def _telling(
    plan: StudyPlan, judgements: Sequence[Judgement], counts: Mapping[int, tuple[int, ...] | None]
) -> list[int]:
    """Places of the judgements whose counts may not be shown beside the others'."""
    known = {place: cells for place, cells in counts.items() if cells is not None}
    shown = shown_beside(plan, [judgements[place].cohort for place in known], list(known.values()))
    return [place for place, may in zip(known, shown, strict=True) if not may]


def _sizes(roc: RocResult) -> tuple[int, ...] | None:
    if roc.n_negative is None or roc.n_positive is None or roc.n_missing is None:
        return None
    return roc.n_negative, roc.n_positive, roc.n_missing


def _calls(confusion: ConfusionResult, *, positive: bool) -> tuple[int, ...] | None:
    called, left = (
        (confusion.true_positive, confusion.false_negative)
        if positive
        else (confusion.false_positive, confusion.true_negative)
    )
    return None if called is None or left is None else (called, left)
