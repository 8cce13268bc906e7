"""Scans of patients who are refused for another reason: read too, told once, and shown."""

from __future__ import annotations

import csv
import re
from collections import Counter

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from client.cohort import scans
from client.cohort.check import check_site
from client.cohort.prepare import prepare_site
from client.cohort.quality import write_quality_page
from common.errors import CohortError, Level


def spoil(folder, name: str) -> None:
    """A scan that is not in HU."""
    path = folder.root / f"{name}/ct.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(path)) + 1024, str(path))


def check(folder, progress):
    return check_site(folder.finish(), progress, pixels=True)


def about(checkup, row: int) -> list[str]:
    return [str(one) for one in checkup.findings if re.search(rf"row {row}\b", one.where)]


def rename(folder, old: str, new: str) -> None:
    path = folder.finish() / "cohort.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[0][rows[0].index(old)] = new
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


# Whatever refuses the row or the patient, the scan's own fault is told


@pytest.mark.parametrize(
    "other",
    [
        {"age": 999},
        {"patient": ""},
        {"onset_to_ct_h": ""},
        {"baseline_mask": "nowhere.nii"},
        {"followup_ct": "x"},
    ],
)
def test_a_row_that_is_refused_hides_nothing_of_its_scan(scans_folder, progress, other):
    scans_folder.rows[2] |= other
    spoil(scans_folder, "P2")

    checkup = check(scans_folder, progress)

    said = about(checkup, 4)
    assert len(said) >= 2
    assert sum("not in Hounsfield units" in one for one in said) == 1, said
    assert checkup.usable == 7


@pytest.mark.parametrize(("old", "new"), [("age", "agee"), ("patient", "patientt"), ("sex", "age")])
def test_a_heading_that_refuses_the_table_hides_no_scan(scans_folder, progress, old, new):
    spoil(scans_folder, "P2")
    rename(scans_folder, old, new)

    checkup = check_site(scans_folder.root, progress, pixels=True)

    assert any("row 1" in one.where for one in checkup.findings)
    assert sum("not in Hounsfield units" in one.what for one in checkup.findings) == 1
    assert sum("row 4" in one.where for one in checkup.findings if "Hounsfield" in one.what) == 1
    assert (checkup.usable, len(checkup.notes)) == (0, 0)


def test_a_table_of_which_most_rows_are_refused_hides_no_scan(scans_folder, progress):
    for row in scans_folder.rows[:6]:
        row["age"] = 999
    spoil(scans_folder, "P7")

    checkup = check(scans_folder, progress)

    assert "6 of 8 rows are refused" in str(checkup.findings[0])
    assert any("not in Hounsfield units" in one for one in about(checkup, 9))


@pytest.mark.parametrize("column", ["baseline_ct", "baseline_mask", "followup_ct"])
def test_a_misspelt_heading_of_files_is_not_taken_for_files_without_fault(scans_folder, progress, column):
    rename(scans_folder, column, column.replace("_", "-"))

    checkup = check_site(scans_folder.root, progress, pixels=True)

    (note,) = checkup.notes
    assert note.level is Level.LOOK
    assert f"not every scan and mask was read: the table has no column '{column}'" in note.what


def test_a_table_that_cannot_be_read_says_that_no_scan_was(scans_folder, progress):
    folder = scans_folder.finish()
    (folder / "cohort.csv").write_bytes(b"\xff\xfe")

    checkup = check_site(folder, progress, pixels=True)

    assert "the table cannot be read" in checkup.notes[0].what
    assert "scans and masks were not read" in checkup.report().summary


def test_the_other_scan_of_a_patient_whom_one_scan_refuses_has_its_remarks(scans_folder, progress):
    scans_folder.rows[1] |= {"followup_ct": "P1/later.nii.gz", "followup_ich_volume_ml": ""}
    scans_folder.rows[1]["followup_mask"] = "P1/mask.nii.gz"
    (scans_folder.root / "P1/later.nii.gz").write_bytes(b"nothing")
    scans_folder.rows[1]["ich_volume_ml"] = 90

    checkup = check(scans_folder, progress)

    assert any("later.nii.gz" in one for one in about(checkup, 3))
    assert any("90.0 ml in the table" in note.what for note in checkup.notes)


