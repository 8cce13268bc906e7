"""What is said of a patient's scans although nobody is left out for it."""

from __future__ import annotations

import pytest

from client.cohort.cases import MeasuredPatient
from client.cohort.scan_notes import list_case_notes, list_scan_notes
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.errors import Level
from common.imaging.cache import CachedScan, ScanNote, ScanRecord
from common.imaging.scan import IDENTITY_REMARK


@pytest.mark.parametrize(
    ("baseline", "followup", "noted"),
    [
        (Volumes(20, 0), Volumes(0, 20), True),
        (Volumes(20, 0), Volumes(9.9, 0), True),
        (Volumes(2, 0), Volumes(0, 0), True),
        (Volumes(20, 0), Volumes(10, 0), False),
        (Volumes(20, 0), Volumes(30, 5), False),
        (Volumes(1.9, 0), Volumes(0, 1.9), False),
        (Volumes(0, 5), Volumes(0, 5), False),
    ],
)
def test_an_ich_that_is_gone_or_shrunken_at_follow_up_is_to_be_looked_at(baseline, followup, noted):
    case = MeasuredPatient(Patient("P1", 2, None, None, None, None, {}), None, baseline, followup)
    notes = list(list_case_notes(case, "cohort.csv"))
    assert [note.level for note in notes] == [Level.LOOK] * noted
    assert all(f"{followup.ich_ml:.1f} ml at follow-up" in note.what for note in notes)


def scanned(*tags: str) -> CachedScan:
    note = ScanNote(
        where="ct", what=f"{IDENTITY_REMARK}: {', '.join(tags)}", remedy="remove", level=Level.LOOK
    )
    return CachedScan(ScanRecord(ich_ml=0, ivh_ml=0, voxels="", notes=(note,)), {})


@pytest.mark.parametrize(
    ("followup", "columns", "tags"),
    [
        (scanned("PatientName", "PatientID"), "'baseline_ct' and 'followup_ct'", "PatientName, PatientID"),
        (
            scanned("PatientID", "StudyID"),
            "'baseline_ct' and 'followup_ct'",
            "PatientName, PatientID, StudyID",
        ),
        (None, "'baseline_ct'", "PatientName, PatientID"),
    ],
)
def test_that_headers_identify_the_patient_is_said_once_for_all_scans(followup, columns, tags):
    entries = {"baseline": scanned("PatientName", "PatientID"), "followup": followup}
    read = {time: entry for time, entry in entries.items() if entry is not None}

    (note,) = list_scan_notes(Patient("P1", 2, None, None, None, None, {}), read, "cohort.csv")

    assert note.what == f"{columns}: {IDENTITY_REMARK}: {tags}"
    assert (note.where, note.remedy, note.level) == ("cohort.csv, row 2, patient 'P1'", "remove", Level.LOOK)
