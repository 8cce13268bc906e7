from __future__ import annotations

import csv
import os
import socket

import pytest

from client.cohort import refusals
from client.cohort.findings import find_rare_outcomes, find_too_few
from client.cohort.intake import classify_by_table, inspect_site
from client.membership.site import MARKER, is_marked_synthetic, load_site
from common.cohort.outcome import OutcomeDefinition, Reason
from common.cohort.schema import VARIABLES
from common.errors import CohortError, SiteError
from common.plan.sections import CohortSettings


class Folder:
    """A hospital's folder with as many patients as asked for, every second of whom expands."""

    def __init__(self, root, patients=6):
        self.root = root
        self.rows = [self.patient(i) for i in range(patients)]
        self.settings = (
            'name = "north"\ntable = "cohort.csv"\n[policy]\nmin_patients = 1\nmin_per_class = 1\n'
        )

    def patient(self, index, **changes):
        name = f"p{index}"
        for part in ("ct", "mask", "later", "later-mask"):
            self.file(f"images/{name}-{part}.nii.gz", f"{part} of {name}".encode())
        return {
            "patient": name,
            "baseline_ct": f"images/{name}-ct.nii.gz",
            "baseline_mask": f"images/{name}-mask.nii.gz",
            "followup_ct": f"images/{name}-later.nii.gz",
            "followup_mask": f"images/{name}-later-mask.nii.gz",
            "age": 60,
            "onset_to_ct_h": 3,
            "ct_to_followup_h": 24,
            "primary_ivh": 0,
            "prior_surgery": 0,
            "artefacts": 0,
            "ich_volume_ml": 10,
            "ivh_volume_ml": 0,
            "followup_ich_volume_ml": 20 if index % 2 else 10,
            "followup_ivh_volume_ml": 0,
        } | changes

    def file(self, name, content=b"content"):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def inspect(self, **arguments):
        (self.root / "site.toml").write_text(self.settings)
        with (self.root / "cohort.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [variable.name for variable in VARIABLES])
            writer.writeheader()
            writer.writerows(self.rows)
        return inspect_site(self.root, **arguments)

    def refused(self):
        """Messages about patients, shortened to patient and what is wrong."""
        return [
            (refusal.patient.identifier, refusal.finding.what.replace(f"{self.root}/", ""))
            for refusal in self.inspect().refusals
        ]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


VOLUMES = ("ich_volume_ml", "ivh_volume_ml", "followup_ich_volume_ml", "followup_ivh_volume_ml")


def without_followup_volumes(row):
    return row | {"followup_ich_volume_ml": "", "followup_ivh_volume_ml": ""}


def test_a_good_folder_has_no_findings(folder):
    intake = folder.inspect()

    assert intake.findings == ()
    assert intake.usable == intake.flow.included == intake.table.patients
    assert len(intake.usable) == 6
    assert intake.settings.name == "north"


def test_patients_without_volumes_need_their_masks(folder):
    folder.rows[1] |= dict.fromkeys(VOLUMES, "")
    folder.rows[2] |= {"ivh_volume_ml": ""}
    folder.rows[4] = without_followup_volumes(folder.rows[4])

    intake = folder.inspect()

    assert intake.findings == ()
    unmeasured = [p for p in intake.usable if p.baseline_volumes is None or p.followup_volumes is None]
    assert [patient.identifier for patient in unmeasured] == ["p1", "p2", "p4"]


def test_follow_up_files_are_not_needed_where_volumes_are_given(folder):
    folder.rows[0] |= {"followup_ct": "", "followup_mask": ""}

    assert folder.inspect().findings == ()


def test_excluded_patients_need_no_files(folder):
    folder.rows[0] |= {"age": 12, "baseline_ct": "gone", "baseline_mask": ""}

    intake = folder.inspect()

    assert intake.findings == ()
    assert intake.flow.excluded[0] == 1
    assert len(intake.usable) == 5


def test_one_bad_patient_is_refused_and_the_others_stay(folder):
    folder.rows[3] |= {"baseline_mask": ""}

    intake = folder.inspect()

    (refusal,) = intake.refusals
    assert refusal.finding.where == "cohort.csv, row 5, patient 'p3'"
    assert refusal.finding.what == "'baseline_mask' is blank: a CT without mask"
    assert refusal.finding.remedy == "segment the hematoma and write the mask's path"
    assert intake.site_findings == ()
    assert [patient.identifier for patient in intake.usable] == ["p0", "p1", "p2", "p4", "p5"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"baseline_ct": ""}, "'baseline_ct' is blank: there is no CT"),
        ({"baseline_ct": "images/p3"}, "'baseline_ct': images/p3 does not exist"),
        ({"followup_mask": "images/gone"}, "'followup_mask': images/gone does not exist"),
        ({"baseline_mask": "images/p3-ct.nii.gz"}, "'baseline_ct' and 'baseline_mask' name one file"),
        ({"followup_mask": "images/p3-mask.nii.gz"}, "'baseline_mask' and 'followup_mask' name one file"),
        ({"age": "", "artefacts": ""}, "'age' and 'artefacts' blank: the patient's eligibility is unknown"),
    ],
)
def test_what_the_table_lacks_is_named(folder, changes, what):
    folder.rows[3] |= changes

    assert folder.refused() == [("p3", what)]