def test_nobody_is_told_twice_that_files_are_shared_and_no_other_patient_is_refused(scans_folder, progress):
    scans_folder.rows[1]["baseline_ct"] = "P0/ct.nii.gz"
    sitk.WriteImage(
        sitk.ReadImage(str(scans_folder.root / "P3/ct.nii.gz")), str(scans_folder.root / "P4/copy.nrrd")
    )
    scans_folder.rows[4] |= {"baseline_ct": "P4/copy.nrrd", "age": 999}

    checkup = check(scans_folder, progress)

    assert Counter(one.where for one in checkup.findings) == {
        "cohort.csv, row 2, patient 'P0'": 1,
        "cohort.csv, row 3, patient 'P1'": 1,
        "cohort.csv, row 6, column 'age' (G)": 1,
        "cohort.csv, row 6, patient 'P4'": 1,
    }
    assert "voxel by voxel" in about(checkup, 6)[1]
    assert checkup.usable == 5


def test_a_person_in_two_rows_is_not_told_that_both_name_one_scan(scans_folder, progress):
    scans_folder.rows[1] = dict(scans_folder.rows[0])

    checkup = check(scans_folder, progress)

    assert len(checkup.findings) == 2
    assert all("stands in row" in one.what for one in checkup.findings)


def test_every_scan_is_decoded_once(scans_folder, progress, monkeypatch):
    scans_folder.rows[2]["age"] = 999
    scans_folder.rows[3]["baseline_mask"] = ""
    mask = scans_folder.root / "P5/mask.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(mask)) * 0, str(mask))
    read = []
    real = scans.read_scan
    monkeypatch.setattr(
        scans, "read_scan", lambda path, options: read.append(path.parent.name) or real(path, options)
    )

    check(scans_folder, progress)

    assert sorted(read) == [f"P{number}" for number in range(8)]


# A preparation, and its page


def test_a_preparation_finds_the_same_and_its_page_shows_who_is_refused(
    scans_folder, progress, small_plan, tmp_path
):
    scans_folder.rows[2]["age"] = 999
    scans_folder.rows[3]["baseline_mask"] = ""
    path = scans_folder.root / "P5/mask.nii.gz"
    mask = sitk.ReadImage(str(path))
    moved = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(mask), -14, axis=2))
    moved.CopyInformation(mask)
    sitk.WriteImage(moved, str(path))
    spoil(scans_folder, "P6")
    folder = scans_folder.finish()

    found = check_site(folder, progress, pixels=True, plan=small_plan())
    for _ in range(2):
        prepared = prepare_site(folder, small_plan(), tmp_path / "cache", progress)
    write_quality_page(prepared, tmp_path / "quality.html")

    assert [str(one) for one in found.findings] == [str(one) for one in prepared.findings]
    assert [case.patient.row for case in prepared.refused] == [4, 5, 7, 8]
    shown = {case.patient.identifier: case.read_overview("baseline") for case in prepared.refused}
    assert [bool(view is not None and view.labels.any()) for view in shown.values()] == [
        True,
        False,
        True,
        False,
    ]
    assert shown["P6"] is None
    text = (tmp_path / "quality.html").read_text()
    refused = text[text.index("<h2>Refused") : text.index("<h2>For information")]
    assert [f"{name}, row {row}, refused" in refused for name, row in (("P2", 4), ("P3", 5), ("P5", 7))] == [
        True
    ] * 3
    assert refused.count("<img") == 3


def test_a_site_that_is_refused_without_its_scans_says_so(scans_folder, progress, small_plan, tmp_path):
    for row in scans_folder.rows:
        row["age"] = 999

    with pytest.raises(CohortError) as refusal:
        prepare_site(scans_folder.finish(), small_plan(), tmp_path / "cache", progress)

    assert "scans and masks were not read" in refusal.value.findings[-1].what
    assert refusal.value.findings[-1].level is Level.KNOW
