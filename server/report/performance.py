"""Table 3: how every model does on training patients, internal tests and external centres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from server.report.printed import (
    Entry,
    Footnotes,
    Group,
    Line,
    PrintedTable,
    measure_entry,
    value_entry,
)
from server.report.subject import Subject
from server.report.views import ModelView, printed_cells
from server.report.words import classes, count
from server.results import Cell

_SHORT = (
    ("Accuracy", "accuracy"),
    ("Sensitivity", "sensitivity"),
    ("Specificity", "specificity"),
    ("PPV", "ppv"),
    ("NPV", "npv"),
    ("F1", "f1"),
)


@dataclass(frozen=True)
class Performance:
    """The chapter.

    Attributes
    ----------
    table : PrintedTable or None
        None where nothing was evaluated.
    details : mapping of model to its arms
        Each arm's label with its cells: all intervals.
    """

    table: PrintedTable | None
    details: Mapping[str, tuple[tuple[str, tuple[Cell, ...]], ...]]


def performance(subject: Subject) -> Performance:
    """Table 3 and, below it, every arm with its intervals."""
    return Performance(table_three(subject), {model.name: _arms(subject, model) for model in subject.models})


def table_three(subject: Subject) -> PrintedTable | None:
    """Models down, each with the paper's cohorts; the arm that stands for it beside others."""
    notes = Footnotes()
    lines = tuple(line for model in subject.models for line in _lines(subject, model, notes))
    if not lines:
        return None
    return PrintedTable(
        caption="AUC with its 95% confidence interval; the other measures at the operating point.",
        stub=("Model", "Patients"),
        groups=(
            Group(
                "", (f"{subject.event} / {subject.no_event}", "AUC (95% CI)", *(name for name, _ in _SHORT))
            ),
        ),
        lines=lines,
        footnotes=notes.lines(),
    )


def _lines(subject: Subject, model: ModelView, notes: Footnotes) -> Iterator[Line]:
    for arm in model.leading:
        printed = printed_cells(model, arm, subject.places)
        name = subject.contender(model.name, arm)
        if printed:
            yield Line(name)
        for one in printed:
            yield Line(one.label, _entries(subject, one.cell, notes), parent=name)


def _entries(subject: Subject, cell: Cell, notes: Footnotes) -> tuple[Entry, ...]:
    missing = "" if cell.missing == 0 else f"without score: {count(cell.missing)}"
    counted = Entry(classes(cell), below=missing, absent=cell.positive is None and cell.negative is None)
    values = [value_entry(getattr(cell, field), notes) for _, field in _SHORT]
    mark = notes.mark(_operating_point(subject, cell))
    first = values[0] if values[0].absent else Entry(values[0].text, mark)
    return (counted, measure_entry(cell.auc, notes), first, *values[1:])


def _operating_point(subject: Subject, cell: Cell) -> str:
    """A threshold that is not the plan's, in words."""
    if cell.threshold is None or (cell.threshold == subject.results.study.threshold and not cell.falling):
        return ""
    return f"Called positive {'up to' if cell.falling else 'from'} {cell.threshold:g}."


def _arms(subject: Subject, model: ModelView) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    order = ("training", "internal", "external", "everybody")
    table = []
    for arm, label in zip(model.arms, model.labels, strict=True):
        roles = {id(cell): subject.places.role(cell) for cell in model.cells if cell.arm == arm}
        cells = [cell for cell in model.cells if roles.get(id(cell)) is not None]
        cells.sort(
            key=lambda cell: (
                order.index(str(subject.places.role(cell))),
                len(cell.cohort_sites),
                cell.cohort_sites,
            )
        )
        if cells:
            table.append((label, tuple(cells)))
    return tuple(table)
