"""What is said of a patient's scans, baseline and follow-up alike, although nobody is left out for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from client.cohort.cases import MeasuredPatient, Time
from client.cohort.contradictions_of_masks import find_contradicted_flags
from client.cohort.refusals import locate_patient
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.errors import Finding, Level
from common.imaging.cache import CachedScan, ScanNote
from common.imaging.scan import IDENTITY_REMARK

_ASSESSED_ML = 2.0
_SHRUNKEN = 0.5
"""No hematoma of this volume (ml) loses so large a share within days, unless it is evacuated."""
_DISAGREEMENT_ML = 1.0
_DISAGREEMENT = 0.2
"""A volume of the table that differs from its mask's by more than both is noted (ml; share of the larger)."""


def list_case_notes(case: MeasuredPatient, table: str) -> Iterator[Finding]:
    """Notes of the scans and masks that were read, and what a mask contradicts in the table.

    Parameters
    ----------
    case : MeasuredPatient
    table : str
        The table's file, for messages.
    """
    yield from list_scan_notes(case.patient, case.entries, table)
    yield from _note_shrunken_ich(locate_patient(table, case.patient), case)
    yield from case.remarks


def list_scan_notes(patient: Patient, entries: Mapping[Time, CachedScan], table: str) -> Iterator[Finding]:
    """Notes of these scans and masks of a patient; `table` is the table's file."""
    where = locate_patient(table, patient)
    for time, entry in entries.items():
        others = [note for note in entry.record.notes if not note.what.startswith(IDENTITY_REMARK)]
        yield from name_notes(where, f"{time}_", others)
        # A mask that could not be read has no digest
        if entry.record.labels:
            measured = Volumes(entry.record.ich_ml, entry.record.ivh_ml)
            yield from compare_volumes(where, time, patient, measured)
            if time == "baseline":
                yield from find_contradicted_flags(where, patient, measured)
    yield from _note_identity(where, entries)


def _note_identity(where: str, entries: Mapping[Time, CachedScan]) -> Iterator[Finding]:
    """One note on the tags that identify the patient, for all scans together."""
    found = {
        f"'{time}_ct'": note
        for time, entry in entries.items()
        for note in entry.record.notes
        if note.what.startswith(IDENTITY_REMARK)
    }
    if not found:
        return
    tags = [tag for note in found.values() for tag in note.what.partition(": ")[2].split(", ")]
    what = f"{' and '.join(found)}: {IDENTITY_REMARK}: {', '.join(dict.fromkeys(tags))}"
    note = next(iter(found.values()))
    yield Finding(where, what, note.remedy, note.level)


def _note_shrunken_ich(where: str, case: MeasuredPatient) -> Iterator[Finding]:
    """A note if the ICH on which the outcome rests is gone at follow-up, or less than half."""
    if case.baseline is None or case.followup is None:
        return
    before_ml, after_ml = case.baseline.ich_ml, case.followup.ich_ml
    if before_ml < _ASSESSED_ML or after_ml >= _SHRUNKEN * before_ml:
        return
    what = f"the ICH has {before_ml:.1f} ml at baseline, {after_ml:.1f} ml at follow-up"
    remedy = "check the follow-up's mask or volumes (slices left out? ICH labelled as IVH?), and for surgery"
    yield Finding(where, what, remedy, Level.LOOK)


def name_notes(where: str, column: str, notes: Sequence[ScanNote]) -> Iterator[Finding]:
    """Notes of the cache as findings; `column` begins the column's name, the part ends it."""
    for note in notes:
        yield Finding(where, f"'{column}{note.where}': {note.what}", note.remedy, note.level)


def compare_volumes(where: str, time: Time, patient: Patient, measured: Volumes) -> Iterator[Finding]:
    """Volumes of the table that differ from the mask's."""
    prefix = "" if time == "baseline" else "followup_"
    given = patient.baseline_volumes if time == "baseline" else patient.followup_volumes
    remedy = f"check both; the {'mask' if given is None else 'table'}'s counts"
    for name, seen_ml in (("ich_volume_ml", measured.ich_ml), ("ivh_volume_ml", measured.ivh_ml)):
        given_ml = patient.number(f"{prefix}{name}")
        if given_ml is None:
            continue
        if abs(given_ml - seen_ml) > max(_DISAGREEMENT_ML, _DISAGREEMENT * max(given_ml, seen_ml)):
            what = f"{prefix}{name} is {given_ml:.1f} ml in the table, {seen_ml:.1f} ml in the mask"
            yield Finding(where, what, remedy, Level.LOOK)
