"""A hospital's cohort table: one row a patient, every violation reported at once.

Each violation is named with row and column as a spreadsheet shows them. A table with one violation is refused
completely, because a shifted column or a misread decimal sign seldom comes alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from common.cohort.cells import CellReader
from common.cohort.columns import SCHEMA_ALONE, WantedColumns, match_columns
from common.cohort.patient import Patient
from common.cohort.rows import read_row
from common.cohort.sheet import read_sheet
from common.errors import CohortError, Finding

__all__ = ["CohortTable", "Patient", "read_table"]


@dataclass(frozen=True)
class CohortTable:
    """A table without violations.

    Attributes
    ----------
    path : Path
        The CSV or XLSX file.
    patients : tuple of Patient
        In the table's order.
    images : bool
        Whether every patient needs CT and mask: as the study asked, or as the table's columns imply.
    """

    path: Path
    patients: tuple[Patient, ...]
    images: bool = True


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
        With every violation: file, row, column, value, and what to do.
    """
    sheet = read_sheet(path)
    columns, findings = match_columns(path.name, sheet, wanted)
    reader = CellReader(
        sheet.typed, folder=_make_absolute(path.parent), root=_make_absolute(root or path.parent)
    )
    patients: list[Patient] = []
    for row in sheet.rows:
        patient, violations = read_row(row, columns, reader)
        findings += [Finding(f"{path.name}, {v.where}", v.what, v.remedy) for v in violations]
        if patient is not None:
            patients.append(patient)
    findings += _find_listed_twice(path.name, patients)
    if not sheet.rows:
        findings.append(Finding(path.name, "the table has headings but no patients", "add one row a patient"))
    if findings:
        raise CohortError(tuple(findings))
    return CohortTable(path, tuple(patients), columns.images)


def _make_absolute(folder: Path) -> Path:
    """The absolute folder without ".."; links are not followed, so that containment can be compared."""
    return Path(os.path.abspath(folder))  # noqa: PTH100 - Path.absolute keeps "..", Path.resolve follows links


def _find_listed_twice(name: str, patients: list[Patient]) -> list[Finding]:
    """Findings on patients that occupy two rows; identifiers that differ only in capitals are one patient."""
    first: dict[str, Patient] = {}
    findings: list[Finding] = []
    for patient in patients:
        earlier = first.setdefault(patient.identifier.casefold(), patient)
        if earlier is not patient:
            findings.append(
                Finding(
                    f"{name}, row {patient.row}, column 'patient'",
                    f"patient {patient.identifier!r} already stands in row {earlier.row}",
                    "keep one row a patient; different patients need different names",
                )
            )
    return findings
