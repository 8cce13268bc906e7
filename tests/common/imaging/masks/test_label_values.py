"""Numbers that programs scaled are labels all the same; probabilities are not."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from common.errors import Level, ScanError
from common.imaging.masks.labels import MaskLabels
from common.imaging.masks.mask import Mask, read_mask
from common.imaging.scan import Scan

SHAPE = (6, 20, 18)


@pytest.fixture
def scan(geometry_of, tmp_path) -> Scan:
    return Scan(tmp_path / "ct", np.full(SHAPE, 60, dtype=np.int16), geometry_of(shape=SHAPE))


DRAWN = np.zeros(SHAPE, dtype=np.uint8)
DRAWN[1:5, 4:14, 4:14] = 1
DRAWN[4, 12:16, 12:16] = 2


def write(path, stored, scan, slope=None, intercept=None):
    """A NIfTI file by nibabel, whose header scales the stored numbers."""
    geometry = scan.geometry
    affine = np.eye(4)
    affine[:3, :3] = np.diag([*geometry.spacing_mm, geometry.steps_mm[0]])
    affine[:3, 3] = geometry.positions_mm[0]
    image = nib.Nifti1Image(stored.transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine)
    image.header.set_slope_inter(slope, intercept)
    nib.save(image, path)
    return path


def read(path, scan, labels=None) -> Mask:
    return read_mask(path, scan, labels or MaskLabels())


@pytest.mark.parametrize(
    ("slope", "intercept", "away"), [(1.0000001, 0.0, None), (0.996, 0.0, "0.008"), (1.0, 0.004, "0.004")]
)
def test_labels_that_a_program_scaled_are_rounded_and_said_to_be(tmp_path, scan, slope, intercept, away):
    mask = read(write(tmp_path / "m.nii.gz", DRAWN, scan, slope, intercept), scan)

    assert np.array_equal(mask.voxels, DRAWN)
    notes = [note for note in mask.notes if "no whole numbers" in note.what]
    assert [note.level for note in notes] == ([Level.KNOW] if away else [])
    assert all(away in note.what for note in notes)


@pytest.mark.parametrize("slope", [0.98, 1.02, 0.5])
def test_labels_farther_than_a_hundredth_from_a_whole_number_are_refused(tmp_path, scan, slope):
    with pytest.raises(ScanError, match=f"unknown label.* {slope:g}.* -> save the mask as labels"):
        read(write(tmp_path / "m.nii.gz", DRAWN, scan, slope, 0.0), scan)


def test_probabilities_are_named_for_what_they_are(tmp_path, scan):
    probable = np.random.default_rng(1).uniform(0, 0.97, SHAPE).astype(np.float32) * (DRAWN > 0)
    with pytest.raises(ScanError, match="a probability map, not labels -> save it as labels"):
        read(write(tmp_path / "m.nii.gz", probable, scan), scan)


def test_only_labels_of_the_site_are_known_after_rounding(tmp_path, scan):
    with pytest.raises(ScanError, match=r"unknown label\(s\) 2"):
        read(write(tmp_path / "m.nii.gz", DRAWN, scan, 0.996, 0.0), scan, MaskLabels((1,), ()))


@pytest.mark.parametrize(
    ("dtype", "said"),
    [(np.int8, "255 became -1 -> save the mask as unsigned"), (np.int16, "labels are 0 and above")],
)
def test_numbers_below_zero_are_not_to_be_named_in_site_toml(tmp_path, scan, dtype, said):
    with pytest.raises(ScanError, match=said) as refusal:
        read(write(tmp_path / "m.nii.gz", -DRAWN.clip(0, 1).astype(dtype), scan), scan)
    assert "site.toml" not in str(refusal.value)


def test_a_mask_that_holds_infinity_is_refused_without_a_warning(tmp_path, scan):
    stored = np.where(DRAWN > 0, np.inf, 0).astype(np.float32)
    with pytest.raises(ScanError, match=r"unknown label\(s\) inf; .* -> save the mask as labels"):
        read(write(tmp_path / "m.nii.gz", stored, scan), scan)


def test_an_unknown_label_is_shown_as_site_toml_would_name_it(tmp_path, scan):
    stored = np.where(DRAWN > 0, 1234567, 0).astype(np.int32)
    with pytest.raises(ScanError, match=r"unknown label\(s\) 1234567; .* -> name them in site\.toml"):
        read(write(tmp_path / "m.nii.gz", stored, scan), scan)


def test_a_ct_in_place_of_its_mask_is_named_for_what_it_is(tmp_path, scan):
    hu = np.random.default_rng(2).integers(-1000, 900, SHAPE).astype(np.int16)
    with pytest.raises(ScanError, match=r"different values from -\d+ to \d+: an image, not labels"):
        read(write(tmp_path / "m.nii.gz", hu, scan), scan)
