"""One patient from one row of the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.cohort.cells import CellReader, RefusedCell, VariableValue
from common.cohort.columns import MatchedColumn, MatchedColumns
from common.cohort.contradictions import find_contradictions
from common.cohort.patient import Patient
from common.cohort.repeated_readings import MASK_COLUMN, Reading, find_reading, place_of_reading
from common.cohort.sheet import SheetRow
from common.errors import Finding

_TOTALS = frozenset(
    {
        *("total", "totals", "grand total", "sum", "mean", "average", "median", "count", "std dev"),
        *("summe", "gesamt", "mittelwert", "anzahl", "total general", "somme", "moyenne", "suma", "promedio"),
    }
)
"""What stands before a line of totals, which is no patient."""


@dataclass(frozen=True)
class ReadRow:
    """What a row of the table gave.

    Attributes
    ----------
    number : int
        As a spreadsheet shows it.
    readable : Patient
        What could be read of the row, whatever else is wrong with it; without a name if it has no identifier.
    findings : tuple of Finding
        Every violation, without the file's name.
    """

    number: int
    readable: Patient
    findings: tuple[Finding, ...]

    @property
    def patient(self) -> Patient | None:
        """None only if the row has no identifier; there with violations too, to find duplicates."""
        return self.readable if self.readable.identifier else None


def read_row(row: SheetRow, columns: MatchedColumns, reader: CellReader) -> ReadRow:
    """The row's patient and every violation."""
    findings = _check_width(row, columns)
    values: dict[str, VariableValue] = {}
    for column in columns.matched:
        rule = None if column.source is None else column.source.rule
        value = reader.read(column.variable, column.cell_of(row), rule)
        if isinstance(value, RefusedCell):
            findings.append(Finding(f"row {row.number}, {column.where}", value.what, value.remedy))
        elif value is not None:
            values[column.variable.name] = value
            if column.variable.name == "patient":
                findings += _check_identifier(row.number, column, value)
        elif column.variable.name == "patient":
            findings.append(
                Finding(
                    f"row {row.number}, {column.where}",
                    "the patient has no identifier",
                    "write the pseudonym, or delete the row",
                )
            )
    findings += [
        Finding(f"row {row.number}, {finding.where}", finding.what, finding.remedy)
        for finding in find_contradictions(values)
    ]
    if len(row.cells) != columns.width and _check_width(row, columns):
        # The cells behind a lost or a surplus comma stand under other headings: no path can be trusted
        values = {name: value for name, value in values.items() if not isinstance(value, Path)}
    return ReadRow(row.number, _make_patient(row.number, values, columns), tuple(findings))


def _check_identifier(number: int, column: MatchedColumn, identifier: VariableValue) -> list[Finding]:
    """A finding if the row is no patient's: a line of totals, or the headings of a second table."""
    name = str(identifier).casefold().rstrip(":")
    if name in _TOTALS:
        what, remedy = f"{identifier!r} is a line of totals, no patient", "delete the line"
    elif name == "patient":
        what, remedy = "the headings stand here again", "delete the line; keep one table in a sheet"
    else:
        return []
    return [Finding(f"row {number}, {column.where}", what, remedy)]


def _check_width(row: SheetRow, columns: MatchedColumns) -> list[Finding]:
    """A finding if the row has fewer cells than headings (cut off) or more (an unquoted comma)."""
    cells = len(row.cells)
    while cells > columns.width and row.cells[cells - 1] is None:
        cells -= 1
    if cells == columns.width:
        return []
    remedy = "was the file cut off?" if cells < columns.width else "put cells that hold a comma into quotes"
    return [Finding(f"row {row.number}", f"{cells} cells for {columns.width} headings", remedy)]


def _make_patient(number: int, values: dict[str, VariableValue], columns: MatchedColumns) -> Patient:
    paths = {name: value for name, value in values.items() if isinstance(value, Path)}
    score_names = columns.score_names
    return Patient(
        identifier=str(values.get("patient", "")),
        row=number,
        baseline_ct=paths.get("baseline_ct"),
        baseline_mask=paths.get("baseline_mask"),
        followup_ct=paths.get("followup_ct"),
        followup_mask=paths.get("followup_mask"),
        values={
            name: value
            for name, value in values.items()
            if name != "patient" and name not in score_names and not isinstance(value, Path)
        },
        scores={
            name: value if isinstance(value := values.get(name), float) else None for name in score_names
        },
        repeated_masks=_find_repeated_masks(paths) if paths else {},
        own=columns.own,
    )


def _find_repeated_masks(paths: dict[str, Path]) -> dict[Reading, Path]:
    """Further masks by their reading: first readers' before second readers', whatever the table's order."""
    found = {name: find_reading(name) for name in paths}
    masks = {one[1]: paths[name] for name, one in found.items() if one is not None and one[0] == MASK_COLUMN}
    return {reading: masks[reading] for reading in sorted(masks, key=place_of_reading)}
