"""One patient from one row of the table."""

from __future__ import annotations

from pathlib import Path

from common.cohort.cells import Reader, Refused, Value
from common.cohort.columns import Columns
from common.cohort.contradictions import contradictions
from common.cohort.grid import Row
from common.cohort.patient import Patient
from common.cohort.readings import MASK, READINGS, repeated_column
from common.errors import Finding


def read_row(row: Row, columns: Columns, reader: Reader) -> tuple[Patient | None, list[Finding]]:
    """The patient, and every violation of the row (without the file's name).

    The patient is None only if the row has no identifier; it is given beside violations so that
    duplicates are found among all rows.
    """
    findings = _width(row, columns)
    values: dict[str, Value] = {}
    for column in columns.found:
        cell = row.cells[column.index] if column.index < len(row.cells) else None
        value = reader.read(column.variable, cell)
        if isinstance(value, Refused):
            findings.append(Finding(f"row {row.number}, {column.where}", value.what, value.remedy))
        elif value is not None:
            values[column.variable.name] = value
        elif column.variable.name == "patient":
            findings.append(
                Finding(
                    f"row {row.number}, {column.where}",
                    "the patient has no identifier",
                    "write the pseudonym, or delete the row",
                )
            )
    findings += [
        Finding(f"row {row.number}, {found.where}", found.what, found.remedy)
        for found in contradictions(values)
    ]
    return _patient(row.number, values, columns), findings


def _width(row: Row, columns: Columns) -> list[Finding]:
    """A row with fewer cells than headings was cut off; with more, a comma is not quoted."""
    cells = len(row.cells)
    while cells > columns.width and row.cells[cells - 1] is None:
        cells -= 1
    if cells == columns.width:
        return []
    remedy = "was the file cut off?" if cells < columns.width else "put cells that hold a comma into quotes"
    return [Finding(f"row {row.number}", f"{cells} cells for {columns.width} headings", remedy)]


def _patient(number: int, values: dict[str, Value], columns: Columns) -> Patient | None:
    identifier = values.get("patient")
    if not isinstance(identifier, str):
        return None
    paths = {name: value for name, value in values.items() if isinstance(value, Path)}
    own = {column.variable.name for column in columns.found if column.variable.group == "scores"}
    return Patient(
        identifier=identifier,
        row=number,
        baseline_ct=paths.get("baseline_ct"),
        baseline_mask=paths.get("baseline_mask"),
        followup_ct=paths.get("followup_ct"),
        followup_mask=paths.get("followup_mask"),
        values={
            name: value
            for name, value in values.items()
            if name != "patient" and name not in own and not isinstance(value, Path)
        },
        scores={name: value if isinstance(value := values.get(name), float) else None for name in own},
        repeated_masks={
            reading: paths[repeated_column(MASK, reading)]
            for reading in READINGS
            if repeated_column(MASK, reading) in paths
        },
    )
