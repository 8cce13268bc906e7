"""Swapped scans, two people and wrong rows are found in DICOM's headers; sound ones are passed over."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from sites.commands import run_command
from sites.handmade import make_site, read_rows, write_table
from sites.hospitals import write_series

from client.cohort.header_comparison import (
    PatientHeaders,
    compare_site_with_headers,
    compare_with_headers,
)
from common.cohort.patient import Patient
from common.errors import Level
from common.imaging.scan import ScanHeaders

ADMISSION = datetime.fromisoformat("2024-03-05T10:17:42")


def patient(row=2, **values) -> Patient:
    values = {"sex": "female", "age": 67.0, "ct_to_followup_h": 34.8, **values}
    kept = {name: value for name, value in values.items() if value is not None}
    return Patient(f"P{row}", row, None, None, None, None, kept)


def scan(hours=0.0, **changes) -> ScanHeaders:
    taken = ADMISSION + timedelta(hours=hours)
    facts = {"patient_id": "H77", "sex": "F", "age_years": 67.0, "birth_date": date(1956, 5, 1)}
    return ScanHeaders(**{**facts, "study_date": taken.date(), "taken": taken, **changes})


def found(baseline, followup, **values) -> list[tuple[Level, str]]:
    findings = compare_with_headers("t.csv", patient(**values), baseline, followup)
    assert all(finding.where == "t.csv, row 2, patient 'P2'" for finding in findings)
    return [(finding.level, finding.what) for finding in findings]


def day_alone(hours=0.0) -> ScanHeaders:
    return scan(hours, taken=None)


@pytest.mark.parametrize(
    ("baseline", "followup"),
    [
        (scan(), scan(34.8)),
        (scan(), scan(34.8 + 3.4)),
        (scan(), scan(34.8 - 3.4)),
        (day_alone(), day_alone(34.8)),
        (scan(), day_alone(34.8)),
        (None, scan(34.8)),
        (scan(), None),
        (ScanHeaders(), ScanHeaders()),
        (scan(sex="O"), scan(34.8, sex="")),
        (scan(age_years=66.1), scan(34.8, age_years=68.9)),
        (scan(patient_id=" H77"), scan(34.8, patient_id="H77 ")),
        (scan(patient_id=""), scan(34.8)),
    ],
)
def test_nothing_is_said_of_sound_or_silent_headers(baseline, followup):
    assert found(baseline, followup) == []


@pytest.mark.parametrize("values", [{}, {"ct_to_followup_h": None}, {"ct_to_followup_h": 5.0}])
def test_a_follow_up_before_the_baseline_is_refused(values):
    [(level, what)] = found(scan(34.8), scan(), **values)
    assert level is Level.REFUSED
    assert "the follow-up CT was taken 34.8 h before the baseline CT" in what


def test_a_follow_up_on_an_earlier_day_is_refused():
    [(level, what)] = found(day_alone(34.8), day_alone())
    assert level is Level.REFUSED
    assert "1 day(s) before" in what


@pytest.mark.parametrize(
    ("table_h", "seen_h", "differs"),
    [
        (34.8, 240.0, True),
        (34.8, 34.8 + 3.47, False),
        (34.8, 34.8 + 3.49, True),
        (6.0, 7.0, False),
        (6.0, 7.02, True),
        (6.0, 4.98, True),
    ],
)
def test_an_interval_differs_beyond_an_hour_or_a_tenth(table_h, seen_h, differs):
    findings = found(scan(), scan(seen_h), ct_to_followup_h=table_h)
    assert [level for level, _ in findings] == [Level.LOOK] * differs
    assert (
        not differs or f"is {table_h:g} h, but by DICOM the scans lie {seen_h:.1f} h apart" in findings[0][1]
    )


@pytest.mark.parametrize(("table_h", "differs"), [(0.5, False), (44.0, False), (60.0, True), (72.0, True)])
def test_days_alone_contradict_only_what_no_time_of_day_can_explain(table_h, differs):
    """The 5th and the 6th of March: anything from a minute to two days."""
    findings = found(day_alone(), day_alone(24), ct_to_followup_h=table_h)
    assert bool(findings) == differs


def test_two_people_are_refused_and_their_ids_are_not_shown():
    [(level, what)] = found(scan(), scan(34.8, patient_id="H78"))
    assert level is Level.REFUSED
    assert "PatientID of baseline and follow-up differs" in what
    assert "H7" not in what


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sex": "M"}, "'sex' is female, but DICOM says male"),
        ({"age_years": 70.0}, "'age' is 67 years, but DICOM says 70"),
        ({"age_years": 65.9}, "'age' is 67 years, but DICOM says 66"),
    ],
)
@pytest.mark.parametrize("time", ["baseline", "followup"])
def test_sex_and_age_that_contradict_the_table_are_looked_at(changes, said, time):
    changed = scan(34.8 if time == "followup" else 0, **changes)
    pair = (changed, scan(34.8)) if time == "baseline" else (scan(), changed)
    assert found(*pair) == [(Level.LOOK, f"{said} ('{time}_ct')")]


def test_ages_from_89_on_are_one_age():
    old = scan(age_years=90.0)
    assert found(old, None, age=97.0) == []
    assert found(old, None, age=67.0) != []


def test_another_date_of_birth_is_looked_at_and_not_shown():
    [(level, what)] = found(scan(), scan(34.8, birth_date=date(1956, 5, 2)))
    assert level is Level.LOOK
    assert "1956" not in what


def site(*pairs, **values):
    scans = [PatientHeaders(patient(row, **values), *pair) for row, pair in enumerate(pairs, 2)]
    return compare_site_with_headers("t.csv", scans)


def own_ids(row: int, *, differ=False):
    return scan(patient_id=f"A{row}"), scan(34.8, patient_id=f"B{row}" if differ else f"A{row}")


def test_one_patient_of_two_people_is_refused_among_sound_ones():
    result = site(*(own_ids(row, differ=row == 3) for row in range(8)))
    assert [refusal.patient.row for refusal in result.refusals] == [5]
    assert result.notes == ()


def test_ids_that_differ_for_most_patients_are_the_de_identifications():
    result = site(*(own_ids(row, differ=row != 3) for row in range(8)))
    assert result.refusals == ()
    [note] = result.notes
    assert (note.level, note.where) == (Level.LOOK, "t.csv")
    assert "for 7 of 8 patients (rows 2, 3, 4, 6, 7 and 2 more)" in note.what


def test_two_patients_alone_show_no_habit():
    assert len(site(own_ids(1, differ=True), own_ids(2, differ=True)).refusals) == 2


def test_dates_that_most_patients_contradict_are_said_once_but_swapped_scans_are_refused():
    """De-identification shifted each date by itself; one pair is swapped to the hour."""
    shifts = [-300.0, 500.0, 90.0, -70.0, 1000.0]
    pairs = [(scan(patient_id=f"{i}"), scan(hours, patient_id=f"{i}")) for i, hours in enumerate(shifts)]
    result = site(*pairs, (scan(34.8, patient_id="x"), scan(patient_id="x")))
    assert [refusal.patient.row for refusal in result.refusals] == [7]
    [note] = result.notes
    assert "dates contradict 'ct_to_followup_h' for 5 of 6 patients" in note.what


def test_a_table_whose_columns_are_exchanged_refuses_each_patient():
    result = site(*((scan(34.8, patient_id=f"{i}"), scan(patient_id=f"{i}")) for i in range(5)))
    assert len(result.refusals) == 5


def test_one_date_for_all_is_no_date():
    """Overwritten dates keep the time of day: a follow-up at 8:00 would lie before a baseline at 10:17."""
    pairs = [(scan(patient_id=f"{i}"), scan(-2.0, patient_id=f"{i}")) for i in range(4)]
    result = site(*pairs, ct_to_followup_h=22.0)
    assert result.refusals == ()
    [note] = result.notes
    assert note.level is Level.KNOW
    assert "all 8 scans bear one date" in note.what


def test_one_person_in_two_rows_is_refused_in_both_and_an_id_of_everybody_is_said_once():
    twice = site(own_ids(1), own_ids(2), own_ids(1))
    assert [refusal.patient.row for refusal in twice.refusals] == [2, 4]
    assert all("A1" not in refusal.finding.what for refusal in twice.refusals)
    everybody = site(*((scan(), scan(34.8)) for _ in range(5)))
    assert everybody.refusals == ()
    [note] = everybody.notes
    assert note.level is Level.LOOK
    assert "one PatientID stands in the scans of 5 patients" in note.what


def write_scan(site: Path, row: dict[str, str], time: str, **tags: str) -> None:
    """The patient's baseline as a DICOM series; as the follow-up it has other noise."""
    image = sitk.ReadImage(str(site / "images" / f"{row['patient']}_ct.nii.gz"))
    if time == "followup":
        image = sitk.Cast(image + sitk.Cast(image > 0, image.GetPixelID()), image.GetPixelID())
    folder = site / "dicom" / f"{row['patient']}-{time}"
    write_series(folder, image, seed=folder.name)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        for name, value in tags.items():
            setattr(dataset, name, value)
        dataset.save_as(path)
    row[f"{time}_ct"] = str(folder.relative_to(site))


