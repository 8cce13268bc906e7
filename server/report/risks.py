"""Whether predicted risks are accurate, and whether acting on them helps: calibration and decision curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.report.drawing import Picture
from server.report.families import CurvePanel, split_panels
from server.report.figures import StyledCell, draw_calibration, draw_decision
from server.report.printed import (
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_estimate,
)
from server.report.subject import SharedCohort, Subject, find_shared_cohorts
from server.results.evaluation import Cell

RISK_TERMS: tuple[tuple[str, str], ...] = (
    (
        "Calibration",
        (
            "Whether predicted risks are true: of 100 patients with a predicted risk of 30%, 30 should "
            "reach the outcome. Intercept: 0 if risks are right on average, positive if they are too low. "
            "Slope: 1 if they spread as they should, below 1 if they are too extreme."
        ),
    ),
    (
        "Brier score, calibration error (ECE)",
        (
            "Mean squared distance of predicted risk and outcome; mean distance of predicted risk and "
            "observed share over groups of similar risk. 0 is perfect."
        ),
    ),
    (
        "Net benefit, decision curve",
        (
            "True positives a patient, less the false positives weighed by what a needless treatment costs. "
            "The threshold probability is the risk from which one would act; a useful model lies above both "
            "treating everybody and treating nobody."
        ),
    ),
)
"""What the chapters' words mean, for the glossary."""


@dataclass(frozen=True)
class Reliability:
    """One model's reliability diagram on one cohort.

    Attributes
    ----------
    model, cohort : str
        The model and the cohort in words.
    reference : bool
        Whether the model is the reference.
    picture : Picture
        The diagram.
    """

    model: str
    cohort: str
    reference: bool
    picture: Picture


@dataclass(frozen=True)
class CalibrationChapter:
    """The chapter "Calibration".

    Attributes
    ----------
    table : PrintedTable
        Brier score, calibration error, intercept and slope.
    diagrams : tuple of Reliability
        One for each model on each large cohort.
    """

    table: PrintedTable
    diagrams: tuple[Reliability, ...]


def build_calibration(subject: Subject) -> CalibrationChapter | None:
    """The calibration of all predicted risks on patients who did not train them; None if there are none."""
    cohorts = [
        (cohort, cells)
        for cohort in find_shared_cohorts(subject)
        if (cells := [c for c in cohort.cells if c.calibration])
    ]
    if not cohorts:
        return None
    notes = Footnotes()
    lines = tuple(line for cohort, cells in cohorts for line in _build_lines(subject, cohort, cells, notes))
    table = PrintedTable(
        caption=(
            "Values with 95% confidence intervals. Perfect: 0 for the first three, 1 for the slope. Clipped: "
            "risks below 1e-6 or above 1 - 1e-6, which intercept and slope take at these limits; a dash: not "
            "shown."
        ),
        stub=("Patients", "Model"),
        groups=(
            ColumnGroup("", ("Brier score", "Calibration error (ECE)", "Intercept", "Slope", "Clipped")),
        ),
        lines=lines,
        footnotes=notes.list_texts(),
    )
    drawn = (
        _draw_diagram(subject, cohort, cell) for cohort, cells in cohorts if cohort.large for cell in cells
    )
    return CalibrationChapter(table, tuple(cohort for cohort in drawn if cohort is not None))


def _build_lines(
    subject: Subject, cohort: SharedCohort, cells: list[Cell], notes: Footnotes
) -> Iterator[TableLine]:
    yield TableLine(cohort.label)
    for cell in cells:
        calibration = cell.calibration
        if calibration is not None:
            estimates = (
                calibration.brier,
                calibration.expected_error,
                calibration.intercept,
                calibration.slope,
            )
            entries = [enter_estimate(estimate, notes) for estimate in estimates]
            clipped = NOT_APPLICABLE if calibration.clipped is None else TableEntry(str(calibration.clipped))
            name = subject.name_contender(cell.model, cell.arm)
            yield TableLine(name, (*entries, clipped), parent=cohort.label)


def _draw_diagram(subject: Subject, cohort: SharedCohort, cell: Cell) -> Reliability | None:
    if cell.calibration is None or not cell.calibration.points:
        return None
    model = subject.name_contender(cell.model, cell.arm)
    alt = f"Reliability diagram of {model}, {cohort.label}: observed share against predicted risk"
    picture = draw_calibration(cell.calibration, subject.model_styles[cell.model], alt)
    return Reliability(model, cohort.label, subject.is_reference(cell.model), picture)


@dataclass(frozen=True)
class DecisionPanel:
    """One cohort's decision curves.

    Attributes
    ----------
    place : CurvePanel
        The cohort with the results that are drawn, and the panel's letter.
    picture : Picture
        The curves.
    """

    place: CurvePanel
    picture: Picture

    @property
    def cohort(self) -> SharedCohort:
        """The cohort with the results of the panel."""
        return self.place.cohort


def build_decision_panels(subject: Subject) -> tuple[DecisionPanel, ...]:
    """The large cohorts with decision curves, and those of one centre's models, split as ROC curves are."""
    cohorts = []
    for cohort in find_shared_cohorts(subject):
        cells = tuple(cell for cell in cohort.cells if cell.decision)
        if cells and (cohort.large or cells[0].arm not in subject.find_model(cells[0].model).leading):
            cohorts.append(SharedCohort(cohort.label, cohort.large, cells))
    return tuple(_draw_panel(subject, place) for place in split_panels(subject, cohorts))


def _draw_panel(subject: Subject, place: CurvePanel) -> DecisionPanel:
    cells = place.cohort.cells
    names = ", ".join(subject.name_contender(cell.model, cell.arm) for cell in cells)
    alt = f"Decision curves, {place.cohort.label}: {names}, everybody and nobody called positive"
    styled = [
        StyledCell(cell, subject.model_styles[cell.model], subject.is_reference(cell.model)) for cell in cells
    ]
    return DecisionPanel(place, draw_decision(styled, alt))
