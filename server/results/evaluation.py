"""How well each model predicts in each cohort: the evaluation matrix (Table 3) and its subgroups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from common.cohort.schema import BY_NAME, Variable
from common.plan.matrix import Part, Relation, Scorer
from common.plan.study import ScoresModel
from common.plan.variables import levels_of
from common.stats.calibration import CalibrationResult, Recalibration, ReliabilityPoint
from common.stats.confusion import ConfusionMatrix
from common.stats.decision import NetBenefit
from common.stats.estimate import OK, Estimate, PValue, Status, absent
from common.stats.roc import RocResult
from common.stats.unpaired import compare_unpaired
from server.results.records import Count, Record

if TYPE_CHECKING:
    from server.phases.judgement import Judgement


class RocPoint(Record):
    """One step of a ROC curve that holds enough patients to be shown."""

    threshold: float
    """Called positive from here on, in the score's own unit; the first lies beyond every score."""
    false_positive_rate: float
    """1 - specificity."""
    true_positive_rate: float
    """Sensitivity."""
    low: float | None = None
    """Lower 95 % bound of the sensitivity (Wilson)."""
    high: float | None = None
    """Upper 95 % bound of the sensitivity."""


class Calibration(Record):
    """Whether predicted risks are true."""

    brier: Estimate
    """Mean squared difference of prediction and outcome."""
    expected_error: Estimate
    """Expected calibration error over ten equal bins."""
    intercept: Estimate
    """Calibration in the large: 0 if risks are right on average; positive if they are too low."""
    slope: Estimate
    """1 if risks spread as they should; below if they are too extreme."""
    offset: float | None = None
    """The intercept fitted together with the slope: a recalibrated risk is expit(offset + slope logit(risk)).
    None where there is no slope, or it was not recorded."""
    points: tuple[ReliabilityPoint, ...]
    """Of the reliability diagram, merged until each may be shown."""
    clipped: Count | None = None
    """Scores below 1e-6 or above 1 - 1e-6: intercept and slope take their logits at these limits. None where
    the number may not be shown, or was not recorded."""


class InternalDifference(Record):
    """How far a model's AUC at centres new to it lies from that on held-out patients of its own centres."""

    cohort_sites: tuple[str, ...]
    """Whose held-out patients the model is compared on."""
    difference: Estimate
    """AUC at the new centres minus that on the held-out patients; unpaired, since nobody is in both."""
    difference_bound: float | None = None
    """The difference of the raw scores' AUCs lies within this of the value; None: there is none."""


class Cell(Record):
    """One cell of the evaluation matrix: one model on one cohort."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local", "pooled", "given", "earlier"]
    """How the arm trains; "given" is a score of the table, "earlier" a model of an earlier study."""
    training_sites: tuple[str, ...]
    """Whose patients trained the model; of an earlier study's, sites of this study alone."""
    partial: bool = False
    """Whether a centre that should have trained the model missed one of the rounds that made it."""
    cohort_sites: tuple[str, ...]
    """Whose patients it is judged on."""
    part: Part
    """Part of the cohort."""
    relation: Relation
    """What the model had seen of them."""
    positive: Count | None
    """Patients with expansion."""
    negative: Count | None
    """Patients without."""
    missing: Count | None = 0
    """Patients without a score."""
    auc: Estimate
    """Area under the ROC curve."""
    auc_error_bound: float | None
    """The AUC of the raw scores lies within this of the value."""
    auc_interval_bound: float | None = None
    """Each limit of the raw scores' interval lies within this of the printed one; None where there is no
    interval, or not recorded."""
    roc: tuple[RocPoint, ...]
    """The curve, empty where it may not be shown."""
    confusion: ConfusionMatrix
    """At the threshold."""
    accuracy: Estimate
    """Share of the patients who were called right, at the threshold."""
    sensitivity: Estimate
    """Share of the patients with expansion who were called positive, at the threshold."""
    specificity: Estimate
    """Share of the patients without expansion who were called negative, at the threshold."""
    ppv: Estimate
    """Positive predictive value: share of those called positive whose hematoma expanded."""
    npv: Estimate
    """Negative predictive value: share of those called negative whose hematoma did not expand."""
    f1: Estimate
    """Harmonic mean of sensitivity and positive predictive value, at the threshold."""
    threshold: float | None = None
    """Scores of at least this were called positive; in the column's unit for a score of the table."""
    falling: bool = False
    """Whether a smaller score means more risk: then those up to the threshold are called positive."""
    calibration: Calibration | None = None
    """None for scores that are no predicted risks, and for patients who trained the model."""
    decision: tuple[NetBenefit, ...] = ()
    """The decision curve, of the same."""
    from_internal: tuple[InternalDifference, ...] = ()
    """Of all patients of centres new to the model: its AUC against each largest internal test; empty: there
    is none, or not recorded."""


class Subgroup(Record):
    """One model within one level of a variable."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    cohort_sites: tuple[str, ...]
    """Sites whose patients it is judged on."""
    part: Part
    """Part of the cohort."""
    variable: str
    """Its column in the cohort table."""
    label: str
    """As the paper prints the variable."""
    level: str
    """The variable's level that the patients have."""
    positive: Count | None
    """Patients with expansion."""
    negative: Count | None
    """Patients without."""
    auc: Estimate
    """Area under the ROC curve within the subgroup."""
    auc_error_bound: float | None = None
    """The AUC of the raw scores lies within this of the value; None where there is none, or not recorded."""
    auc_interval_bound: float | None = None
    """Each limit of the raw scores' interval lies within this of the printed one; None likewise."""
    p_interaction: PValue | None = None
    """Of the difference from the variable's first level."""
    p_method: str = ""
    """How it was found; empty: not recorded."""
    p_standing: Status = OK
    """Why there is none, where that was recorded."""