def test_a_check_holds_the_scans_of_a_folder_against_its_table(tmp_path):
    site = make_site(tmp_path / "a", "a", 4)
    rows = read_rows(site)
    days = (
        ("20240305", "20240306"),
        ("20240306", "20240305"),
        ("20240305", "20240306"),
        ("20240305", "20240315"),
    )
    for row, (first, second) in zip(rows, days, strict=True):
        name = row["patient"]
        row["ct_to_followup_h"] = "24"
        mask = sitk.ReadImage(str(site / row["baseline_mask"]))
        row["followup_mask"] = f"images/{name}_later_mask.nii.gz"
        sitk.WriteImage(sitk.CyclicShift(mask, (1, 0, 0)), str(site / row["followup_mask"]))
        write_scan(site, row, "baseline", PatientID=name, AcquisitionDate=first, AcquisitionTime="101500")
        other = f"{name}x" if row is rows[2] else name
        write_scan(site, row, "followup", PatientID=other, AcquisitionDate=second, AcquisitionTime="101500")
    write_table(site, rows)
    shown = run_command("rhe-client", "check", site).stdout
    said = {row: [line for line in shown.splitlines() if f"row {row}," in line] for row in (2, 3, 4, 5)}
    assert not any("DICOM" in line or "PatientID" in line for line in said[2])
    assert any("the follow-up CT was taken 24.0 h before the baseline CT" in line for line in said[3])
    assert any("the PatientID of baseline and follow-up differs" in line for line in said[4])
    assert any(
        "'ct_to_followup_h' is 24 h, but by DICOM the scans lie 240.0 h apart" in line for line in said[5]
    )
