"""What shows only when all patients of a site lie side by side: shared scans, masks and identities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from client.cohort.cases import MeasuredPatient, MeasuredSite, RefusedCase
from client.cohort.header_comparison import HeaderFindings, PatientHeaders, compare_site_with_headers
from client.cohort.refusals import PatientRefusal, locate_patient, make_refusal
from client.cohort.scan_notes import list_case_notes, list_scan_notes
from common.cohort.patient import Patient
from common.errors import Finding, Level
from common.imaging.cache import CachedScan
from common.imaging.scan import ScanHeaders

Read: TypeAlias = MeasuredPatient | RefusedCase
"""A patient whose scans were read."""


def judge_together(
    table: str, read: Sequence[MeasuredPatient], refused: Sequence[RefusedCase]
) -> MeasuredSite:
    """The patients who can be used once all are compared, with notes on everybody.

    Parameters
    ----------
    table : str
        The table's file, for messages.
    read : sequence of MeasuredPatient
        Who can be used as far as each is judged alone.
    refused : sequence of RefusedCase
        Who cannot. They are compared too, and told of it; nobody else is refused because of them.
    """
    together = _compare(table, read)
    beside = _compare_refused(table, read, refused)
    bad = {refusal.patient.row for refusal in together.refusals}
    kept = tuple(case for case in read if case.patient.row not in bad)
    fallen = tuple(RefusedCase(case.patient, case.entries) for case in read if case.patient.row in bad)
    notes = [note for case in read for note in list_case_notes(case, table)]
    notes += [note for case in refused for note in list_scan_notes(case.patient, case.entries, table)]
    everybody: tuple[Read, ...] = (*read, *refused)
    notes += [note for case in everybody for note in _note_copied_mask(table, case)]
    shown = sorted((*refused, *fallen), key=lambda case: case.patient.row)
    return MeasuredSite(
        kept,
        (*together.refusals, *beside.refusals),
        (*notes, *together.notes, *beside.notes),
        tuple(shown),
    )


def _compare(table: str, read: Sequence[Read]) -> HeaderFindings:
    """What shows in scans, masks and headers when these patients lie side by side."""
    headers = compare_site_with_headers(
        table,
        [
            PatientHeaders(
                case.patient,
                _headers_of(case.entries.get("baseline")),
                _headers_of(case.entries.get("followup")),
            )
            for case in read
        ],
    )
    shared = (*_find_shared_voxels(table, read), *_find_shared_labels(table, read))
    return HeaderFindings((*shared, *headers.refusals), headers.notes)


def _compare_refused(
    table: str, read: Sequence[MeasuredPatient], refused: Sequence[RefusedCase]
) -> HeaderFindings:
    """What shows of those who are refused already; what is said of all scans was said without them."""
    told = [case for case in refused if not case.shares]
    if not told:
        return HeaderFindings()
    rows = {case.patient.row for case in told}
    wheres = {locate_patient(table, case.patient) for case in told} | (set() if read else {table})
    found = _compare(table, (*read, *told))
    return HeaderFindings(
        tuple(refusal for refusal in found.refusals if refusal.patient.row in rows),
        tuple(note for note in found.notes if note.where in wheres),
    )


def _headers_of(entry: CachedScan | None) -> ScanHeaders | None:
    return None if entry is None else entry.record.headers


def _find_shared_voxels(table: str, read: Sequence[Read]) -> Iterator[PatientRefusal]:
    """Patients with one scan in different files, as DICOM and NIfTI; equal files were found at intake."""
    uses = _group([(case.patient, entry.record.voxels) for case in read for entry in case.entries.values()])
    refusals = {}
    for patients in uses:
        names = sorted({patient.identifier or f"row {patient.row}" for patient in patients})
        what = f"one CT, voxel by voxel, stands in the table {len(patients)} times: {', '.join(names)}"
        for patient in patients:
            refusals[patient.row] = make_refusal(table, patient, what, "correct the paths")
    yield from refusals.values()


def _find_shared_labels(table: str, read: Sequence[Read]) -> Iterator[PatientRefusal]:
    """Patients whose masks are one drawing in different files."""
    uses = _group(
        [
            (case.patient, labels)
            for case in read
            for labels in {entry.record.labels for entry in case.entries.values()} - {""}
        ]
    )
    refusals = {}
    for patients in uses:
        names = sorted({patient.identifier or f"row {patient.row}" for patient in patients})
        what = f"one mask, label by label, stands in the table for {len(names)} patients: {', '.join(names)}"
        for patient in patients:
            remedy = "find out whose it is, and correct the paths of the others"
            refusals[patient.row] = make_refusal(table, patient, what, remedy)
    yield from refusals.values()


def _group(digests: Sequence[tuple[Patient, str]]) -> Iterator[list[Patient]]:
    """The patients of each digest that occurs twice or more, but for one who stands in several rows."""
    users: defaultdict[str, list[Patient]] = defaultdict(list)
    for patient, digest in digests:
        users[digest].append(patient)
    for patients in users.values():
        names, rows = {one.identifier.casefold() for one in patients}, {one.row for one in patients}
        if len(patients) > 1 and (len(names) > 1 or len(rows) == 1 or "" in names):
            yield patients


def _note_copied_mask(table: str, case: Read) -> Iterator[Finding]:
    """A note if the follow-up's mask is the baseline's: two drawings are never alike."""
    masks = [entry.record.labels for entry in case.entries.values()]
    if len(masks) > 1 and masks[0] == masks[1] != "":
        what = "'followup_mask' holds the same drawing as 'baseline_mask', label by label"
        remedy = "segment the follow-up CT itself; nothing to do if nothing changed"
        yield Finding(locate_patient(table, case.patient), what, remedy, Level.LOOK)
