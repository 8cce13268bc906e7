"""Whether what a mask marks can be a hemorrhage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.cohort.outcome import Volumes
from common.errors import Level, ScanError
from common.imaging.masks.lesion_checks import check_lesion, check_volumes
from common.imaging.masks.lesion_parts import find_odd_parts
from common.imaging.nearest import find_extent
from common.imaging.scan import Scan

SHAPE = (12, 120, 120)
SPACING_MM = (1.0, 1.0, 5.0)
"""A voxel is 0.005 ml."""
MASK = Path("mask.nii.gz")


@pytest.fixture
def scan(geometry_of) -> Scan:
    voxels = np.full(SHAPE, 32, dtype=np.int16)
    voxels[:, :, :10] = -1000
    voxels[:, :, 110:] = 900
    voxels[4:7, 50:60, 50:60] = 65
    return Scan(Path("ct"), voxels, geometry_of(shape=SHAPE, spacing_mm=SPACING_MM))


def mark(*parts, label=1) -> np.ndarray:
    """A hematoma of 1.5 ml, and further parts."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[4:7, 50:60, 50:60] = 1
    for part in parts:
        labels[part] = label
    return labels


@pytest.mark.parametrize(
    ("measured", "name"), [(Volumes(400.5, 0), "400.5 ml as ICH"), (Volumes(10, 5667), "5,667.0 ml as IVH")]
)
def test_a_volume_that_the_table_would_refuse_is_refused(measured, name):
    with pytest.raises(ScanError, match="0 to 400 ml") as caught:
        check_volumes(MASK, measured)
    assert name in str(caught.value)
    check_volumes(MASK, Volumes(400, 400))


@pytest.mark.parametrize("hu", [-997, 0, 19, 121, 900])
def test_a_lesion_darker_or_brighter_than_any_blood_is_refused(scan, hu):
    scan.voxels[4:7, 50:60, 50:60] = hu
    with pytest.raises(ScanError, match=f"the median within the lesion is {hu} HU, blood has 20 to 120"):
        check_lesion(MASK, mark(), scan)


def test_an_ich_is_not_saved_by_the_ivh_beside_it(scan):
    scan.voxels[4:7, 50:60, 50:60] = -50
    labels = mark(np.s_[4:7, 60:80, 50:70], label=2)
    scan.voxels[labels == 2] = 60
    with pytest.raises(ScanError, match="the median within the ICH is -50 HU"):
        check_lesion(MASK, labels, scan)


@pytest.mark.parametrize(("hu", "noted"), [(20, True), (34, True), (41, False), (100, False), (120, True)])
def test_an_unusual_median_of_the_ich_is_to_be_looked_at(scan, hu, noted):
    scan.voxels[4:7, 50:60, 50:60] = hu
    notes = check_lesion(MASK, mark(), scan)
    assert [note.level for note in notes] == [Level.LOOK] * noted


@pytest.mark.parametrize(("contrast", "noted"), [(0, True), (7, True), (8, False)])
def test_an_ich_no_brighter_than_its_surroundings_is_to_be_looked_at(scan, contrast, noted):
    """A mask on healthy brain, which some scanners show at 36 HU and more."""
    scan.voxels[4:7, 40:70, 40:70] = 36
    scan.voxels[4:7, 50:60, 50:60] = 36 + contrast
    notes = check_lesion(MASK, mark(), scan)
    assert [note.level for note in notes] == [Level.LOOK] * noted
    assert all("no brighter than its surroundings" in note.what for note in notes)


def test_blood_of_50_hu_is_not_held_against_its_surroundings(scan):
    scan.voxels[4:7, 40:70, 40:70] = 50
    assert check_lesion(MASK, mark(), scan) == ()


def test_a_dark_hematoma_with_clots_is_for_information(scan):
    """Unclotted blood of anticoagulated patients: the median alone would be that of brain."""
    scan.voxels[4:7, 50:60, 50:60] = 30
    scan.voxels[4:7, 50:60, 50:52] = 70
    (note,) = check_lesion(MASK, mark(), scan)
    assert note.level is Level.KNOW
    assert note.what.endswith("its brightest tenth has 70, that around it 32")


def replace_share(scan, share, hu) -> None:
    """So much of the hematoma gets other values, which alternate."""
    lesion = scan.voxels[4:7, 50:60, 50:60].ravel()
    count = round(share * lesion.size)
    lesion[:count] = np.resize(hu, count)
    scan.voxels[4:7, 50:60, 50:60] = lesion.reshape(3, 10, 10)


@pytest.mark.parametrize(
    ("share", "hu"), [(0.1, [900]), (0.35, [-1000, 900]), (0.45, [-1000, 900]), (0.3, [-60])]
)
@pytest.mark.parametrize("median", [32, 42, 65])
def test_a_mask_partly_in_air_fat_or_bone_is_to_be_looked_at(scan, share, hu, median):
    """Bone is not the bright part of a dark hematoma, and no median tells that a mask was shifted."""
    scan.voxels[4:7, 50:60, 50:60] = median
    replace_share(scan, share, hu)
    notes = check_lesion(MASK, mark(), scan)
    assert {note.level for note in notes} == {Level.LOOK}
    assert notes[0].what.startswith("of the ICH's voxels ")
    assert "no brighter than" not in " ".join(note.what for note in notes)


