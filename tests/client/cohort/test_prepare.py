"""From a site folder to network inputs with outcomes; bad patients refused one by one."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from rich.progress import Progress

from client.cohort.cases import stack_inputs
from client.cohort.lesion_fields import read_field
from client.cohort.prepare import prepare_site
from common.cohort.outcome import Reason, Volumes
from common.errors import CohortError, Level, PlanError, StorageError
from common.imaging.lesion_cells import CELLS
from common.imaging.recipe import InputShape
from common.runtime.storage import lock_folder

SHAPE = InputShape(2, 16)


@pytest.fixture
def prepared(tmp_path, small_plan, progress):
    return lambda folder, **changes: prepare_site(
        folder.finish(), small_plan(**changes), tmp_path / "cache", progress
    )


def rewrite(path: Path, change) -> None:
    image = sitk.ReadImage(str(path))
    voxels = change(sitk.GetArrayFromImage(image))
    changed = sitk.GetImageFromArray(voxels)
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(path))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_every_patient_of_a_good_folder_becomes_a_case_with_inputs(scans_folder, prepared):
    site = prepared(scans_folder)

    assert [case.patient.identifier for case in site.cases] == [f"P{n}" for n in range(8)]
    assert [case.positive for case in site.cases] == [n % 2 == 0 for n in range(8)]
    assert site.findings == ()
    inputs = stack_inputs(site.cases, SHAPE)
    assert inputs.shape == (8, 1, 16, 16)
    assert inputs.dtype == np.float32
    np.testing.assert_allclose(inputs[..., 4:-4, 4:-4], 62 / 80, atol=1e-6)


def test_bad_patients_are_refused_and_the_rest_goes_on(scans_folder, prepared):
    for name in ("not HU", "truncated", "empty mask", "elsewhere", "label"):
        scans_folder.patient(name, grows=True)
    root = scans_folder.root
    rewrite(root / "not HU/ct.nii.gz", lambda voxels: voxels + np.int16(1024))
    content = (root / "truncated/ct.nii.gz").read_bytes()
    (root / "truncated/ct.nii.gz").write_bytes(content[: len(content) // 2])
    rewrite(root / "empty mask/mask.nii.gz", np.zeros_like)
    mask = sitk.ReadImage(str(root / "elsewhere/mask.nii.gz"))
    mask.SetOrigin((900.0, 0.0, 0.0))
    sitk.WriteImage(mask, str(root / "elsewhere/mask.nii.gz"))
    rewrite(root / "label/mask.nii.gz", lambda voxels: voxels * np.uint8(3))

    site = prepared(scans_folder)

    assert len(site.cases) == 8
    found = {refusal.patient.identifier: str(refusal.finding) for refusal in site.refusals}
    assert set(found) == {"not HU", "truncated", "empty mask", "elsewhere", "label"}
    assert "not in Hounsfield units" in found["not HU"]
    assert "ct.nii.gz" in found["truncated"]
    assert "the mask is empty" in found["empty mask"]
    assert "lies outside its CT" in found["elsewhere"]
    assert "unknown label(s) 3" in found["label"]
    assert all("row " in text for text in found.values())


def test_the_outcome_rests_on_masks_where_the_table_gives_no_volumes(scans_folder, prepared):
    """4 slices of 6 x 8 voxels of 0.125 ml are 24 ml; IVH that appears counts however small."""
    row = scans_folder.rows[0]
    shutil.copytree(scans_folder.root / "P0", scans_folder.root / "later")
    rewrite(scans_folder.root / "later/ct.nii.gz", lambda voxels: voxels + np.int16(1))

    def ventricle(voxels):
        voxels[5, 25, 25] = 2
        return voxels

    rewrite(scans_folder.root / "later/mask.nii.gz", ventricle)
    row.update(followup_ct="later/ct.nii.gz", followup_mask="later/mask.nii.gz")
    for name in ("ich_volume_ml", "ivh_volume_ml", "followup_ich_volume_ml", "followup_ivh_volume_ml"):
        row[name] = ""

    case = prepared(scans_folder).cases[0]

    assert case.baseline == Volumes(24.0, 0.0)
    assert case.followup == Volumes(24.0, 0.125)
    assert case.expansion.reasons == (Reason.IVH_DE_NOVO,)
    assert case.positive


def test_a_volume_that_contradicts_its_mask_is_noted_and_counts(scans_folder, prepared):
    scans_folder.rows[3]["ich_volume_ml"] = 90
    site = prepared(scans_folder)

    assert site.cases[3].baseline.ich_ml == 90
    notes = [str(note) for note in site.notes if "ich_volume_ml is 90.0 ml in the table" in note.what]
    assert len(notes) == 1
    assert "P3" in notes[0]


def test_one_scan_in_two_formats_refuses_both_patients(scans_folder, prepared):
    image = sitk.ReadImage(str(scans_folder.root / "P1/ct.nii.gz"))
    sitk.WriteImage(image, str(scans_folder.root / "P2/ct.nrrd"))
    scans_folder.rows[2]["baseline_ct"] = "P2/ct.nrrd"

    site = prepared(scans_folder)

    assert {refusal.patient.identifier for refusal in site.refusals} == {"P1", "P2"}
    assert "one CT, voxel by voxel" in site.findings[0].what
    assert len(site.cases) == 6


def test_one_mask_in_two_formats_refuses_both_patients(scans_folder, prepared):
    image = sitk.ReadImage(str(scans_folder.root / "P1/mask.nii.gz"))
    sitk.WriteImage(image, str(scans_folder.root / "P2/mask.nrrd"))
    scans_folder.rows[2]["baseline_mask"] = "P2/mask.nrrd"

    site = prepared(scans_folder)

    assert {refusal.patient.identifier for refusal in site.refusals} == {"P1", "P2"}
    assert "one mask, label by label, stands in the table for 2 patients: P1, P2" in site.findings[0].what


def test_a_patient_whose_hematoma_did_not_grow_may_have_one_mask_twice(scans_folder, prepared):
    row = scans_folder.rows[0]
    rewrite_as(scans_folder.root / "P0/ct.nii.gz", scans_folder.root / "P0/later.nii.gz")
    shutil.copy(scans_folder.root / "P0/mask.nii.gz", scans_folder.root / "P0/later_mask.nii.gz")
    row.update(followup_ct="P0/later.nii.gz", followup_mask="P0/later_mask.nii.gz")
    del row["followup_ich_volume_ml"], row["followup_ivh_volume_ml"]
    row["ich_volume_ml"], row["ivh_volume_ml"] = "", ""
    assert prepared(scans_folder).findings == ()


def rewrite_as(source: Path, target: Path) -> None:
    """The scan with other noise."""
    shutil.copy(source, target)
    rewrite(target, lambda voxels: voxels + np.int16(1))


def test_impossible_masks_are_refused_at_baseline_and_follow_up(scans_folder, prepared):
    """A whole volume, the air beside the head, and the same at the follow-up that decides the outcome."""

    def roll(voxels):
        return np.roll(voxels, 20, axis=2)

    rewrite(scans_folder.root / "P1/mask.nii.gz", np.ones_like)
    rewrite(scans_folder.root / "P2/mask.nii.gz", roll)
    row = scans_folder.rows[3]
    rewrite_as(scans_folder.root / "P3/ct.nii.gz", scans_folder.root / "P3/later.nii.gz")
    shutil.copy(scans_folder.root / "P3/mask.nii.gz", scans_folder.root / "P3/later_mask.nii.gz")
    rewrite(scans_folder.root / "P3/later_mask.nii.gz", lambda voxels: 1 - voxels)
    row.update(followup_ct="P3/later.nii.gz", followup_mask="P3/later_mask.nii.gz")
    row["followup_ich_volume_ml"], row["followup_ivh_volume_ml"] = "", ""

    found = {refusal.patient.identifier: refusal.finding.what for refusal in prepared(scans_folder).refusals}

    assert set(found) == {"P1", "P2", "P3"}
    assert "the mask marks 2,400.0 ml as ICH" in found["P1"]
    assert "the median within the lesion is -1000 HU" in found["P2"]
    assert "later_mask.nii.gz: the mask marks 2," in found["P3"]


def test_a_flag_that_the_mask_contradicts_is_noted(scans_folder, prepared):
    scans_folder.rows[4]["ivh"] = 1
    scans_folder.rows[4]["ivh_volume_ml"] = ""
    notes = [note for note in prepared(scans_folder).notes if note.level is Level.LOOK]
    assert ["P4" in note.where for note in notes if "ivh is yes" in note.what] == [True]


def test_the_split_depends_on_identifiers_outcomes_and_seed_alone(scans_folder, prepared, tmp_path):
    for number in range(8, 20):
        scans_folder.patient(f"P{number}", grows=number % 2 == 0)
    before = {case.patient.identifier: case.part for case in prepared(scans_folder).cases}
    scans_folder.rows.reverse()
    rewrite(scans_folder.root / "P3/ct.nii.gz", lambda voxels: voxels + np.int16(2))
    after = {case.patient.identifier: case.part for case in prepared(scans_folder).cases}

    assert after == before
    assert sorted(before.values()).count("test") == 6
    assert set(before.values()) == {"train", "validation", "test"}


def test_everybody_is_test_at_an_external_site(scans_folder, prepared):
    assert {case.part for case in prepared(scans_folder, role="external").cases} == {"test"}


def test_a_site_that_the_plan_does_not_name_is_refused(scans_folder, small_plan, tmp_path, progress):
    folder = scans_folder.finish()
    settings = (folder / "site.toml").read_text().replace('"north"', '"west"')
    (folder / "site.toml").write_text(settings)
    with pytest.raises(PlanError, match="no site 'west'"):
        prepare_site(folder, small_plan(), tmp_path / "cache", progress)


def test_one_outcome_alone_is_noted_and_divided_all_the_same(scans_folder, prepared):
    for row in scans_folder.rows:
        row["followup_ich_volume_ml"] = 30

    site = prepared(scans_folder)

    assert ["none is with expansion" in note.what for note in site.notes] == [True]
    assert not any(case.positive for case in site.cases)
    assert {case.part for case in site.cases} == {"train", "validation", "test"}


def test_a_class_that_is_lost_to_bad_scans_is_noted_beside_them(scans_folder, prepared):
    for number in (0, 2, 4, 6):
        (scans_folder.root / f"P{number}/ct.nii.gz").write_bytes(b"nothing %d" % number)

    site = prepared(scans_folder)

    assert ["none is with expansion" in note.what for note in site.notes] == [True]
    assert [f"row {row}" in found.where for row, found in zip((2, 4, 6, 8), site.findings, strict=True)] == [
        True
    ] * 4


def test_patients_who_are_all_lost_to_bad_scans_stop_the_site(scans_folder, prepared):
    for number in range(8):
        (scans_folder.root / f"P{number}/ct.nii.gz").write_bytes(b"nothing %d" % number)

    with pytest.raises(CohortError, match="0 patients can be used") as caught:
        prepared(scans_folder)
    assert "P6" in str(caught.value)


def test_a_part_without_an_outcome_is_noted_beside_the_patients_who_were_refused(scans_folder, prepared):
    for number in (0, 2):
        (scans_folder.root / f"P{number}/ct.nii.gz").write_bytes(b"nothing %d" % number)

    site = prepared(scans_folder)

    assert [note.what for note in site.notes] == ["the part validation has no patient with expansion"]
    assert len(site.findings) == 2


def test_a_site_of_which_the_criteria_leave_nobody_is_prepared(scans_folder, prepared):
    for row in scans_folder.rows:
        row["age"] = 3

    site = prepared(scans_folder)

    assert site.cases == ()
    assert "the criteria leave no patient" in {note.what for note in site.notes}


def test_a_second_run_takes_everything_from_the_cache(scans_folder, prepared, monkeypatch, tmp_path):
    first = prepared(scans_folder)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")}
    monkeypatch.setattr(
        "client.cohort.scans.read_scan", lambda path, _: pytest.fail(f"{path} was read again")
    )

    second = prepared(scans_folder)

    assert second == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")} == before


@pytest.mark.parametrize("what", ["ct", "mask", "recipe", "shape"])
def test_whatever_determines_the_inputs_makes_new_ones(scans_folder, prepared, small_plan, tmp_path, what):
    before = stack_inputs(prepared(scans_folder).cases, SHAPE)
    plan, shape = small_plan(), SHAPE
    if what == "ct":
        for number in range(8):
            rewrite(
                scans_folder.root / f"P{number}/ct.nii.gz", lambda voxels: np.where(voxels == 62, 70, voxels)
            )
    elif what == "mask":
        for number in range(8):
            rewrite(scans_folder.root / f"P{number}/mask.nii.gz", lambda voxels: np.roll(voxels, 2, axis=1))
    elif what == "recipe":
        recipe = {"window_width_hu": 100.0}
        plan = type(plan).model_validate({**plan.model_dump(), "preprocessing": recipe})
    else:
        plan, shape = small_plan(size=24), InputShape(2, 24)

    after = stack_inputs(
        prepare_site(scans_folder.finish(), plan, tmp_path / "cache", Progress(disable=True)).cases, shape
    )

    assert after.shape != before.shape or not np.array_equal(after, before)


def test_where_maps_are_averaged_each_patient_s_field_is_kept(scans_folder, prepared):
    plain = prepared(scans_folder)
    site = prepared(scans_folder, explanation={"mean_maps": True})

    with pytest.raises(ValueError, match="no field"):
        read_field(plain.cases[0], SHAPE)
    for case, other in zip(site.cases, plain.cases, strict=True):
        field = read_field(case, SHAPE)
        assert field.rows.shape == field.columns.shape == (CELLS, SHAPE.size)
        # The lesion fills the middle cells, and the network sees nothing far from it
        assert field.lesion[CELLS // 2, CELLS // 2] == pytest.approx(1)
        assert not field.rows[0].any()
        np.testing.assert_array_equal(np.load(case.inputs[SHAPE]), np.load(other.inputs[SHAPE]))


def test_a_damaged_entry_is_found_and_made_anew(scans_folder, prepared, tmp_path, caplog):
    first = prepared(scans_folder)
    before = stack_inputs(first.cases, SHAPE)
    path = first.cases[2].inputs[SHAPE]
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    manifest = next((tmp_path / "cache").rglob(f"{first.cases[3].inputs[SHAPE].name.split('.')[0]}.json"))
    manifest.write_text(manifest.read_text()[:-20])
    first.cases[4].inputs[SHAPE].unlink()

    again = prepared(scans_folder)

    assert np.array_equal(stack_inputs(again.cases, SHAPE), before)
    assert caplog.text.count("cache damaged") == 3


def test_a_full_disk_is_one_message_and_leaves_no_part_of_a_file(scans_folder, prepared, tmp_path):
    """The real system call fails: a limit on the size of files stands for the end of the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    scans_folder.finish()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1100, before[1]))
        with pytest.raises(StorageError, match="cannot be written"):
            prepared(UnchangedFolder(scans_folder.root))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)

    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path.name for path in left if "partial" in path.name] == []
    assert all(path.stat().st_size < 1100 for path in left)
    assert len(prepared(scans_folder).cases) == 8


