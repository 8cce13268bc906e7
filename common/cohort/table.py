"""A hospital's cohort table: one row a patient, every violation reported at once.

Each violation is named with row and column as a spreadsheet shows them, and costs its row alone. The whole
table is refused where its headings are wrong, or where most rows are: a shifted column or another unit shows
in many rows, and those that still pass cannot be trusted.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.cohort.cells import CellReader
from common.cohort.columns import SCHEMA_ALONE, WantedColumns, find_headings_below, match_columns
from common.cohort.patient import Patient
from common.cohort.rows import ReadRow, read_row
from common.cohort.sheet import TableSheet
from common.cohort.sheet_file import read_sheet
from common.cohort.sheet_layout import find_merged_cells, find_merged_headings, note_layout
from common.cohort.units import find_unit_doubts
from common.errors import CohortError, Finding

__all__ = ["CohortTable", "Patient", "RejectedRow", "read_table"]

_MANY = 3
"""Fewest rejected rows that tell something of the whole table."""


@dataclass(frozen=True)
class RejectedRow:
    """One row of the table that cannot be used.

    Attributes
    ----------
    row : int
        As a spreadsheet shows it: the heading is row 1.
    identifier : str
        The patient's; empty where it cannot be read.
    findings : tuple of Finding
        Every violation, at least one.
    """

    row: int
    identifier: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class CohortTable:
    """A table with the rows that can be used and those that cannot.

    Attributes
    ----------
    path : Path
        The CSV or XLSX file.
    patients : tuple of Patient
        Rows without a violation, in the table's order; no identifier stands twice.
    images : bool
        Whether every patient needs CT and mask: as the study asked, or as the table's columns imply.
    rejected : tuple of RejectedRow
        Rows with a violation, in the table's order.
    notes : tuple of Finding
        What a person has to look at although the rows can be used: hidden rows, doubtful units.
    """

    path: Path
    patients: tuple[Patient, ...]
    images: bool = True
    rejected: tuple[RejectedRow, ...] = ()
    notes: tuple[Finding, ...] = ()

    @property
    def size(self) -> int:
        """Number of rows below the heading, rejected ones too."""
        return len(self.patients) + len(self.rejected)


def read_table(path: Path, root: Path | None = None, wanted: WantedColumns = SCHEMA_ALONE) -> CohortTable:
    """The cohort in a CSV or XLSX file.

    Parameters
    ----------
    path : Path
        Relative paths in its cells start from its folder.
    root : Path, optional
        The folder that no path may leave; by default the table's own.
    wanted : WantedColumns
        What the study needs beyond the schema.

    Raises
    ------
    CohortError
        If the file cannot be read, a heading is wrong or missing, or most rows are refused; with every
        violation: file, row, column, value, and what to do.
    """
    sheet = _read_sheet(path, wanted)
    columns, findings = match_columns(path.name, sheet, wanted)
    findings += find_merged_headings(path.name, sheet.layout, columns)
    reader = CellReader(
        sheet.typed, folder=_make_absolute(path.parent), root=_make_absolute(root or path.parent)
    )
    rows = [read_row(row, columns, reader) for row in sheet.rows]
    merged, twice = find_merged_cells(sheet, columns), _find_listed_twice(rows)
    good: list[Patient] = []
    rejected: list[RejectedRow] = []
    for row in rows:
        violations = (*row.findings, *merged.get(row.number, ()), *twice.get(row.number, ()))
        if row.patient is not None and not violations:
            good.append(row.patient)
        elif violations:  # none, and no patient: the identifiers' column is missing, which the headings tell
            rejected.append(_reject(path.name, row, violations))
    if not rows:
        findings.append(Finding(path.name, "the table has headings but no patients", "add one row a patient"))
    if rows and not sheet.typed and len(sheet.rows[-1].cells) < columns.width:
        what = f"the last row ({rows[-1].number}) ends too early: rows after it may be lost"
        findings.append(Finding(path.name, what, "was the file cut off? export or copy it again"))
    findings += _judge_table(path.name, rejected, len(rows))
    if findings or not good:
        raise CohortError((*findings, *(finding for row in rejected for finding in row.findings)))
    notes = (*note_layout(path.name, sheet, columns), *find_unit_doubts(path.name, columns, good))
    return CohortTable(path, tuple(good), columns.images, tuple(rejected), notes)


def _read_sheet(path: Path, wanted: WantedColumns) -> TableSheet:
    """The table as it was written.

    Raises
    ------
    CohortError
        If the file cannot be read. If a title stands above the headings, with that alone: every column would
        be missing, and every row wrong.
    """
    sheet = read_sheet(path)
    title = find_headings_below(path.name, sheet, wanted)
    if title is not None:
        raise CohortError((title,))
    return sheet


def _reject(table: str, row: ReadRow, violations: Sequence[Finding]) -> RejectedRow:
    findings = tuple(Finding(f"{table}, {one.where}", one.what, one.remedy) for one in violations)
    return RejectedRow(row.number, row.patient.identifier if row.patient else "", findings)


def _judge_table(table: str, rejected: Sequence[RejectedRow], size: int) -> list[Finding]:
    """A finding on the whole table if most rows are refused, with the column where most of them fail."""
    if len(rejected) < _MANY or 2 * len(rejected) <= size:
        return []
    places: Counter[str] = Counter()
    for row in rejected:
        # "cohort.csv, row 3, column 'age' (G)": rows are compared by what stands behind the row's number
        wheres = [finding.where.partition(f"{table}, row {row.row}")[2] for finding in row.findings]
        places.update(dict.fromkeys(wheres).keys())
    place, number = places.most_common(1)[0]
    where = f", {number} of them in {place.removeprefix(', ')}" if place else ""
    what = f"{len(rejected)} of {size} rows are refused{where}: the table as a whole looks shifted or misread"
    return [Finding(table, what, "look at headings, units and decimal signs of the whole table first")]


def _make_absolute(folder: Path) -> Path:
    """The absolute folder without ".."; links are not followed, so that containment can be compared."""
    return Path(os.path.abspath(folder))  # noqa: PTH100 - Path.absolute keeps "..", Path.resolve follows links


def _find_listed_twice(rows: Sequence[ReadRow]) -> dict[int, list[Finding]]:
    """A finding for every row of a patient who occupies several, by row: nobody knows which of them is right.

    Identifiers that differ only in capitals are one patient.
    """
    same: defaultdict[str, list[Patient]] = defaultdict(list)
    for row in rows:
        if row.patient is not None:
            same[row.patient.identifier.casefold()].append(row.patient)
    findings: dict[int, list[Finding]] = {}
    for group in same.values():
        for patient in group if len(group) > 1 else ():
            others = " and ".join(str(other.row) for other in group if other is not patient)
            findings[patient.row] = [
                Finding(
                    f"row {patient.row}, column 'patient'",
                    f"patient {patient.identifier!r} stands in row {others} too: none of these rows is used",
                    "keep one row a patient; different patients need different names",
                )
            ]
    return findings
