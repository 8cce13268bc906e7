"""Table 3: the performance of every model on training patients, internal tests and external centres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from server.report.auc_words import JudgedAuc, bounds_of, format_bound
from server.report.cohorts import Role, key_of
from server.report.predictive_tables import PredictiveTables, build_predictive_tables
from server.report.printed import (
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_auc,
    enter_value,
)
from server.report.subject import Subject
from server.report.views import ModelView, is_carried_over, list_printed_cells
from server.report.words import format_classes, format_count, join_words, name_arm
from server.results.evaluation import Cell

_SHORT = (
    ("Accuracy", "accuracy"),
    ("Sensitivity", "sensitivity"),
    ("Specificity", "specificity"),
    ("PPV", "ppv"),
    ("NPV", "npv"),
    ("F1", "f1"),
)


@dataclass(frozen=True)
class PerformanceChapter:
    """The chapter "Table 3: performance".

    Attributes
    ----------
    table : PrintedTable or None
        None where nothing was evaluated.
    details : mapping of str to tuple of (str, tuple of Cell)
        By model, the label of each arm with its results, whose intervals are all shown.
    patients : str
        Who stands in the table, in words; empty where there is none.
    binning : str
        How far the AUCs of the scores themselves can be from the printed ones; empty where none is printed.
    predictive : tuple of PredictiveTables
        Predictive values by threshold and prevalence, of each large cohort.
    """

    table: PrintedTable | None
    details: Mapping[str, tuple[tuple[str, tuple[Cell, ...]], ...]]
    patients: str
    binning: str = ""
    predictive: tuple[PredictiveTables, ...] = ()


def build_performance(subject: Subject) -> PerformanceChapter:
    """Table 3 and, below it, every arm with all intervals."""
    return PerformanceChapter(
        build_table_three(subject),
        {model.name: _list_arms(subject, model) for model in subject.models},
        _describe_patients(subject),
        _describe_binning(subject),
        build_predictive_tables(subject),
    )


_BINS = "Scores are counted in bins before they leave a centre"


def _describe_binning(subject: Subject) -> str:
    """How far the AUCs of the scores themselves can be from those of the whole page."""
    results = subject.results
    centres = (centre for record in results.heterogeneity for centre in record.centres)
    records: tuple[JudgedAuc, ...] = (*results.evaluation, *results.subgroups, *centres)
    bounds = [bounds_of(record) for record in records if record.auc.value is not None]
    if not bounds:
        return ""
    largest = max(error or 0.0 for error, _ in bounds)
    unknown = (
        " Where a file of an earlier version holds no bound, none is printed."
        if any(error is None for error, _ in bounds)
        else ""
    )
    if not any(error or limits for error, limits in bounds):
        if unknown:
            return f"{_BINS}.{unknown}"
        return (
            f"{_BINS}. No bin holds different scores of patients with and without the outcome, so every AUC "
            "and interval of the evaluation is that of the scores themselves."
        )
    return (
        f"{_BINS}: the AUC of the scores themselves lies within {format_bound(largest)} of the printed one "
        "in every cohort, and equals it where no bound stands beside it. Figures have none beside them."
        f"{unknown}"
    )


_PATIENTS: dict[Role, str] = {
    "training": "training patients",
    "internal": "internal tests",
    "external": "external centres",
    "everybody": "all patients together",
}


def _describe_patients(subject: Subject) -> str:
    roles = {
        cell.role
        for model in subject.models
        for arm in model.leading
        for cell in list_printed_cells(model, arm, subject.centres)
    }
    if any(_list_other_external(subject, model) for model in subject.models):
        roles.add("external")
    words = join_words([name for role, name in _PATIENTS.items() if role in roles])
    return f"{words[:1].upper()}{words[1:]}"


def build_table_three(subject: Subject) -> PrintedTable | None:
    """Table 3: models down, each with the paper's cohorts, in the arms that represent it."""
    notes = Footnotes()
    lines = tuple(line for model in subject.models for line in _build_lines(subject, model, notes))
    if not lines:
        return None
    return PrintedTable(
        caption="AUC with its 95% confidence interval; the other measures at the operating point.",
        stub=("Model", "Patients"),
        groups=(
            ColumnGroup(
                "", (f"{subject.event} / {subject.no_event}", "AUC (95% CI)", *(name for name, _ in _SHORT))
            ),
        ),
        lines=lines,
        footnotes=notes.list_texts(),
    )


