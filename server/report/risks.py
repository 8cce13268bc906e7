"""Whether predicted risks are true, and whether acting on them helps: calibration and decision curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.report.drawing import Picture
from server.report.figures import StyledCell, calibration_picture, decision_picture
from server.report.printed import Footnotes, Group, Line, PrintedTable, measure_entry
from server.report.subject import SharedCohort, Subject, shared_cohorts
from server.results import Cell


@dataclass(frozen=True)
class Reliability:
    """One model's reliability diagram on one cohort.

    Attributes
    ----------
    model, cohort : str
        In words.
    reference : bool
        Whether the model is the reference.
    picture : Picture
    """

    model: str
    cohort: str
    reference: bool
    picture: Picture


@dataclass(frozen=True)
class CalibrationView:
    """The chapter.

    Attributes
    ----------
    table : PrintedTable
    diagrams : tuple of Reliability
    """

    table: PrintedTable
    diagrams: tuple[Reliability, ...]


def calibration(subject: Subject) -> CalibrationView | None:
    """Every predicted risk on patients who did not train it; None if the study has none."""
    cohorts = [
        (one, cells) for one in shared_cohorts(subject) if (cells := [c for c in one.cells if c.calibration])
    ]
    if not cohorts:
        return None
    notes = Footnotes()
    lines = tuple(line for one, cells in cohorts for line in _lines(subject, one, cells, notes))
    table = PrintedTable(
        caption="Values with 95% confidence intervals. Perfect: 0 for the first three, 1 for the slope.",
        stub=("Patients", "Model"),
        groups=(Group("", ("Brier score", "Calibration error (ECE)", "Intercept", "Slope")),),
        lines=lines,
        footnotes=notes.lines(),
    )
    drawn = (_diagram(subject, one, cell) for one, cells in cohorts if one.large for cell in cells)
    return CalibrationView(table, tuple(one for one in drawn if one is not None))


def _lines(subject: Subject, cohort: SharedCohort, cells: list[Cell], notes: Footnotes) -> Iterator[Line]:
    yield Line(cohort.label)
    for cell in cells:
        found = cell.calibration
        if found is not None:
            measures = (found.brier, found.expected_error, found.intercept, found.slope)
            entries = tuple(measure_entry(measure, notes) for measure in measures)
            yield Line(subject.contender(cell.model, cell.arm), entries, parent=cohort.label)


def _diagram(subject: Subject, cohort: SharedCohort, cell: Cell) -> Reliability | None:
    if cell.calibration is None or not cell.calibration.points:
        return None
    model = subject.contender(cell.model, cell.arm)
    alt = f"Reliability diagram of {model}, {cohort.label}: observed share against predicted risk"
    picture = calibration_picture(cell.calibration, subject.model_styles[cell.model], alt)
    return Reliability(model, cohort.label, subject.is_reference(cell.model), picture)


@dataclass(frozen=True)
class DecisionPanel:
    """One cohort's decision curves.

    Attributes
    ----------
    cohort : SharedCohort
        With the cells that are drawn.
    picture : Picture
    """

    cohort: SharedCohort
    picture: Picture


def decision(subject: Subject) -> tuple[DecisionPanel, ...]:
    """One panel for each cohort that holds all centres of its kind."""
    panels = []
    for one in shared_cohorts(subject):
        cells = tuple(cell for cell in one.cells if cell.decision)
        if one.large and cells:
            names = ", ".join(subject.contender(cell.model, cell.arm) for cell in cells)
            alt = f"Decision curves, {one.label}: {names}, everybody and nobody called positive"
            picture = decision_picture(
                [
                    StyledCell(cell, subject.model_styles[cell.model], subject.is_reference(cell.model))
                    for cell in cells
                ],
                alt,
            )
            panels.append(DecisionPanel(SharedCohort(one.label, one.large, cells), picture))
    return tuple(panels)