def test_a_mask_half_in_air_and_bone_is_refused(scan):
    replace_share(scan, 0.5, [-1000, 900])
    with pytest.raises(ScanError, match=r"25% are air or fat .* 25% bone.* half or more -> find the mask of"):
        check_lesion(MASK, mark(), scan)


@pytest.mark.parametrize(
    ("share", "hu", "levels"),
    [(0.05, [500], []), (0.15, [3000], [Level.LOOK]), (0.4, [400], [Level.LOOK]), (0.3, [140], [])],
    ids=["specks of calcium", "drain", "calcified", "inner table"],
)
def test_calcification_drain_and_partial_volume_are_not_refused(scan, share, hu, levels):
    replace_share(scan, share, hu)
    assert [note.level for note in check_lesion(MASK, mark(), scan)] == levels


def test_a_dark_hematoma_is_not_bright_by_what_is_brighter_than_blood(scan):
    """Partial volume of bone, for instance."""
    scan.voxels[4:7, 50:60, 50:60] = 30
    replace_share(scan, 0.15, [140])
    (note,) = check_lesion(MASK, mark(), scan)
    assert note.level is Level.LOOK


@pytest.mark.parametrize("hu", [-20, -400, 140, 900])
def test_an_ivh_outside_of_tissue_is_to_be_looked_at_and_refuses_nobody(scan, hu):
    ivh = np.s_[5, 62:66, 50:55]
    scan.voxels[ivh] = hu
    notes = check_lesion(MASK, mark(ivh, label=2), scan)
    assert {note.level for note in notes} == {Level.LOOK}


@pytest.mark.parametrize(("hu", "noted"), [(6, True), (25, False), (60, False)])
def test_blood_in_the_ventricles_may_be_diluted_but_not_be_csf(scan, hu, noted):
    ivh = np.s_[5, 62:70, 50:60]
    scan.voxels[ivh] = hu
    notes = check_lesion(MASK, mark(ivh, label=2), scan)
    assert ["the median within the IVH is" in note.what for note in notes] == [True] * noted


def test_specks_far_away_and_strokes_in_air_are_named_with_their_slice(scan):
    far, in_air = np.s_[9, 90:92, 90], np.s_[1, 20:35, 2]
    (note,) = check_lesion(MASK, mark(far, in_air), scan)
    assert note.level is Level.LOOK
    assert note.what.startswith(
        "2 specks apart from the lesion: 0.075 ml in slice 2 of 12 from below, in air"
    )
    assert "0.010 ml in slice 10 of 12 from below, 4" in note.what
    assert "mm from the lesion (32 HU)" in note.what


def test_a_stroke_in_bone_is_named(scan):
    (note,) = check_lesion(MASK, mark(np.s_[5, 50:60, 114]), scan)
    assert "in bone (900 HU)" in note.what


@pytest.mark.parametrize("part", [np.s_[5, 62:64, 62], np.s_[9:11, 80:100, 80:100]], ids=["near", "large"])
def test_satellites_and_second_hematomas_are_no_specks(scan, part):
    scan.voxels[part] = 60
    assert check_lesion(MASK, mark(part), scan) == ()


def test_a_far_speck_as_bright_as_blood_is_for_information(scan):
    part = np.s_[9, 100:102, 90]
    scan.voxels[part] = 60
    (note,) = check_lesion(MASK, mark(part, label=2), scan)
    assert note.level is Level.KNOW


@pytest.mark.parametrize(("beside", "level"), [(True, Level.KNOW), (False, Level.LOOK)])
def test_a_far_speck_in_the_ventricles_is_suspicious_where_it_is_their_only_blood(scan, beside, level):
    """Blood moves in the ventricles; a single stroke turns the outcome to "IVH appeared"."""
    labels = mark(np.s_[9, 100, 90], label=2)
    if beside:
        labels[4:7, 60:64, 50:60] = 2
    notes = check_lesion(MASK, labels, scan)
    assert [note.level for note in notes if "speck" in note.what] == [level]


def test_many_specks_are_one_note(scan):
    labels = mark()
    labels[::2, 100:118:3, 100:109:3] = 1
    (note,) = check_lesion(MASK, labels, scan)
    assert note.what.startswith("108 specks")
    assert "; and 105 more" in note.what


def test_parts_are_found_where_the_mask_lies_and_measured_by_each_slices_thickness(geometry_of):
    geometry = geometry_of(shape=(4, 80, 8), spacing_mm=(1, 1, 1), heights_mm=[0, 2, 4, 14])
    labels = np.zeros((4, 80, 8), dtype=np.uint8)
    labels[1:3, 8:13, 1:6] = 1
    labels[3, 68, 4] = 1
    scan = Scan(Path("ct"), np.full(labels.shape, 30, np.int16), geometry)
    (part,) = find_odd_parts(labels, scan, find_extent(labels))
    assert (part.slice_number, part.volume_ml) == (4, pytest.approx(0.01))
    assert part.reason == "57 mm from the lesion"


def test_parts_that_touch_at_a_corner_are_one(scan):
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for step in range(12):
        labels[step, 30 + step, 30 + step] = 1
    assert find_odd_parts(labels, scan, find_extent(labels)) == ()