def test_a_folder_may_hold_a_ct_and_its_segmentation(folder):
    for path in ("studies/1/a.dcm", "studies/2/b.dcm"):
        folder.file(path, path.encode())
    folder.rows[3] |= {"baseline_ct": "studies/1", "baseline_mask": "studies/1"}
    assert folder.refused() == []

    folder.rows[3] |= {"followup_ct": "studies/2", "followup_mask": "studies/1"}
    what = "'baseline_ct' and 'baseline_mask' and 'followup_mask' name one file"
    assert folder.refused() == [("p3", what)]


@pytest.mark.parametrize(
    ("blank", "named"),
    [
        (("followup_ct",), "'followup_ct'"),
        (("followup_mask",), "'followup_mask'"),
        (("followup_ct", "followup_mask"), "'followup_ct' and 'followup_mask'"),
    ],
)
def test_an_outcome_that_cannot_be_determined_is_named(folder, blank, named):
    folder.rows[3] = without_followup_volumes(folder.rows[3]) | dict.fromkeys(blank, "")

    expected = f"no follow-up volumes, and {named} blank: the outcome cannot be determined"
    assert folder.refused() == [("p3", expected)]


def test_a_name_beside_the_missing_one_is_suggested(folder):
    folder.rows[3] |= {"baseline_ct": "images/p3-ct.nii"}

    assert folder.inspect().refusals[0].finding.remedy == "is 'p3-ct.nii.gz' meant?"


def test_empty_files_and_folders_are_named(folder):
    folder.file("images/p3-ct.nii.gz", b"")
    folder.file("images/dicom/1", b"slice")
    folder.file("images/dicom/2", b"")
    (folder.root / "images/none").mkdir()
    folder.rows[1] |= {"baseline_ct": "images/dicom"}
    folder.rows[2] |= {"baseline_ct": "images/none"}

    assert folder.refused() == [
        ("p1", "'baseline_ct': images/dicom/2 is empty (0 bytes)"),
        ("p2", "'baseline_ct': the folder images/none is empty"),
        ("p3", "'baseline_ct': images/p3-ct.nii.gz is empty (0 bytes)"),
    ]


def test_a_file_closed_to_this_user_is_named(folder, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "p3-ct" not in str(path) and access(path, mode))

    assert folder.refused() == [("p3", "'baseline_ct': images/p3-ct.nii.gz may not be read by this user")]


