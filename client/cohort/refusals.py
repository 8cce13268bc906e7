"""Patients who cannot be used, by what table and disk show; no pixel is decoded."""

from __future__ import annotations

import difflib
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from client.cohort.duplicates import ScanUse, files_of, find_same_scans
from client.cohort.patient_needs import PatientNeeds
from common.cohort.eligibility import Flow
from common.cohort.table import CohortTable, Patient
from common.errors import Finding

Files: TypeAlias = tuple[tuple[str, Path], ...]
"""Columns of one patient's row with their paths."""

_SCANS = frozenset({"baseline_ct", "followup_ct"})
_PAIRS = ({"baseline_ct", "baseline_mask"}, {"followup_ct", "followup_mask"})


@dataclass(frozen=True)
class PatientRefusal:
    """One patient who cannot be used, and why.

    Attributes
    ----------
    patient : Patient
        Who is refused; the others are still processed.
    finding : Finding
        Why, and what to do.
    shares : bool
        Whether it is that another row names the same files: what their scans have in common is known.
    """

    patient: Patient
    finding: Finding
    shares: bool = False


def refuse_patients(table: CohortTable, flow: Flow, needs: PatientNeeds) -> Iterator[PatientRefusal]:
    """Every reason for which an eligible patient cannot be used, or whose eligibility is unknown.

    Files of rows that cannot be used for other reasons are looked at too.

    Parameters
    ----------
    table : CohortTable
        The patients.
    flow : Flow
        Who is eligible.
    needs : PatientNeeds
        What nobody can be studied without.
    """
    name = table.path.name
    for undecided in flow.undecided:
        columns = " and ".join(repr(column) for column in undecided.missing)
        what = f"{columns} blank: the patient's eligibility is unknown"
        remedy = "write the values"
        if "onset_to_ct_h" in undecided.missing:
            remedy += " (last seen well counts as onset)"
        yield make_refusal(name, undecided.patient, what, remedy)
    wanted = (*flow.included, *(undecided.patient for undecided in flow.undecided))
    for patient in wanted:
        incomplete = _find_missing_inputs(patient, needs)
        # A table whose headings are wrong lacks what they name
        for what, remedy in () if table.stops else incomplete:
            yield make_refusal(name, patient, what, remedy)
    for patient in (*wanted, *(row.readable for row in table.rejected)):
        files = list_needed_files(patient, needs)
        for what, remedy in (*find_unreadable_files(files), *_find_repeated_files(files)):
            yield make_refusal(name, patient, what, remedy)
    rows = {patient.row for patient in wanted}
    for group in (*find_same_scans(_list_scans(table, needs)), *_find_same_masks(table, needs)):
        yield from (_refuse_shared(name, use, group) for use in group if use.patient.row in rows)


def make_refusal(table: str, patient: Patient, what: str, remedy: str) -> PatientRefusal:
    """The refusal of one patient; `table` is the file's name."""
    return PatientRefusal(patient, Finding(locate_patient(table, patient), what, remedy))


def locate_patient(table: str, patient: Patient) -> str:
    """Where a finding on a patient stands: file, row, and identifier if there is one."""
    name = f", patient {patient.identifier!r}" if patient.identifier else ""
    return f"{table}, row {patient.row}{name}"


def _find_missing_inputs(patient: Patient, needs: PatientNeeds) -> Iterator[tuple[str, str]]:
    """What the study needs and the table does not name, or volumes that it does not give and no mask can."""
    if needs.images:
        if patient.baseline_ct is None:
            yield "'baseline_ct' is blank: there is no CT", "write the path of the CT"
        if patient.baseline_mask is None:
            yield (
                "'baseline_mask' is blank: a CT without mask",
                "segment the hematoma and write the mask's path",
            )
    elif needs.volumes and patient.baseline_volumes is None:
        yield from _explain_unknown_volumes(patient, "baseline", "baseline")
    if needs.volumes and patient.followup_volumes is None:
        yield from _explain_unknown_volumes(patient, "followup", "follow-up")
    outcome = needs.outcome
    if not outcome.by_volumes and patient.value(outcome.column) is None:
        what = f"{outcome.column!r} is blank: whether there was {outcome.label!r} is unknown"
        yield what, f"write 1 for yes ({outcome.meaning}), 0 for no"


