"""What a check of a site's folder finds when it reads every scan."""

from __future__ import annotations

import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from client.check import check_site


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


def test_one_outcome_is_found_where_only_the_masks_tell_it(scans_folder, progress):
    for row in scans_folder.rows:
        row["ich_volume_ml"] = row["ivh_volume_ml"] = ""
        row["followup_ich_volume_ml"] = 0

    (finding,) = found(scans_folder, progress)
    assert finding.startswith("cohort.csv: all 8 patients have one outcome: none is with expansion -> ")


def test_a_class_that_bad_scans_leave_without_patients_is_found_with_them(scans_folder, progress):
    for number in (0, 2, 4, 6):
        (scans_folder.root / f"P{number}/ct.nii.gz").write_bytes(b"nothing %d" % number)

    findings = found(scans_folder, progress)

    assert "none is with expansion" in findings[0]
    assert [f"row {row}" in finding for row, finding in zip((2, 4, 6, 8), findings[1:], strict=True)] == [
        True
    ] * 4


def test_every_violation_of_the_settings_is_a_finding_of_its_own(scans_folder, progress):
    folder = scans_folder.finish()
    (folder / "site.toml").write_text('name = "north"\ntable = "cohort.csv"\nfoo = 1\ndevice = "tpu"\n')

    findings = check_site(folder, progress, pixels=True).findings

    assert len(findings) == 2
    assert all(finding.where == "site.toml" for finding in findings)