def test_a_folder_closed_to_this_user_is_named(folder, monkeypatch):
    folder.file("images/dicom/1", b"slice")
    folder.rows[3] |= {"baseline_ct": "images/dicom"}

    def closed(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(refusals, "files_of", closed)

    assert "'baseline_ct': images/dicom cannot be read (Permission denied)" in [
        what for _, what in folder.refused()
    ]


def test_a_missing_folder_has_no_suggestion(folder):
    folder.rows[3] |= {"baseline_ct": "gone/p3-ct.nii.gz"}

    assert folder.inspect().refusals[0].finding.remedy == "correct the path, or bring the file"


def test_a_link_that_leads_nowhere_is_a_missing_file(folder):
    (folder.root / "images/p3-ct.nii.gz").unlink()
    (folder.root / "images/p3-ct.nii.gz").symlink_to("gone")

    assert folder.refused() == [("p3", "'baseline_ct': images/p3-ct.nii.gz does not exist")]


def test_links_out_of_the_folder_are_the_hospitals_own_decision(folder, tmp_path_factory):
    archive = tmp_path_factory.mktemp("archive") / "scan.nii.gz"
    archive.write_bytes(b"a scan in the archive")
    (folder.root / "images/link.nii.gz").symlink_to(archive)
    folder.rows[3] |= {"baseline_ct": "images/link.nii.gz"}

    assert folder.inspect().findings == ()


def test_a_path_out_of_the_folder_refuses_its_row(folder):
    folder.rows[3] |= {"baseline_ct": "../elsewhere"}

    intake = folder.inspect()

    (finding,) = intake.findings
    assert str(finding).startswith("cohort.csv, row 5, column 'baseline_ct' (B): '../elsewhere' leads out")
    assert [patient.identifier for patient in intake.usable] == ["p0", "p1", "p2", "p4", "p5"]
    assert intake.flow.screened == 6


def test_a_table_in_a_folder_of_its_own_reaches_the_whole_site(folder):
    folder.inspect()
    (folder.root / "tables").mkdir()
    text = (folder.root / "cohort.csv").read_text().replace("images/", "../images/")
    (folder.root / "tables/cohort.csv").write_text(text)
    settings = folder.settings.replace("cohort.csv", "tables/cohort.csv")
    (folder.root / "site.toml").write_text(settings)

    assert inspect_site(folder.root).findings == ()


# Two patients with one scan


def test_two_patients_with_one_path_are_both_refused(folder):
    folder.rows[4] |= {"baseline_ct": folder.rows[1]["baseline_ct"]}

    intake = folder.inspect()

    assert [refusal.finding.what.replace(f"{folder.root}/", "") for refusal in intake.refusals] == [
        "'baseline_ct' (images/p1-ct.nii.gz) holds the same file as 'baseline_ct' of patient 'p4' (row 6)",
        "'baseline_ct' (images/p1-ct.nii.gz) holds the same file as 'baseline_ct' of patient 'p1' (row 3)",
    ]
    assert [patient.identifier for patient in intake.usable] == ["p0", "p2", "p3", "p5"]
    assert intake.site_findings == ()


def test_two_patients_with_the_same_bytes_are_both_refused(folder):
    folder.file("images/p4-later.nii.gz", b"ct of p1")

    assert [name for name, _ in folder.refused()] == ["p1", "p4"]


def test_a_series_copied_under_other_names_is_found(folder):
    for index in range(3):
        folder.file(f"a/{index}.dcm", b"slice %d" % index)
        folder.file(f"b/IM{9 - index}", b"slice %d" % index)
    folder.rows[0] |= {"baseline_ct": "a"}
    folder.rows[5] |= {"baseline_ct": "b"}

    assert [name for name, _ in folder.refused()] == ["p0", "p5"]


def test_a_follow_up_that_is_the_baseline_is_refused(folder):
    folder.rows[3] |= {"followup_ct": folder.rows[3]["baseline_ct"]}

    assert [name for name, _ in folder.refused()] == ["p3", "p3"]


def test_a_scan_shared_with_an_excluded_patient_is_found(folder):
    folder.rows[0] |= {"age": 12, "baseline_ct": folder.rows[1]["baseline_ct"]}

    assert [name for name, _ in folder.refused()] == ["p1"]


def test_two_patients_with_one_mask_are_refused_but_equal_masks_are_not(folder):
    folder.file("images/p0-mask.nii.gz", b"same")
    folder.file("images/p1-mask.nii.gz", b"same")
    folder.rows[4] |= {"baseline_mask": folder.rows[2]["baseline_mask"]}
    (folder.root / "images/link.nii.gz").symlink_to("p3-mask.nii.gz")
    folder.rows[5] |= {"baseline_mask": "images/link.nii.gz"}

    assert [name for name, _ in folder.refused()] == ["p2", "p4", "p3", "p5"]


# What stops the site


def test_too_few_patients_stop_the_site(folder):
    folder.settings = folder.settings.replace("min_patients = 1", "min_patients = 6")
    assert folder.inspect().site_findings == ()

    folder.rows[3] |= {"baseline_mask": ""}
    (finding,) = folder.inspect().site_findings
    assert str(finding).startswith("cohort.csv: 5 patients can be used, fewer than the site's 6 -> mend")


def test_a_site_with_three_patients_is_stopped_by_default(tmp_path):
    folder = Folder(tmp_path, patients=3)
    folder.settings = 'name = "north"\ntable = "cohort.csv"\n'

    found = [finding.what for finding in folder.inspect().site_findings]

    assert found == [
        "3 patients can be used, fewer than the site's 20",
        "1 patients with expansion, fewer than the site's 10",
        "2 patients without expansion, fewer than the site's 10",
    ]


@pytest.mark.parametrize(("index", "name"), [(0, "with"), (1, "without")])
def test_a_single_class_is_told_and_stops_nothing(folder, index, name):
    folder.rows = [row | {"followup_ich_volume_ml": 20 if index else 10} for row in folder.rows]

    intake = folder.inspect()

    (note,) = intake.cohort.notes
    assert note.what == f"all 6 patients have one outcome: none is {name} expansion"
    assert note.remedy.startswith("the site is left out of what needs both outcomes, by name")
    assert intake.site_findings == ()


def test_classes_are_not_judged_before_all_volumes_are_known(folder):
    folder.rows = [row | {"followup_ich_volume_ml": 10} for row in folder.rows]
    folder.rows[0] = without_followup_volumes(folder.rows[0])

    assert folder.inspect().cohort.notes == ()


def test_the_plans_definition_decides_the_classes(folder, small_plan):
    folder.rows = [
        row | {"followup_ich_volume_ml": 10, "followup_ivh_volume_ml": i % 2}
        for i, row in enumerate(folder.rows)
    ]

    assert folder.inspect().cohort.notes == ()
    conventional = small_plan().model_copy(
        update={"cohort": CohortSettings(outcome=OutcomeDefinition(endpoint="cHE"))}
    )
    assert len(folder.inspect(plan=conventional).cohort.notes) == 1


def test_nobody_left_by_the_criteria_is_told_and_stops_nothing(folder):
    folder.rows = [row | {"age": 3} for row in folder.rows]

    intake = folder.inspect()

    assert intake.findings == ()
    assert [str(note) for note in intake.cohort.notes] == [
        "cohort.csv: the criteria leave no patient -> the site adds nothing to the study: check the units"
    ]


def test_nobody_left_by_findings_stops_the_site_until_they_are_mended(folder):
    folder.rows = [row | {"baseline_mask": ""} for row in folder.rows]

    assert [finding.what for finding in folder.inspect().site_findings] == [
        "0 patients can be used, fewer than the site's 1"
    ]


def test_marker_and_declaration_must_agree(folder):
    folder.settings = 'synthetic = true\nname = "north"\ntable = "cohort.csv"\n'
    (finding,) = folder.inspect().findings
    assert "synthetic = true, but the folder has no SYNTHETIC.json" in finding.what

    (folder.root / MARKER).write_text('{"generator": "rhe-simulate"}')
    assert folder.inspect().findings == ()

    folder.settings = (
        folder.settings.replace("synthetic = true", "synthetic = false") + "[policy]\nmin_patients = 1\n"
    )
    found = [finding.what for finding in folder.inspect().findings]
    assert found[0].startswith("the folder's SYNTHETIC.json says that its patients are simulated")


def test_a_missing_table_or_site_file_is_refused(folder):
    with pytest.raises(SiteError):
        inspect_site(folder.root)
    folder.settings = 'name = "north"\ntable = "other.csv"\n'
    with pytest.raises(CohortError, match=r"other\.csv: no such file -> correct `table` in site\.toml"):
        folder.inspect()


# Pieces


def test_findings_about_size_and_classes_stop_the_site(folder):
    folder.settings = 'name = "north"\ntable = "cohort.csv"\n[policy]\nmin_patients = 4\nmin_per_class = 2\n'
    folder.inspect()
    settings = load_site(folder.root)

    assert find_too_few(settings, 4, refused=True) == ()
    assert len(find_too_few(settings, 3, refused=False)) == 1
    assert len(find_too_few(settings, 0, refused=True)) == 1
    assert find_too_few(settings, 0, refused=False) == ()
    assert find_rare_outcomes(settings, [True, True, False, False]) == ()
    assert find_rare_outcomes(settings, []) == ()
    assert find_rare_outcomes(settings, [True] * 4) == find_rare_outcomes(settings, [False] * 4) == ()
    assert [f.what for f in find_rare_outcomes(settings, [True, False, False, False])] == [
        "1 patients with expansion, fewer than the site's 2"
    ]
    assert len(find_rare_outcomes(settings, [True, False])) == 2


def test_the_outcome_by_given_volumes(folder):
    folder.rows[0] |= {"followup_ivh_volume_ml": 2}
    patients = folder.inspect().usable

    assert classify_by_table(patients[0], OutcomeDefinition()).reasons == (
        Reason.IVH_GROWTH,
        Reason.IVH_DE_NOVO,
    )
    folder.rows[0] = without_followup_volumes(folder.rows[0])
    assert classify_by_table(folder.inspect().usable[0], OutcomeDefinition()) is None


# What is no file


@pytest.mark.parametrize("column", ["baseline_ct", "baseline_mask", "followup_ct", "followup_mask"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_refused_at_once(folder, column, kind):
    for index in (1, 2):
        path = folder.root / f"images/odd-{index}.nii"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(os.path.relpath(path))
        else:
            path.symlink_to(("/dev/zero", "/dev/full")[index - 1])
        folder.rows[index][column] = f"images/odd-{index}.nii"

    expected = "neither a file nor a folder (a pipe, a socket or a device)"
    assert [(name, expected in what) for name, what in folder.refused()] == [("p1", True), ("p2", True)]


def test_nobody_waits_for_a_pipe_in_a_folder_of_dicom_files(folder):
    for index in (1, 2):
        folder.file(f"dicom/{index}/slice", b"slice")
        os.mkfifo(folder.root / f"dicom/{index}/pipe")
        folder.rows[index]["baseline_ct"] = f"dicom/{index}"

    assert {name for name, what in folder.refused() if "same file" in what} == {"p1", "p2"}


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("cohort.csv", inspect_site),
        ("site.toml", load_site),
        (MARKER, is_marked_synthetic),
    ],
)
def test_nobody_waits_for_a_pipe_in_place_of_settings_table_or_marker(folder, name, read):
    folder.inspect()
    (folder.root / name).unlink(missing_ok=True)
    os.mkfifo(folder.root / name)

    with pytest.raises((SiteError, CohortError), match="it is no file"):
        read(folder.root)
