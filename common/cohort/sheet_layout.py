"""What the look of a workbook says about its values: merged, hidden and struck cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from common.cohort.columns import MatchedColumns
from common.cohort.row_names import name_rows
from common.cohort.sheet import CellRange, TableSheet
from common.errors import Finding, Level


def find_merged_headings(table: str, sheet: TableSheet, columns: MatchedColumns) -> list[Finding]:
    """Findings on merged cells that reach into the headings, without which no column can be told."""
    return [
        Finding(
            f"{table}, row {sheet.headings_row}, cells {merged.name}",
            "the headings' cells are merged",
            f"unmerge them; one heading in row {sheet.headings_row} over each column",
        )
        for merged in sheet.layout.merged
        if merged.rows[0] <= sheet.headings_row <= merged.rows[1] and _touches(merged, columns)
    ]


def find_merged_cells(sheet: TableSheet, columns: MatchedColumns) -> dict[int, list[Finding]]:
    """Findings, without the file's name, on rows whose cells are merged with others: values are lost."""
    rows = {row.number for row in sheet.rows}
    findings: defaultdict[int, list[Finding]] = defaultdict(list)
    for merged in sheet.layout.merged:
        if _touches(merged, columns):
            for row in rows.intersection(range(merged.rows[0], merged.rows[1] + 1)):
                findings[row].append(
                    Finding(
                        f"row {row}, cells {merged.name}",
                        "the cells are merged: only the first of them holds a value",
                        "unmerge them, and write each cell's value into it",
                    )
                )
    return findings


def _touches(merged: CellRange, columns: MatchedColumns) -> bool:
    """Whether it covers a column that is looked at; a hospital's own columns may look as they like."""
    return any(merged.columns[0] <= column.index <= merged.columns[1] for column in columns.matched)


def note_layout(table: str, sheet: TableSheet, columns: MatchedColumns) -> Iterator[Finding]:
    """What a person has to look at because the sheet hides it or strikes it through."""
    layout, rows = sheet.layout, {row.number for row in sheet.rows}
    if layout.hidden:
        yield _note(table, "the sheet is hidden: its rows are used", "is it the right sheet?")
    if hidden := sorted(rows & layout.hidden_rows):
        cause = "hidden, as by a filter," if layout.filtered else "hidden"
        what = f"{_count_rows(hidden)} {cause} and used all the same"
        yield _note(f"{table}, {name_rows(hidden)}", what, "unhide them, or delete those that do not belong")
    if struck := sorted(rows & layout.struck_rows):
        what = f"{_count_rows(struck)} struck through in part or whole and used all the same"
        yield _note(
            f"{table}, {name_rows(struck)}", what, "delete what is not meant, or take the line off it"
        )
    for column in columns.matched:
        if column.index in layout.hidden_columns:
            what = "the column is hidden and used all the same"
            yield _note(f"{table}, {column.where}", what, "unhide it, or delete it")


def _note(where: str, what: str, remedy: str) -> Finding:
    return Finding(where, what, remedy, Level.LOOK)


def _count_rows(rows: list[int]) -> str:
    return "1 row is" if len(rows) == 1 else f"{len(rows)} rows are"
