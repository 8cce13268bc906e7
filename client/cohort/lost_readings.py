"""Repeated readings that cannot be used: the reading is lost, its patient is studied all the same."""

from __future__ import annotations

import filecmp
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.cohort.refusals import find_unreadable_files
from common.cohort.patient import Patient
from common.cohort.repeated_readings import MASK_COLUMN, Reading, column_of_reading
from common.cohort.table import CohortTable
from common.errors import Finding


@dataclass(frozen=True)
class LostReading:
    """A further mask that cannot be used, and why; the patient is studied all the same.

    Attributes
    ----------
    patient : Patient
        Who was read again.
    reading : Reading
        Which further reading it is.
    finding : Finding
        Why it cannot be used, and what to do.
    """

    patient: Patient
    reading: Reading
    finding: Finding


_REMEDY = "correct it, or leave the cell blank; the patient is studied without this reading"


def find_lost_readings(table: CohortTable, patients: Sequence[Patient]) -> Iterator[LostReading]:
    """Further masks that cannot be used by what table and disk show; no pixel is decoded; one finding each.

    Parameters
    ----------
    table : CohortTable
        The site's table.
    patients : sequence of Patient
        The eligible ones.
    """
    uses = Counter(os.path.realpath(path) for patient in table.patients for path in _masks_of(patient))
    for patient in patients:
        for reading, path in patient.repeated_masks.items():
            what = _find_problem(patient, column_of_reading(MASK_COLUMN, reading), path, uses)
            if what:
                yield describe_lost_reading(table.path.name, patient, reading, what)


def describe_lost_reading(table: str, patient: Patient, reading: Reading, what: str) -> LostReading:
    """A reading that cannot be used, with the finding on it; `what` may end with a remedy of its own."""
    where = f"{table}, row {patient.row}, patient {patient.identifier!r}"
    remedy = "" if " -> " in what else _REMEDY
    shown = what if what.startswith("'") else f"{column_of_reading(MASK_COLUMN, reading)!r}: {what}"
    return LostReading(patient, reading, Finding(where, shown, remedy))


def _masks_of(patient: Patient) -> Iterator[Path]:
    named = (patient.baseline_mask, patient.followup_mask, *patient.repeated_masks.values())
    yield from (path for path in named if path is not None)


def _find_problem(patient: Patient, column: str, path: Path, uses: Mapping[str, int]) -> str:
    if patient.baseline_ct is None or patient.baseline_mask is None:
        return f"{column!r} is filled, but baseline CT or mask is blank: there is nothing to compare it with"
    for what, remedy in find_unreadable_files(((column, path),)):
        return f"{what} -> {remedy}; the patient is studied without this reading"
    if uses[os.path.realpath(path)] > 1:
        return f"{column!r}: {path} stands in the table {uses[os.path.realpath(path)]} times"
    if _are_same_bytes(patient.baseline_mask, path):
        return f"{column!r}: {path} is a copy of the first mask, byte by byte, not another reading"
    return ""


def _are_same_bytes(first: Path, second: Path) -> bool:
    return first.is_file() and second.is_file() and filecmp.cmp(first, second, shallow=False)