@dataclass(frozen=True)
class UnchangedFolder:
    """A folder that is written already."""

    root: Path

    def finish(self) -> Path:
        return self.root


KILLED = """
import os, signal, sys
from pathlib import Path
from rich.progress import Progress
import common.runtime.storage
from client.cohort.prepare import prepare_site
from common.plan.study import StudyPlan

plan, deadly = StudyPlan.model_validate_json(sys.argv[1]), int(sys.argv[4])
folder, cache = map(Path, sys.argv[2:4])
replace, count = Path.replace, 0

def replace_or_die(self, target):
    global count
    count += 1
    if count == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = replace_or_die
prepare_site(folder, plan, cache, Progress(disable=True))
"""


@pytest.mark.parametrize("deadly", [2, 9, 10])
def test_killed_at_any_write_a_second_run_goes_on_and_ends_alike(
    scans_folder, small_plan, tmp_path, progress, deadly
):
    folder, plan, cache = scans_folder.finish(), small_plan(), tmp_path / "cache"
    undisturbed = prepare_site(folder, plan, tmp_path / "other", progress)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    arguments = [plan.model_dump_json(), str(folder), str(cache), str(deadly)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], env=environment, check=False, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    partial = [path for path in cache.rglob("*") if path.name.endswith(".partial")]
    assert len(partial) == 1
    complete = {path: path.stat().st_mtime_ns for path in cache.rglob("*.json")}

    site = prepare_site(folder, plan, cache, progress)

    assert np.array_equal(stack_inputs(site.cases, SHAPE), stack_inputs(undisturbed.cases, SHAPE))
    assert [case.part for case in site.cases] == [case.part for case in undisturbed.cases]
    assert not partial[0].exists()
    assert {path: path.stat().st_mtime_ns for path in complete} == complete


def test_two_processes_never_prepare_one_cache_at_once(scans_folder, prepared, tmp_path):
    with lock_folder(tmp_path / "cache"), pytest.raises(StorageError, match="another process"):
        prepared(scans_folder)


def test_a_cache_that_vanishes_after_it_was_checked_is_told(scans_folder, prepared):
    site = prepared(scans_folder)
    site.cases[1].inputs[SHAPE].write_bytes(b"nothing")
    with pytest.raises(StorageError, match="the cache is damaged"):
        stack_inputs(site.cases, SHAPE)