def record_cells(judgements: Sequence[Judgement]) -> tuple[Cell, ...]:
    """The evaluation matrix; a model at centres new to it is compared with its internal tests."""
    return tuple(
        record_cell(judgement, _find_internal_tests(judgement, judgements)) for judgement in judgements
    )


def _find_internal_tests(judgement: Judgement, judgements: Sequence[Judgement]) -> tuple[Judgement, ...]:
    """The same score's internal tests that no larger one contains; none unless it is carried over."""
    if judgement.relation != "external" or judgement.cohort.part != "whole":
        return ()
    internal = [
        other for other in judgements if other.scorer == judgement.scorer and other.relation == "internal"
    ]
    return tuple(
        test
        for test in internal
        if not any(set(test.cohort.sites) < set(other.cohort.sites) for other in internal)
    )


def record_cell(judgement: Judgement, internal: Iterable[Judgement] = ()) -> Cell:
    """One model on one cohort, with its threshold in the score's own unit.

    Parameters
    ----------
    judgement : Judgement
        The cell.
    internal : iterable of Judgement
        Tests of the same score on other patients, with which its AUC is compared.
    """
    scorer, roc, confusion = judgement.scorer, judgement.roc, judgement.confusion
    taking_part = judgement.trainers
    return Cell(
        model=scorer.model.name,
        arm=scorer.arm.name,
        kind=scorer.arm.kind,
        training_sites=tuple(
            site for site in scorer.arm.sites if taking_part is None or site in taking_part.trained
        ),
        partial=taking_part is not None and taking_part.partial,
        cohort_sites=judgement.cohort.sites,
        part=judgement.cohort.part,
        relation=judgement.relation,
        positive=roc.n_positive,
        negative=roc.n_negative,
        missing=roc.auc.n_missing,
        auc=roc.auc,
        auc_error_bound=roc.error_bound,
        auc_interval_bound=roc.interval_bound,
        roc=_list_roc_points(judgement),
        confusion=confusion.matrix,
        accuracy=confusion.accuracy,
        sensitivity=confusion.sensitivity,
        specificity=confusion.specificity,
        ppv=confusion.ppv,
        npv=confusion.npv,
        f1=confusion.f1,
        threshold=_unscale_threshold(scorer, judgement.threshold),
        falling=isinstance(scorer.model, ScoresModel) and scorer.model.risk == "falls",
        calibration=_record_calibration(judgement.calibration, judgement.recalibration),
        decision=() if judgement.decision is None else judgement.decision.points,
        from_internal=tuple(_compare_with_internal(judgement, test) for test in internal),
    )


def _compare_with_internal(judgement: Judgement, test: Judgement) -> InternalDifference:
    compared = compare_unpaired(judgement.roc, test.roc)
    return InternalDifference(
        cohort_sites=test.cohort.sites,
        difference=compared.difference,
        difference_bound=compared.error_bound,
    )


def record_subgroups(
    judgements: Iterable[Judgement], own: Mapping[str, Variable] = BY_NAME
) -> Iterator[Subgroup]:
    """Every level of every variable that the plan names, in each cell that has them.

    Parameters
    ----------
    judgements : iterable of Judgement
    own : mapping of str to Variable
        The plan's own variables by heading.
    """
    for judgement in judgements:
        for name, levels in (judgement.subgroups or {}).items():
            yield from _record_levels(judgement, own.get(name) or BY_NAME[name], levels)


def _record_levels(
    judgement: Judgement, variable: Variable, levels: tuple[RocResult, ...]
) -> Iterator[Subgroup]:
    for place, (level, roc) in enumerate(zip(levels_of(variable), levels, strict=True)):
        interaction = compare_unpaired(roc, levels[0]) if place else None
        yield Subgroup(
            model=judgement.scorer.model.name,
            arm=judgement.scorer.arm.name,
            cohort_sites=judgement.cohort.sites,
            part=judgement.cohort.part,
            variable=variable.name,
            label=variable.label,
            level=level,
            positive=roc.n_positive,
            negative=roc.n_negative,
            auc=roc.auc,
            auc_error_bound=roc.error_bound,
            auc_interval_bound=roc.interval_bound,
            p_interaction=None if interaction is None else interaction.p,
            p_method="" if interaction is None else interaction.difference.method,
            p_standing=OK if interaction is None else interaction.difference.standing,
        )


def _unscale_threshold(scorer: Scorer, threshold: float) -> float:
    """The threshold in the unit of the table's column; of a model, its predicted risk."""
    model = scorer.model
    return model.unscale(threshold) if isinstance(model, ScoresModel) else threshold


def _list_roc_points(judgement: Judgement) -> tuple[RocPoint, ...]:
    curve = judgement.roc.curve
    if curve is None:
        return ()
    steps = zip(
        (_unscale_threshold(judgement.scorer, cut) for cut in curve.threshold),
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


def _record_calibration(
    calibration: CalibrationResult | None, recalibration: Recalibration | None
) -> Calibration | None:
    if calibration is None:
        return None
    if recalibration is None:
        nothing = absent(calibration.status, "logistic")
        recalibration = Recalibration(nothing, nothing, rounds=0)
    return Calibration(
        brier=calibration.brier,
        expected_error=calibration.expected_calibration_error,
        intercept=recalibration.intercept,
        slope=recalibration.slope,
        offset=recalibration.offset,
        points=calibration.points,
        clipped=calibration.n_clipped,
    )
