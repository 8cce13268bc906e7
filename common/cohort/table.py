"""A hospital's cohort table: one row a patient, every violation reported at once.

Each violation is named with row and column as a spreadsheet shows them, and costs its row alone. The whole
table is refused where its headings are wrong, or where most rows are: a shifted column or another unit shows
in many rows, and those that still pass cannot be trusted.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.cohort.arrangement import arrange_sheet
from common.cohort.cells import CellReader
from common.cohort.columns import SCHEMA_ALONE, WantedColumns, find_headings_below, match_columns
from common.cohort.patient import Patient
from common.cohort.rows import ReadRow, read_row
from common.cohort.schema import VARIABLES
from common.cohort.sheet import TableSheet
from common.cohort.sheet_file import read_sheet
from common.cohort.sheet_layout import find_merged_cells, find_merged_headings, note_layout
from common.cohort.spelling import compare_identifier
from common.cohort.table_mapping import TableMapping
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
        Every violation; none where only the identifiers' column is missing.
    readable : Patient
        What could be read of the row: never studied, but its scans are looked at for what is wrong with them.
    """

    row: int
    identifier: str
    findings: tuple[Finding, ...]
    readable: Patient


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
    stops : tuple of Finding
        What refuses the table as a whole: nobody of it is studied.
    unread_files : tuple of str
        Columns of files that the table lacks or misspells.
    wrong_headings : bool
        Whether headings refuse it.
    """

    path: Path
    patients: tuple[Patient, ...]
    images: bool = True
    rejected: tuple[RejectedRow, ...] = ()
    notes: tuple[Finding, ...] = ()
    stops: tuple[Finding, ...] = ()
    unread_files: tuple[str, ...] = ()
    wrong_headings: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether nobody of it can be studied."""
        return bool(self.stops) or not self.patients

    @property
    def violations(self) -> tuple[Finding, ...]:
        """What is wrong with the table as a whole, then with its rows."""
        return (*self.stops, *(finding for row in self.rejected for finding in row.findings))

    @property
    def size(self) -> int:
        """Number of rows below the heading, rejected ones too."""
        return len(self.patients) + len(self.rejected)


def read_table(
    path: Path,
    root: Path | None = None,
    wanted: WantedColumns = SCHEMA_ALONE,
    mapping: TableMapping | None = None,
) -> CohortTable:
    """The cohort in a CSV or XLSX file.

    Parameters
    ----------
    path : Path
        Relative paths in its cells start from its folder.
    root : Path, optional
        The folder that no path may leave; by default the table's own.
    wanted : WantedColumns
        What the study needs beyond the schema.
    mapping : TableMapping, optional
        How the hospital's own table is read; by default it is one as the documentation describes it.

    Raises
    ------
    CohortError
        If the file cannot be read, a heading is wrong or missing, or most rows are refused; with every
        violation: file, row, column, value, and what to do.
    """
    table = read_faulty_table(path, root, wanted, mapping)
    if table.is_refused:
        raise CohortError(table.violations)
    return table


def read_faulty_table(
    path: Path,
    root: Path | None = None,
    wanted: WantedColumns = SCHEMA_ALONE,
    mapping: TableMapping | None = None,
) -> CohortTable:
    """As `read_table`, but a table that is refused is returned, with what can be read of its rows.

    Raises
    ------
    CohortError
        If the file cannot be read, or a title stands above the headings.
    """
    arranged = arrange_sheet(
        path.name, _read_sheet(path, wanted, mapping), mapping, (*VARIABLES, *wanted.declared)
    )
    sheet = arranged.sheet
    columns, findings = match_columns(path.name, sheet, wanted, arranged.sources)
    findings = [*arranged.stops, *findings, *find_merged_headings(path.name, sheet, columns)]
    wrong_headings = bool(findings)
    reader = CellReader(
        sheet.typed, folder=_make_absolute(path.parent), root=_make_absolute(root or path.parent)
    )
    rows = [read_row(row, columns, reader) for row in sheet.rows]
    good, rejected = _sort_rows(path.name, rows, find_merged_cells(sheet, columns))
    if not rows:
        findings.append(Finding(path.name, "the table has headings but no patients", "add one row a patient"))
    if rows and not sheet.typed and len(sheet.rows[-1].cells) < columns.width:
        what = f"the last row ({rows[-1].number}) ends too early: rows after it may be lost"
        findings.append(Finding(path.name, what, "was the file cut off? export or copy it again"))
    findings += _judge_table(path.name, [row for row in rejected if row.findings], len(rows))
    doubts = () if findings else find_unit_doubts(path.name, columns, good)
    return CohortTable(
        path=path,
        patients=tuple(good),
        images=columns.images,
        rejected=tuple(rejected),
        notes=(*arranged.notes, *note_layout(path.name, sheet, columns), *doubts),
        stops=tuple(findings),
        unread_files=columns.unread_files,
        wrong_headings=wrong_headings,
    )


def _read_sheet(path: Path, wanted: WantedColumns, mapping: TableMapping | None) -> TableSheet:
    """The table as it was written.

    Raises
    ------
    CohortError
        If the file cannot be read. If a title stands above the headings, with that alone: every column would
        be missing, and every row wrong.
    """
    if mapping is not None:
        return read_sheet(path, mapping.options)
    sheet = read_sheet(path)
    title = find_headings_below(path.name, sheet, wanted)
    if title is not None:
        raise CohortError((title,))
    return sheet


def _sort_rows(
    table: str, rows: Sequence[ReadRow], merged: Mapping[int, Sequence[Finding]]
) -> tuple[list[Patient], list[RejectedRow]]:
    """Patients of the rows that can be used, and the other rows; `merged` are violations by row."""
    twice = _find_listed_twice(rows)
    good, rejected = list[Patient](), list[RejectedRow]()
    for row in rows:
        violations = (*row.findings, *merged.get(row.number, ()), *twice.get(row.number, ()))
        if row.patient is not None and not violations:
            good.append(row.patient)
        else:
            rejected.append(_reject(table, row, violations))
    return good, rejected


def _reject(table: str, row: ReadRow, violations: Sequence[Finding]) -> RejectedRow:
    findings = tuple(Finding(f"{table}, {one.where}", one.what, one.remedy) for one in violations)
    return RejectedRow(row.number, row.readable.identifier, findings, row.readable)


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

    Identifiers that differ only in capitals, or as 12 and 12.0, are one patient.
    """
    same: defaultdict[str, list[Patient]] = defaultdict(list)
    for row in rows:
        if row.patient is not None:
            same[compare_identifier(row.patient.identifier)].append(row.patient)
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
