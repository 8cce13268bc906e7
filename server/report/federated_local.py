"""The reference model of the federation against the same model of one centre alone, on the same patients."""

from __future__ import annotations

from collections.abc import Iterator

from server.report.auc_words import format_bound
from server.report.printed import (
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_estimate,
    enter_p_value,
    enter_value,
)
from server.report.subject import Subject, find_cell
from server.report.words import name_arm
from server.results.comparison import Comparison, Comparisons
from server.results.evaluation import Cell


def build_federated_table(subject: Subject) -> PrintedTable | None:
    """Each cohort on which a federated and a local arm of one model are compared; None if there is none."""
    notes = Footnotes()
    tables = sorted(subject.results.comparisons, key=lambda table: -len(table.cohort_sites))
    lines = tuple(line for table in tables for line in _build_lines(subject, table, notes))
    if not lines:
        return None
    adjusted = any(pair.p_adjusted is not None for table in tables for pair in table.pairs)
    return PrintedTable(
        caption=(
            "AUCs on the same patients, who trained neither model, and their paired difference (DeLong)."
        ),
        stub=("Patients", ""),
        groups=(
            ColumnGroup(
                "",
                (
                    "Local model",
                    "Federated AUC",
                    "Local AUC",
                    "Federated minus local (95% CI)",
                    "P, Holm" if adjusted else "P",
                ),
            ),
        ),
        lines=lines,
        footnotes=notes.list_texts(),
    )


def _build_lines(subject: Subject, table: Comparisons, notes: Footnotes) -> Iterator[TableLine]:
    for pair in table.pairs:
        first = find_cell(subject, (pair.first_model, pair.first_arm), table)
        second = find_cell(subject, (pair.second_model, pair.second_arm), table)
        if first is not None and second is not None and _is_wanted(pair, first, second):
            yield TableLine(
                subject.centres.name_cohort(table),
                (
                    TableEntry(name_arm(second), _mark_left_out(first, notes)),
                    enter_value(first.auc, notes),
                    enter_value(second.auc, notes),
                    _enter_difference(pair, notes),
                    enter_p_value(pair.p_value if pair.p_adjusted is None else pair.p_adjusted),
                ),
            )


def _is_wanted(pair: Comparison, first: Cell, second: Cell) -> bool:
    same = pair.first_model == pair.second_model
    return same and first.kind == "federated" and second.kind == "local"


def _mark_left_out(first: Cell, notes: Footnotes) -> str:
    """A footnote where the federation is one that left a centre out."""
    return notes.mark(f"Against: {name_arm(first)}.") if "-without-" in first.arm else ""


def _enter_difference(pair: Comparison, notes: Footnotes) -> TableEntry:
    entry = enter_estimate(pair.difference, notes)
    if entry.absent or not pair.difference_bound:
        return entry
    text = (
        f"Of the scores themselves it lies within {format_bound(pair.difference_bound)} of the printed one."
    )
    return TableEntry(entry.text, notes.mark(text))
