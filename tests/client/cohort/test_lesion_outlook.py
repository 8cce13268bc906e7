"""What a preparation says of lesions of which nothing can be computed, a check says too."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from rich.progress import Progress
from sites.handmade import make_site, read_rows, write_table

from client.cohort import scans
from client.cohort.check import check_site
from client.cohort.prepare import prepare_site
from common.plan.study import StudyPlan

RADIOMICS = {
    "models": [{"kind": "logistic", "name": "Combined", "covariates": ["radiomics"]}],
    "radiomics": {"readings": ["inter"], "voi": "ICH"},
    "phases": ["training"],
}
AGREEMENT = {
    "models": [{"kind": "logistic", "name": "Volume", "covariates": ["ich_volume_ml"]}],
    "phases": ["agreement"],
}


def a_plan(**changes):
    settings = {
        "name": "Outlook",
        "seed": 1,
        "threads": 1,
        "profile": "simulation",
        "two_site_ack": True,
        "sites": [{"name": name, "role": "train"} for name in ("a", "b")],
    }
    return StudyPlan.model_validate(settings | changes)


def redraw(root, row, column, change):
    image = sitk.ReadImage(str(root / row["baseline_mask"]))
    changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
    changed.CopyInformation(image)
    row[column] = f"images/{row['patient']}_{column}.nii.gz"
    sitk.WriteImage(changed, str(root / row[column]))


def relabel(voxels):
    return np.where(voxels > 0, 2, 0).astype(np.uint8)


@pytest.fixture
def root(tmp_path):
    """Four patients; the further mask of the first and the own mask of the last have no ICH."""
    root = make_site(tmp_path / "a", "a", 4)
    rows = read_rows(root)
    for row in rows:
        row["baseline_mask_second_reader"] = ""
    redraw(root, rows[0], "baseline_mask_second_reader", relabel)
    redraw(root, rows[3], "baseline_mask", relabel)
    write_table(root, rows)
    return root


@pytest.mark.parametrize("study", [RADIOMICS, AGREEMENT])
def test_a_check_says_what_a_preparation_says_of_lesions(root, tmp_path, study):
    plan, progress = a_plan(**study), Progress(disable=True)

    checkup = check_site(root, progress, pixels=True, plan=plan)
    prepared = prepare_site(root, plan, tmp_path / "cache", progress)

    assert {*map(str, checkup.findings)} == {*map(str, prepared.findings)}
    made = {str(note) for note in prepared.notes if "features do not exist" not in note.what}
    assert {*map(str, checkup.notes)} == made
    text = " ".join([*map(str, checkup.findings), *made])
    assert text.count("no voxel of ICH") == (2 if study is RADIOMICS else 1)
    assert text.count("no radiomics: ") == (1 if study is RADIOMICS else 0)
    assert text.count("no computed suggestion") == (0 if study is RADIOMICS else 1)


def test_no_ct_is_decoded_twice_for_further_masks_and_suggestions(root, monkeypatch):
    read, real = [], scans.read_scan
    monkeypatch.setattr(scans, "read_scan", lambda path, options: read.append(path) or real(path, options))

    for study in (RADIOMICS, AGREEMENT):
        read.clear()
        check_site(root, Progress(disable=True), pixels=True, plan=a_plan(**study))
        assert len(read) == len({*read})
