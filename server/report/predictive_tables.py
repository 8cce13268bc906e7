"""What a call means for the next patient: predictive values by threshold and prevalence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.stats.estimate import Estimate
from common.stats.predictive_values import predict_values
from common.stats.proportion import wilson
from server.report.printed import (
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_absent,
)
from server.report.subject import SharedCohort, Subject, find_shared_cohorts
from server.report.words import format_interval, format_number
from server.results.evaluation import Cell, RocPoint

PREVALENCES = (0.1, 0.2, 0.3, 0.4)
RISKS = (0.1, 0.2, 0.3, 0.4)
"""Thresholds beside the frozen one, each taken at the nearest step of the curve that may be shown."""
_NEAR = 0.05
"""How far that step may lie from the threshold."""


@dataclass(frozen=True)
class CallingPoint:
    """One threshold of a score.

    Attributes
    ----------
    threshold : float
        From (or up to) which patients are called positive, in the score's own unit.
    frozen : bool
        Whether it is the one that the evaluation uses.
    sensitivity, specificity : Estimate
        With their intervals.
    """

    threshold: float
    frozen: bool
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class PredictiveTables:
    """Predictive values on one cohort.

    Attributes
    ----------
    label : str
        The cohort in words.
    model : str
        The model of `by_threshold` in words.
    by_threshold : PrintedTable
        The reference model, or the first, at several thresholds.
    by_model : PrintedTable or None
        Every model at its frozen threshold; None if there is one model.
    """

    label: str
    model: str
    by_threshold: PrintedTable
    by_model: PrintedTable | None


def build_predictive_tables(subject: Subject) -> tuple[PredictiveTables, ...]:
    """Centres new to the models first; large cohorts alone."""
    cohorts = [cohort for cohort in find_shared_cohorts(subject) if cohort.large]
    cohorts.sort(key=lambda cohort: cohort.cells[0].part != "whole")
    return tuple(_build_tables(subject, cohort) for cohort in cohorts if _has_calls(cohort.cells[0]))


def _has_calls(cell: Cell) -> bool:
    return cell.sensitivity.value is not None and cell.specificity.value is not None


def _build_tables(subject: Subject, cohort: SharedCohort) -> PredictiveTables:
    first = cohort.cells[0]
    return PredictiveTables(
        label=cohort.label,
        model=subject.name_contender(first.model, first.arm),
        by_threshold=_build_by_threshold(subject, first),
        by_model=_build_by_model(subject, cohort.cells) if len(cohort.cells) > 1 else None,
    )


def _build_by_threshold(subject: Subject, cell: Cell) -> PrintedTable:
    notes = Footnotes()
    points = list_operating_points(cell, subject.results.study.threshold)
    up_to = "\N{LESS-THAN OR EQUAL TO} " if cell.falling else ""
    lines = tuple(
        TableLine(
            f"{up_to}{_name_threshold(point)}",
            tuple(_enter_point(point.sensitivity, point.specificity, notes)),
        )
        for point in points
    )
    return _lay_out("Called positive " + ("up to" if cell.falling else "from"), lines, notes)


def _name_threshold(point: CallingPoint) -> str:
    """The frozen threshold as the plan or the training set it; others of a risk all to three decimals."""
    if point.frozen:
        return f"{point.threshold:.3g} (frozen)"
    is_risk = 0.001 <= point.threshold < 1
    return format_number(point.threshold) if is_risk else f"{point.threshold:.3g}"


def _build_by_model(subject: Subject, cells: Sequence[Cell]) -> PrintedTable:
    notes = Footnotes()
    lines = tuple(
        TableLine(
            subject.name_contender(cell.model, cell.arm),
            tuple(_enter_point(cell.sensitivity, cell.specificity, notes)),
        )
        for cell in cells
    )
    return _lay_out("Model", lines, notes)


def _lay_out(stub: str, lines: tuple[TableLine, ...], notes: Footnotes) -> PrintedTable:
    return PrintedTable(
        caption=(
            "Predictive values follow by Bayes' rule from sensitivity and specificity, which are taken to be "
            "the same at every prevalence; 95% confidence intervals below (Donner and Zou 2012)."
        ),
        stub=(stub, ""),
        groups=(
            ColumnGroup("", ("Sensitivity", "Specificity")),
            *(ColumnGroup(f"Prevalence {share:.0%}", ("PPV", "NPV")) for share in PREVALENCES),
        ),
        lines=lines,
        footnotes=notes.list_texts(),
    )


def _enter_point(sensitivity: Estimate, specificity: Estimate, notes: Footnotes) -> Iterator[TableEntry]:
    yield _enter(sensitivity, notes)
    yield _enter(specificity, notes)
    for share in PREVALENCES:
        for value in predict_values(sensitivity, specificity, share):
            yield _enter(value, notes)


def _enter(estimate: Estimate, notes: Footnotes) -> TableEntry:
    if estimate.value is None:
        return enter_absent(estimate.standing, notes)
    return TableEntry(format_number(estimate.value), below=format_interval(estimate))


def list_operating_points(cell: Cell, threshold: float) -> tuple[CallingPoint, ...]:
    """The frozen threshold and up to four others, by rising threshold.

    The others do not depend on the outcome: of predicted risks they are the curve's steps nearest to fixed
    risks; of another score they divide its steps evenly.
    """
    own = threshold if cell.threshold is None else cell.threshold
    points = {own: CallingPoint(own, frozen=True, sensitivity=cell.sensitivity, specificity=cell.specificity)}
    for step in _choose_steps(cell):
        points.setdefault(step.threshold, _read_step(cell, step))
    return tuple(points[place] for place in sorted(points))


def _choose_steps(cell: Cell) -> list[RocPoint]:
    inner = [point for point in cell.roc if 0 < point.true_positive_rate + point.false_positive_rate < 2]
    if cell.kind == "given":
        return [inner[len(inner) * part // 4] for part in (1, 2, 3)] if len(inner) >= 4 else inner
    nearest = (min(inner, key=lambda p: abs(p.threshold - risk), default=None) for risk in RISKS)
    return [
        point
        for point, risk in zip(nearest, RISKS, strict=True)
        if point is not None and abs(point.threshold - risk) <= _NEAR
    ]


def _read_step(cell: Cell, step: RocPoint) -> CallingPoint:
    sensitivity = Estimate(step.true_positive_rate, step.low, step.high, "wilson")
    specificity = Estimate(1 - step.false_positive_rate, method="wilson")
    spared = (1 - step.false_positive_rate) * (cell.negative or 0)
    if cell.negative and abs(spared - round(spared)) < _WHOLE:
        interval = wilson(round(spared), cell.negative)
        specificity = Estimate.of(1 - step.false_positive_rate, interval, "wilson")
    return CallingPoint(step.threshold, frozen=False, sensitivity=sensitivity, specificity=specificity)


_WHOLE = 1e-6
"""A share of patients is a whole number of them within this; else it was rounded and has no interval here."""
