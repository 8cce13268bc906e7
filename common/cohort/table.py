"""A hospital's cohort table: one row a patient, every violation reported at once.

Whatever is wrong is named with row and column as a spreadsheet shows them. A table with one violation is
refused as a whole, because a shifted column or a misread decimal sign seldom comes alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from common.cohort.cells import Reader
from common.cohort.columns import SCHEMA_ALONE, Wanted, match_columns
from common.cohort.grid import read_grid
from common.cohort.patient import Patient
from common.cohort.rows import read_row
from common.cohort.schema import VARIABLES
from common.errors import CohortError, Finding

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CohortTable", "Patient", "read_table"]


@dataclass(frozen=True)
class CohortTable:
    """A table without violations.

    Attributes
    ----------
    path : Path
        The file.
    patients : tuple of Patient
        In the table's order.
    ignored : tuple of str
        Headings that are none of the schema's and resemble none; their cells were not looked at.
    images : bool
        Whether every patient needs CT and mask: as was asked, or as the table's own columns say.
    """

    path: Path
    patients: tuple[Patient, ...]
    ignored: tuple[str, ...] = ()
    images: bool = True

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All variables but paths, one row a patient, indexed by identifier.

        Every column of the schema is there. Binary and continuous variables are float64 with NaN for missing
        values, categorical ones pandas Categoricals with the schema's levels.
        """
        import pandas as pd

        index = pd.Index([patient.identifier for patient in self.patients], name="patient", dtype=object)
        columns: dict[str, pd.Series[float] | pd.Categorical] = {}
        for variable in VARIABLES:
            cells = [patient.value(variable.name) for patient in self.patients]
            if variable.kind == "categorical":
                columns[variable.name] = pd.Categorical(cells, categories=list(variable.levels))
            elif variable.kind in {"binary", "continuous"}:
                columns[variable.name] = pd.Series(cells, index=index, dtype="float64")
        return pd.DataFrame(columns, index=index)


def read_table(path: Path, root: Path | None = None, wanted: Wanted = SCHEMA_ALONE) -> CohortTable:
    """The cohort in a CSV or XLSX file.

    Parameters
    ----------
    path : Path
        Relative paths in its cells start from its folder.
    root : Path, optional
        The folder that no path may leave; by default the table's own.
    wanted : Wanted
        What a study needs of it beyond the schema.

    Raises
    ------
    CohortError
        With every violation: file, row, column, value, and what to do.
    """
    grid = read_grid(path)
    columns, findings = match_columns(path.name, grid, wanted)
    reader = Reader(grid.typed, folder=_absolute(path.parent), root=_absolute(root or path.parent))
    patients: list[Patient] = []
    for row in grid.rows:
        patient, refused = read_row(row, columns, reader)
        findings += [Finding(f"{path.name}, {found.where}", found.what, found.remedy) for found in refused]
        if patient is not None:
            patients.append(patient)
    findings += _listed_twice(path.name, patients)
    if not grid.rows:
        findings.append(Finding(path.name, "the table has headings but no patients", "add one row a patient"))
    if findings:
        raise CohortError(tuple(findings))
    return CohortTable(path, tuple(patients), columns.ignored, columns.images)


def _absolute(folder: Path) -> Path:
    """The folder without ".." and without following links, so that containment can be compared."""
    return Path(os.path.abspath(folder))  # noqa: PTH100 - Path.absolute keeps "..", Path.resolve follows links


def _listed_twice(name: str, patients: list[Patient]) -> list[Finding]:
    """Patients on two rows; identifiers that differ only in capitals are one patient."""
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
