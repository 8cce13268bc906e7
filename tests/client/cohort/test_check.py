"""What a check of a site's folder finds when it reads every scan."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort

from client.cohort.check import check_site
from client.cohort.prepare import prepare_site
from common.errors import Level
from common.plan.study import StudyPlan


def found(folder, progress):
    return [str(finding) for finding in check_site(folder.finish(), progress, pixels=True).findings]


def test_a_folder_in_order_has_no_findings(scans_folder, progress):
    assert found(scans_folder, progress) == []


def test_one_scan_in_two_formats_is_found_before_any_preparation(scans_folder, progress):
    first = scans_folder.root / "P0/ct.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(first)), str(scans_folder.root / "P3/copy.nrrd"))
    scans_folder.rows[3]["baseline_ct"] = "P3/copy.nrrd"

    findings = found(scans_folder, progress)

    assert [finding.partition(": ")[0] for finding in findings] == [
        "cohort.csv, row 2, patient 'P0'",
        "cohort.csv, row 5, patient 'P3'",
    ]
    assert all("voxel by voxel" in finding for finding in findings)


def test_segments_are_what_the_site_names_them(scans_folder, progress):
    mask = sitk.ReadImage(str(scans_folder.root / "P1/mask.nii.gz"))
    for key, value in {"Name": "clot", "LabelValue": "1", "Layer": "0"}.items():
        mask.SetMetaData(f"Segment0_{key}", value)
    mask.SetMetaData("Segment1_Name", "IVH")
    mask.SetMetaData("Segment1_LabelValue", "2")
    voxels = sitk.GetArrayFromImage(mask)
    z, y, x = np.argwhere(voxels)[-1]
    mask[int(x), int(y), int(z)] = 2
    sitk.WriteImage(mask, str(scans_folder.root / "P1/mask.seg.nrrd"))
    scans_folder.rows[1]["baseline_mask"] = "P1/mask.seg.nrrd"

    (finding,) = found(scans_folder, progress)
    assert "segment 0 'clot' is not known to be ICH or IVH" in finding

    settings = scans_folder.root / "site.toml"
    settings.write_text(settings.read_text() + '[mask]\nich_names = ["clot"]\n')
    assert check_site(scans_folder.root, progress, pixels=True).findings == ()


def test_one_outcome_is_found_where_only_the_masks_tell_it(scans_folder, progress):
    for row in scans_folder.rows:
        row["ich_volume_ml"] = row["ivh_volume_ml"] = ""
        row["followup_ich_volume_ml"] = 0

    checkup = check_site(scans_folder.finish(), progress, pixels=True)
    # An ICH that is gone at follow-up is noted of each patient
    (note,) = [note for note in checkup.notes if "0.0 ml at follow-up" not in note.what]
    assert len(checkup.notes) == 9
    assert str(note).startswith("cohort.csv: all 8 patients have one outcome: none is with expansion -> ")
    assert checkup.findings == ()


def test_a_class_that_bad_scans_leave_without_patients_is_found_with_them(scans_folder, progress):
    for number in (0, 2, 4, 6):
        (scans_folder.root / f"P{number}/ct.nii.gz").write_bytes(b"nothing %d" % number)

    findings, notes = checked(scans_folder.finish(), progress)

    assert "none is with expansion" in notes[0]
    assert [f"row {row}" in finding for row, finding in zip((2, 4, 6, 8), findings, strict=True)] == [
        True
    ] * 4


def test_every_violation_of_the_settings_is_a_finding_of_its_own(scans_folder, progress):
    folder = scans_folder.finish()
    (folder / "site.toml").write_text('name = "north"\ntable = "cohort.csv"\nfoo = 1\ndevice = "tpu"\n')

    findings = check_site(folder, progress, pixels=True).findings

    assert sum(finding.where == "site.toml" for finding in findings) == 2


# For a study


def checked(folder, progress, plan=None, *, pixels=True):
    checkup = check_site(folder, progress, pixels=pixels, plan=plan)
    return [str(finding) for finding in checkup.findings], [str(note) for note in checkup.notes]


SCORES = [{"kind": "scores", "name": "A", "column": "score_a"}]


@pytest.fixture
def scores_plan():
    def plan(role="train", models=SCORES, profile="simulation", **cohort):
        return StudyPlan.model_validate(
            {
                "name": "scores",
                "profile": profile,
                "seed": 1,
                "two_site_ack": True,
                "phases": ["cohort"],
                "sites": [{"name": "north", "role": role}, {"name": "south", "role": "train"}],
                "models": models,
                "cohort": cohort,
            }
        )

    return plan


def test_a_table_alone_is_in_order_with_and_without_its_plan(tmp_path, progress, scores_plan):
    folder = table_only_hospital(tmp_path / "north", "north", 30, scores=("score_a",))

    assert checked(folder, progress, scores_plan()) == ([], [])
    findings, notes = checked(folder, progress)
    assert findings == []
    (note,) = notes
    assert note == (
        "cohort.csv: the table has no columns for images: taken for a site without images -> a study of "
        "networks needs 'baseline_ct' and 'baseline_mask'"
    )


def test_a_table_with_some_image_columns_is_not_taken_for_one_without(tmp_path, progress):
    folder = table_only_hospital(tmp_path / "north", "north", 30)
    write_cohort(folder, [row | {"baseline_CT": "x.nii"} for row in read_cohort(folder)])

    findings, notes = checked(folder, progress)

    assert any("unknown column 'baseline_CT'" in finding for finding in findings)
    assert any("column 'baseline_mask' is missing" in finding for finding in findings)
    (note,) = notes
    assert "not every scan and mask was read: the table has no column 'baseline_ct'" in note


def test_rows_below_a_misspelt_heading_are_not_said_to_be_no_patients(tmp_path, progress):
    folder = table_only_hospital(tmp_path / "north", "north", 30)
    rows = read_cohort(folder)
    write_cohort(folder, [{"agee" if key == "age" else key: row[key] for key in row} for row in rows])

    summary = check_site(folder, progress, pixels=True).report().summary

    of_headings = "30 rows in the table, none counted as a patient or usable because of its headings; "
    assert summary.startswith(f"north: {of_headings}")
    assert "0 patients" not in summary


def test_a_table_that_is_refused_for_its_rows_or_cannot_be_read_says_so_in_the_summary(tmp_path, progress):
    folder = table_only_hospital(tmp_path / "north", "north", 30)
    write_cohort(folder, [row | {"age": 999} for row in read_cohort(folder)])

    assert "30 rows in the table, none counted as a patient or usable because the table is refused" in (
        check_site(folder, progress, pixels=False).report().summary
    )
    (folder / "cohort.csv").unlink()
    assert "north: the table cannot be read: its rows were not counted; 1 refused" in (
        check_site(folder, progress, pixels=False).report().summary
    )


def test_a_plan_of_networks_needs_the_images(tmp_path, progress, small_plan):
    folder = table_only_hospital(tmp_path / "north", "north", 30)

    policy, finding = checked(folder, progress, small_plan())[0]
    assert "columns 'baseline_ct' and 'baseline_mask' are missing" in finding
    assert policy.startswith('site.toml: the plan has profile = "standard"')


def test_a_plans_missing_score_is_found(tmp_path, progress, scores_plan):
    folder = table_only_hospital(tmp_path / "north", "north", 30, scores=("vendor",))

    (finding,), _ = checked(folder, progress, scores_plan())
    assert "column 'score_a' is missing" in finding


@pytest.mark.parametrize("pixels", [True, False])
def test_an_outcome_that_a_part_lacks_is_told_before_any_preparation(
    scans_folder, progress, small_plan, pixels
):
    """3 patients, two of them with expansion: one of each trains, one is tested, none chooses the round."""
    del scans_folder.rows[3:]
    folder = scans_folder.finish()

    findings, notes = checked(folder, progress, small_plan(), pixels=pixels)

    assert findings == []
    (note,) = notes
    assert note == (
        "cohort.csv: the part test has no patient without expansion -> this site's part is left out of what "
        "needs both outcomes, and counts in sums over sites"
    )
    assert checked(folder, progress, small_plan(role="external"), pixels=pixels) == ([], [])
    assert checked(folder, progress, pixels=pixels) == ([], [])


def test_what_bad_scans_leave_is_divided_too(scans_folder, progress, small_plan):
    for number in (0, 2):
        (scans_folder.root / f"P{number}/ct.nii.gz").write_bytes(b"nothing %d" % number)
    folder = scans_folder.finish()

    lacking = "the part validation has no patient with expansion"
    assert lacking in checked(folder, progress, small_plan())[1][0]
    assert checked(folder, progress, small_plan(), pixels=False) == ([], [])


def test_the_plans_outcome_decides(tmp_path, progress, scores_plan):
    """No ICH grows: only the revised definition, by IVH, has expansions."""
    folder = table_only_hospital(tmp_path / "north", "north", 30)
    rows = read_cohort(folder)
    for number, row in enumerate(rows):
        row["followup_ich_volume_ml"] = row["ich_volume_ml"]
        row["followup_ivh_volume_ml"] = float(row["ivh_volume_ml"]) + 2 * (number % 3 == 0)
    write_cohort(folder, rows)

    assert checked(folder, progress, scores_plan())[0] == []
    assert checked(folder, progress, scores_plan())[1] == []
    findings, (note,) = checked(folder, progress, scores_plan(outcome={"endpoint": "cHE"}))
    assert findings == []
    assert "all 30 patients have one outcome" in note


def test_a_measured_volume_beyond_the_plans_range_is_found(scans_folder, progress, scores_plan):
    scans_folder.rows[4] |= {"ich_volume_ml": "", "ivh_volume_ml": ""}
    for number, row in enumerate(scans_folder.rows):
        row["ich_volume_ml"] = "" if number == 4 else 12
        row["followup_ich_volume_ml"] = 12 if number % 2 else 60
    volume = [{"kind": "scores", "name": "volume", "column": "ich_volume_ml", "high": 20.0}]
    folder = scans_folder.finish()

    (finding,), _ = checked(folder, progress, scores_plan(models=volume, profile="standard"))
    assert finding.startswith("cohort.csv, row 6, column 'ich_volume_ml': 28 lies outside 0 to 20")
    assert checked(folder, progress, scores_plan(models=volume, profile="standard"), pixels=False)[0] == []


def test_a_split_is_noted_or_refused(tmp_path, progress, scores_plan):
    habits = Habits(split=("train", "validation", "test"))
    folder = table_only_hospital(tmp_path / "north", "north", 30, habits=habits)

    findings, notes = checked(folder, progress, scores_plan())
    assert findings == []
    assert "divides the patients" in notes[0]
    assert "is not used" in checked(folder, progress, scores_plan("external"))[1][0]
    rows = read_cohort(folder)
    rows[3]["split"] = ""
    write_cohort(folder, rows)
    assert "row 5, column 'split'" in checked(folder, progress, scores_plan())[0][0]
    assert checked(folder, progress)[0] == []


def test_a_plan_without_this_site_is_refused_and_hides_nothing(tmp_path, progress, scores_plan):
    folder = table_only_hospital(tmp_path / "west", "west", 30)
    write_cohort(folder, [row | {"age": 999} if n == 3 else row for n, row in enumerate(read_cohort(folder))])

    unnamed, age = checked(folder, progress, scores_plan(), pixels=False)[0]

    assert unnamed.startswith("site.toml: the plan has no site 'west'; its sites are north, south")
    assert "row 5, column 'age'" in age


# No fault hides another, and what a preparation or a study would refuse is listed


def test_a_settings_file_that_cannot_be_read_breeds_no_other_refusal(tmp_path, progress, scores_plan):
    folder = table_only_hospital(tmp_path / "north", "north", 12, scores=("score_a",))
    (folder / "site.toml").write_text('name = "north"\nsynthetic = true\ntable = cohort.csv\n')

    (finding,), _ = checked(folder, progress, scores_plan(), pixels=False)

    assert "'table = cohort.csv'" in finding


def test_the_policy_is_told_under_the_sites_own_name_and_causes_come_before_consequences(
    tmp_path, progress, scores_plan
):
    folder = table_only_hospital(tmp_path / "west", "west", 12, scores=("score_a",))
    rows = read_cohort(folder)
    write_cohort(folder, [rows[0] | {"age": 999}, *rows[1:]])
    (folder / "site.toml").write_text('name = "west"\ntable = "cohort.csv"\n')

    findings, _ = checked(folder, progress, scores_plan(), pixels=False)

    assert "the plan has no site 'west'" in findings[0]
    assert "site west has patients" in findings[1]
    assert not any("site north" in finding for finding in findings)
    last = next(n for n, finding in enumerate(findings) if "fewer than the site's 20" in finding)
    assert last > next(n for n, finding in enumerate(findings) if "column 'age'" in finding)


def test_faults_of_settings_table_and_images_are_listed_together(scans_folder, progress, small_plan):
    scans_folder.rows[2]["age"] = 999
    (scans_folder.root / "P4/ct.nii.gz").write_bytes(b"nothing")
    folder = scans_folder.finish()
    settings = (folder / "site.toml").read_text()
    (folder / "site.toml").write_text(settings.replace('name = "north"', 'name = "north"\nfoo = 1'))

    checkup = check_site(folder, progress, pixels=True, plan=small_plan())

    places = [finding.where for finding in checkup.findings]
    assert places == [
        "site.toml",
        "cohort.csv, row 4, column 'age' (G)",
        "cohort.csv, row 6, patient 'P4'",
    ]
    assert (checkup.screened, checkup.usable) == (8, 6)
    assert checkup.subject.site == "north"


def test_every_reason_of_the_policy_is_listed_before_the_study(scans_folder, progress, small_plan):
    folder = scans_folder.finish()
    (folder / "site.toml").write_text(
        'name = "north"\ntable = "cohort.csv"\n[policy]\nprofiles = ["replication"]\nmin_patients = 1\n'
        'min_per_class = 1\nphases = ["cohort"]\nmin_sites = 9\n'
    )
    plan = small_plan()
    released = [site.model_copy(update={"model_release": site.name == "north"}) for site in plan.sites]

    findings, _ = checked(folder, progress, plan.model_copy(update={"sites": tuple(released)}), pixels=False)

    assert all(finding.startswith("site.toml: ") for finding in findings)
    for said in ('profile = "standard"', "model trained at north alone", "the phases", "opens sums of"):
        assert sum(said in finding for finding in findings) == 1, findings


@pytest.mark.parametrize("spoil", ["absent", "lost"])
def test_a_lesion_that_the_study_cannot_crop_is_found_by_check_and_preparation_alike(
    scans_folder, progress, small_plan, tmp_path, spoil
):
    path = scans_folder.root / "P1/mask.nii.gz"
    mask = sitk.ReadImage(str(path))
    if spoil == "absent":
        mask *= 2
    else:
        voxels = sitk.GetArrayFromImage(mask)
        kept = np.zeros_like(voxels)
        kept[tuple(np.argwhere(voxels)[0])] = 1
        mask = sitk.GetImageFromArray(kept)
        mask.CopyInformation(sitk.ReadImage(str(path)))
    sitk.WriteImage(mask, str(path))
    plan = small_plan()
    if spoil == "lost":
        coarse = plan.preprocessing.__class__(spacing_mm=(12.0, 12.0, 12.0))
        plan = plan.model_copy(update={"preprocessing": coarse})
    folder = scans_folder.finish()

    findings, _ = checked(folder, progress, plan)
    prepared = prepare_site(folder, plan, tmp_path / "cache", progress)

    assert findings == [str(finding) for finding in prepared.findings]
    assert any("row 3, patient 'P1'" in finding for finding in findings)


def test_a_followup_that_nobody_needs_is_judged_and_costs_nobody(
    scans_folder, progress, small_plan, tmp_path
):
    scans_folder.rows[0] |= {"followup_ct": "P0/later.nii.gz", "followup_mask": "P0/later_mask.nii.gz"}
    for name in ("later", "later_mask"):
        (scans_folder.root / f"P0/{name}.nii.gz").write_bytes(name.encode())
    folder = scans_folder.finish()

    checkup = check_site(folder, progress, pixels=True, plan=small_plan())
    prepared = prepare_site(folder, small_plan(), tmp_path / "cache", progress)

    for findings, notes in ((checkup.findings, checkup.notes), (prepared.findings, prepared.notes)):
        assert findings == ()
        (note,) = [note for note in notes if note.level is Level.LOOK]
        assert "later.nii.gz" in note.what
        assert "the table's volumes are used" in note.what
    assert checkup.usable == len(prepared.cases) == 8


def test_a_copied_followup_mask_and_a_shared_mask_are_told(scans_folder, progress):
    shutil.copytree(scans_folder.root / "P0", scans_folder.root / "later")
    ct = sitk.ReadImage(str(scans_folder.root / "later/ct.nii.gz"))
    sitk.WriteImage(ct + 1, str(scans_folder.root / "later/ct.nii.gz"))
    scans_folder.rows[0] |= {"followup_ct": "later/ct.nii.gz", "followup_mask": "later/mask.nii.gz"}
    mask = sitk.ReadImage(str(scans_folder.root / "P2/mask.nii.gz"))
    sitk.WriteImage(mask, str(scans_folder.root / "P3/other.nrrd"))
    scans_folder.rows[3]["baseline_mask"] = "P3/other.nrrd"

    findings, notes = checked(scans_folder.finish(), progress)

    assert [finding.partition(": ")[0] for finding in findings] == [
        "cohort.csv, row 4, patient 'P2'",
        "cohort.csv, row 5, patient 'P3'",
    ]
    assert all("one mask, label by label" in finding for finding in findings)
    assert any("'followup_mask' holds the same drawing as 'baseline_mask'" in note for note in notes)


@pytest.mark.parametrize(
    ("spoil", "of_the_ct", "of_the_mask"),
    [
        ("shift", "seems shifted by about -51 HU", "the median within the lesion is 12 HU"),
        ("spacing", "its slices are 80x80 mm", "of the mask"),
    ],
)
def test_what_is_known_of_a_ct_stands_before_the_refusal_of_its_mask(
    scans_folder, progress, spoil, of_the_ct, of_the_mask
):
    path = scans_folder.root / "P1/ct.nii.gz"
    ct = sitk.ReadImage(str(path))
    if spoil == "shift":
        ct -= 50
    else:
        ct.SetSpacing((2.0, 2.0, 2.0))
    sitk.WriteImage(ct, str(path))

    first, second = found(scans_folder, progress)

    assert first.startswith("cohort.csv, row 3, patient 'P1': 'baseline_ct': ")
    assert of_the_ct in first
    assert of_the_mask in second


@pytest.mark.parametrize("pixels", [True, False])
def test_the_criteria_are_not_blamed_for_patients_who_are_refused(scans_folder, progress, pixels):
    for number in range(8):
        path = scans_folder.root / f"P{number}/ct.nii.gz"
        path.write_bytes(b"nothing %d" % number)
        if not pixels:
            path.unlink()

    findings, notes = checked(scans_folder.finish(), progress, pixels=pixels)

    assert "0 patients can be used" in findings[-1]
    assert len(findings) == 9
    assert notes == []