def _build_lines(subject: Subject, model: ModelView, notes: Footnotes) -> Iterator[TableLine]:
    name = model.title
    for arm in model.leading:
        cells = list_printed_cells(model, arm, subject.centres)
        name = subject.name_contender(model.name, arm)
        if cells:
            yield TableLine(name)
        for printed_cell in cells:
            yield TableLine(printed_cell.label, _enter_cell(subject, printed_cell.cell, notes), parent=name)
    for cell in _list_other_external(subject, model):
        sites = subject.centres.name_sites(cell.cohort_sites)
        label = f"All of {sites}" if cell.kind == "given" else f"External, {sites} ({name_arm(cell)})"
        yield TableLine(label, _enter_cell(subject, cell, notes), parent=name)


def _list_other_external(subject: Subject, model: ModelView) -> tuple[Cell, ...]:
    """The model at centres new to it in other arms, where no arm that represents it was carried over.

    A given score stands there beside the models of these arms.
    """
    arms = {
        other.name: [arm for arm in other.carried if arm not in other.leading] for other in subject.models
    }
    places = {
        key_of(cell)
        for other in subject.models
        for cell in other.cells
        if cell.arm in arms[other.name] and is_carried_over(cell)
    }
    return tuple(
        cell
        for cell in model.cells
        if (cell.arm in arms[model.name] and is_carried_over(cell))
        or (cell.kind == "given" and key_of(cell) in places)
    )


def _enter_cell(subject: Subject, cell: Cell, notes: Footnotes) -> tuple[TableEntry, ...]:
    missing = "" if cell.missing == 0 else f"without score: {format_count(cell.missing)}"
    counted = TableEntry(
        format_classes(cell),
        notes.mark(_describe_fitting(subject, cell)),
        missing,
        absent=cell.positive is None and cell.negative is None,
    )
    values = [enter_value(getattr(cell, field), notes) for _, field in _SHORT]
    mark = notes.mark(_describe_operating_point(subject, cell))
    first = values[0] if values[0].absent else TableEntry(values[0].text, mark)
    auc = enter_auc(cell.auc, subject.results.study.interval, notes, bounds_of(cell))
    return (counted, auc, first, *values[1:])


def _describe_fitting(subject: Subject, cell: Cell) -> str:
    """A footnote on a model that validation patients trained, too; else an empty string."""
    networks = {curve.model for curve in subject.results.training}
    fitted = cell.relation == "apparent" and cell.part == "train" and cell.model not in networks
    if not (fitted and subject.centres.validates):
        return ""
    return "Fitted on training and validation patients; judged here on the training patients alone."


def _describe_operating_point(subject: Subject, cell: Cell) -> str:
    """The cell's threshold in words, or an empty string if it is the plan's."""
    if cell.threshold is None or (cell.threshold == subject.results.study.threshold and not cell.falling):
        return ""
    return f"Called positive {'up to' if cell.falling else 'from'} {cell.threshold:g}."


def _list_arms(subject: Subject, model: ModelView) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    order = ("training", "internal", "external", "everybody")
    table = []
    for arm, label in zip(model.arms, model.labels, strict=True):
        roles = {id(cell): subject.centres.role_of(cell) for cell in model.cells if cell.arm == arm}
        cells = [cell for cell in model.cells if roles.get(id(cell)) is not None]
        cells.sort(
            key=lambda cell: (
                order.index(str(subject.centres.role_of(cell))),
                len(cell.cohort_sites),
                cell.cohort_sites,
            )
        )
        if cells:
            table.append((label, tuple(cells)))
    return tuple(table)
