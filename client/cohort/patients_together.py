"""What shows only when all patients of a site lie side by side: shared scans, masks and identities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from client.cohort.cases import MeasuredPatient, MeasuredSite
from client.cohort.header_comparison import PatientHeaders, compare_site_with_headers
from client.cohort.refusals import PatientRefusal, make_refusal
from client.cohort.scan_notes import list_case_notes, locate_patient
from common.cohort.patient import Patient
from common.errors import Finding, Level
from common.imaging.cache import CachedScan
from common.imaging.scan import ScanHeaders


def judge_together(
    table: str, read: Sequence[MeasuredPatient], refused: Iterable[PatientRefusal]
) -> MeasuredSite:
    """The patients who can be used once all are compared, with notes on them.

    Parameters
    ----------
    table : str
        The table's file, for messages.
    read : sequence of MeasuredPatient
        Whose scans can be read.
    refused : iterable of PatientRefusal
        On those whose scans cannot.
    """
    headers = compare_site_with_headers(
        table,
        [
            PatientHeaders(case.patient, _headers_of(case.entry), _headers_of(case.followup_entry))
            for case in read
        ],
    )
    together = (*_find_shared_voxels(table, read), *_find_shared_labels(table, read), *headers.refusals)
    bad = {refusal.patient.identifier for refusal in together}
    kept = tuple(case for case in read if case.patient.identifier not in bad)
    notes = [
        note for case in kept for note in (*list_case_notes(case, table), *_note_copied_mask(table, case))
    ]
    return MeasuredSite(kept, (*refused, *together), (*notes, *headers.notes))


def _headers_of(entry: CachedScan | None) -> ScanHeaders | None:
    return None if entry is None else entry.record.headers


def _find_shared_voxels(table: str, read: Sequence[MeasuredPatient]) -> Iterator[PatientRefusal]:
    """Patients with one scan in different files, as DICOM and NIfTI; equal files were found at intake."""
    uses = _group([(case.patient, entry.record.voxels) for case in read for entry in case.entries.values()])
    refusals = {}
    for patients in uses:
        names = sorted({patient.identifier for patient in patients})
        what = f"one CT, voxel by voxel, stands in the table {len(patients)} times: {', '.join(names)}"
        for patient in patients:
            refusals[patient.identifier] = make_refusal(table, patient, what, "correct the paths")
    yield from refusals.values()


def _find_shared_labels(table: str, read: Sequence[MeasuredPatient]) -> Iterator[PatientRefusal]:
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
        names = sorted({patient.identifier for patient in patients})
        what = f"one mask, label by label, stands in the table for {len(names)} patients: {', '.join(names)}"
        for patient in patients:
            remedy = "find out whose it is, and correct the paths of the others"
            refusals[patient.identifier] = make_refusal(table, patient, what, remedy)
    yield from refusals.values()


def _group(digests: Sequence[tuple[Patient, str]]) -> Iterator[list[Patient]]:
    """The patients of each digest that occurs twice or more."""
    users: defaultdict[str, list[Patient]] = defaultdict(list)
    for patient, digest in digests:
        users[digest].append(patient)
    yield from (patients for patients in users.values() if len(patients) > 1)


def _note_copied_mask(table: str, case: MeasuredPatient) -> Iterator[Finding]:
    """A note if the follow-up's mask is the baseline's: two drawings are never alike."""
    masks = [entry.record.labels for entry in case.entries.values()]
    if len(masks) > 1 and masks[0] == masks[1] != "":
        what = "'followup_mask' holds the same drawing as 'baseline_mask', label by label"
        remedy = "segment the follow-up CT itself; nothing to do if nothing changed"
        yield Finding(locate_patient(table, case.patient), what, remedy, Level.LOOK)
