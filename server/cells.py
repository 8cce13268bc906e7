"""The evaluation matrix as the results file holds it."""

from __future__ import annotations

from collections.abc import Iterable

from common.cohort.schema import BY_NAME
from common.matrix import Scorer
from common.stats.calibration import CalibrationResult, Recalibration
from common.stats.confusion import ConfusionResult
from common.stats.decision import DecisionCurve
from common.stats.estimate import Estimate
from common.stats.roc import RocResult
from common.stats.subgroups import compare_unpaired
from common.study import ScoresModel
from common.variables import levels_of
from server.analyses import Calibration, NetBenefitPoint, ReliabilityPoint, Subgroup
from server.phases.judgement import Judgement
from server.records import Measure, measure_of
from server.results import Cell, ConfusionMatrix, RocPoint


def cell_of(judged: Judgement) -> Cell:
    """One cell."""
    confusion = judged.confusion
    return Cell(
        model=judged.scorer.model.name,
        arm=judged.scorer.arm.name,
        kind=judged.scorer.arm.kind,
        training_sites=judged.scorer.arm.sites,
        cohort_sites=judged.cohort.sites,
        part=judged.cohort.part,
        relation=judged.relation,
        positive=judged.roc.n_positive,
        negative=judged.roc.n_negative,
        missing=judged.roc.n_missing,
        auc=auc_of(judged.roc),
        auc_error_bound=judged.roc.error_bound,
        roc=_points(judged),
        confusion=_matrix(confusion),
        accuracy=estimate(confusion.accuracy),
        sensitivity=estimate(confusion.sensitivity),
        specificity=estimate(confusion.specificity),
        ppv=estimate(confusion.ppv),
        npv=estimate(confusion.npv),
        f1=estimate(confusion.f1),
        threshold=_in_own_unit(judged.scorer, judged.threshold),
        falling=isinstance(judged.scorer.model, ScoresModel) and judged.scorer.model.risk == "falls",
        calibration=_calibration(judged.calibration, judged.recalibration),
        decision=_decision(judged.decision),
    )


def subgroups_of(judgements: Iterable[Judgement]) -> Iterable[Subgroup]:
    """Every level of every variable that the plan names, in each cell that has them."""
    for judged in judgements:
        for name, levels in (judged.subgroups or {}).items():
            yield from _levels(judged, name, levels)


def auc_of(roc: RocResult) -> Measure:
    """The AUC with its interval."""
    return measure_of(roc.auc, roc.interval, roc.method, roc.status)


def estimate(found: Estimate) -> Measure:
    """A statistic's estimate as the results file holds it."""
    return measure_of(found.value, found.interval, found.method, found.status)


def _levels(judged: Judgement, name: str, levels: tuple[RocResult, ...]) -> Iterable[Subgroup]:
    variable = BY_NAME[name]
    for place, (level, roc) in enumerate(zip(levels_of(variable), levels, strict=True)):
        yield Subgroup(
            model=judged.scorer.model.name,
            arm=judged.scorer.arm.name,
            cohort_sites=judged.cohort.sites,
            part=judged.cohort.part,
            variable=name,
            label=variable.label,
            level=level,
            positive=roc.n_positive,
            negative=roc.n_negative,
            auc=auc_of(roc),
            p_interaction=compare_unpaired(roc, levels[0]).p if place else None,
        )


def _in_own_unit(scorer: Scorer, threshold: float) -> float:
    """The threshold as the table's column has it."""
    model = scorer.model
    return model.unscaled(threshold) if isinstance(model, ScoresModel) else threshold


def _points(judged: Judgement) -> tuple[RocPoint, ...]:
    curve = judged.roc.curve
    if curve is None:
        return ()
    steps = zip(
        (_in_own_unit(judged.scorer, cut) for cut in curve.threshold),
        curve.false_positive_rate,
        curve.true_positive_rate,
        curve.low,
        curve.high,
        strict=True,
    )
    return tuple(
        RocPoint(threshold=cut, false_positive_rate=false, true_positive_rate=true, low=low, high=high)
        for cut, false, true, low, high in steps
    )


def _matrix(confusion: ConfusionResult) -> ConfusionMatrix:
    return ConfusionMatrix(
        true_positive=confusion.true_positive,
        false_negative=confusion.false_negative,
        false_positive=confusion.false_positive,
        true_negative=confusion.true_negative,
    )


def _calibration(found: CalibrationResult | None, refitted: Recalibration | None) -> Calibration | None:
    if found is None:
        return None
    nothing = measure_of(None, None, "logistic", found.status)
    return Calibration(
        brier=estimate(found.brier),
        expected_error=estimate(found.expected_calibration_error),
        intercept=nothing if refitted is None else estimate(refitted.intercept),
        slope=nothing if refitted is None else estimate(refitted.slope),
        points=tuple(
            ReliabilityPoint(
                predicted=point.predicted,
                observed=point.observed,
                low=point.interval.low,
                high=point.interval.high,
                patients=point.patients,
            )
            for point in found.points
        ),
    )


def _decision(curve: DecisionCurve | None) -> tuple[NetBenefitPoint, ...]:
    return tuple(
        NetBenefitPoint(
            threshold=point.threshold,
            model=point.model,
            low=point.interval.low,
            high=point.interval.high,
            treat_all=point.treat_all,
        )
        for point in (() if curve is None else curve.points)
    )