def _explain_unknown_volumes(patient: Patient, time: str, name: str) -> Iterator[tuple[str, str]]:
    named = dict(patient.files)
    blank = [repr(column) for column in (f"{time}_ct", f"{time}_mask") if column not in named]
    if blank:
        yield (
            f"no {name} volumes, and {' and '.join(blank)} blank: the outcome cannot be determined",
            f"give {name} CT and mask, or both {name} volumes",
        )


def list_needed_files(patient: Patient, needs: PatientNeeds) -> Files:
    """Columns and paths of the files that a study reads, or could read, of a patient.

    Where no network looks at the CT, files are read only where the table lacks volumes that are needed.
    """
    if needs.images:
        wanted = {"baseline", *(["followup"] if needs.volumes else [])}
    else:
        given = (
            ("baseline", patient.baseline_volumes, needs.baseline_volumes),
            ("followup", patient.followup_volumes, needs.volumes),
        )
        wanted = {time for time, volumes, needed in given if needed and volumes is None}
    return tuple((column, path) for column, path in patient.files if column.split("_")[0] in wanted)


def find_unreadable_files(files: Files) -> Iterator[tuple[str, str]]:
    """Files that are not there, empty, closed to this user, or none."""
    for column, path in files:
        if not path.exists():
            near = _find_resembling(path)
            remedy = f"is {near!r} meant?" if near else "correct the path, or bring the file"
            yield f"{column!r}: {path} does not exist", remedy
            continue
        try:
            if not path.is_file() and not path.is_dir():
                what = f"{column!r}: {path} is neither a file nor a folder (a pipe, a socket or a device)"
                yield what, "correct the path, or bring the file"
                continue
            parts = files_of(path)
            empty = [file for file in parts if file.stat().st_size == 0]
        except OSError as failure:
            yield f"{column!r}: {path} cannot be read ({failure.strerror})", "check permissions and links"
            continue
        closed = [file for file in parts if not os.access(file, os.R_OK)]
        if not parts:
            yield f"{column!r}: the folder {path} is empty", "bring the DICOM files"
        if empty:
            yield f"{column!r}: {empty[0]} is empty (0 bytes)", "copy the file again"
        if closed:
            yield f"{column!r}: {closed[0]} may not be read by this user", "change its permissions"


def _find_resembling(path: Path) -> str | None:
    """A file beside the missing one that has nearly its name."""
    if not path.parent.is_dir():
        return None
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
    return near[0] if near else None


def _find_repeated_files(files: Files) -> Iterator[tuple[str, str]]:
    """One file in two columns of one patient, such as a CT as its own mask (two CTs: `find_same_scans`).

    A DICOM folder may hold a CT and its segmentation; whether it does is seen when it is read.
    """
    columns: defaultdict[str, list[str]] = defaultdict(list)
    for column, path in files:
        columns[os.path.realpath(path)].append(column)
    for place, names in columns.items():
        if Path(place).is_dir() and set(names) in _PAIRS:
            continue
        if len(names) > 1 and not _SCANS.issuperset(names):
            yield f"{' and '.join(map(repr, names))} name one file", "correct the paths"


def _list_scans(table: CohortTable, needs: PatientNeeds) -> Iterator[ScanUse]:
    """Every CT of the table that is needed and exists, of excluded patients too."""
    for patient in table.patients:
        for column, path in list_needed_files(patient, needs):
            if column in _SCANS and path.exists():
                yield ScanUse(patient, column, path)


def _find_same_masks(table: CohortTable, needs: PatientNeeds) -> Iterator[tuple[ScanUse, ...]]:
    """Masks that several patients name; equal bytes alone prove nothing, because empty masks are alike."""
    uses: defaultdict[str, list[ScanUse]] = defaultdict(list)
    for patient in table.patients:
        for column, path in list_needed_files(patient, needs):
            if column not in _SCANS:
                uses[os.path.realpath(path)].append(ScanUse(patient, column, path))
    for group in uses.values():
        if len({use.patient.identifier for use in group}) > 1:
            yield tuple(group)


def _refuse_shared(table: str, use: ScanUse, group: tuple[ScanUse, ...]) -> PatientRefusal:
    others = ", ".join(
        f"{other.column!r} of patient {other.patient.identifier!r} (row {other.patient.row})"
        for other in group
        if other is not use
    )
    what = f"{use.column!r} ({use.path}) holds the same file as {others}"
    refusal = make_refusal(
        table, use.patient, what, "find out whose it is, and correct the paths of all of them"
    )
    return replace(refusal, shares=True)
