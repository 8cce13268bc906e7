"""Masks on coarser grids than their CT's, and masks compared by content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import Level, ScanError
from common.imaging.geometry import Geometry
from common.imaging.masks.labels import MaskLabels
from common.imaging.masks.mask import Mask, read_mask
from common.imaging.nearest import find_extent
from common.imaging.scan import Scan

SHAPE = (8, 40, 40)
SPACING_MM = (0.5, 0.5, 2.5)


@pytest.fixture
def scan(geometry_of, tmp_path) -> Scan:
    return Scan(
        tmp_path / "ct", np.full(SHAPE, 60, np.int16), geometry_of(shape=SHAPE, spacing_mm=SPACING_MM)
    )


def write(path: Path, values: np.ndarray, scan: Scan, ratio=(1, 1, 1), shift_mm=(0.0, 0.0, 0.0)) -> Path:
    """A mask of which each voxel covers so many columns, rows and slices of the scan."""
    image = sitk.GetImageFromArray(values)
    spacing = np.array(SPACING_MM) * ratio
    image.SetSpacing(spacing.tolist())
    first = scan.geometry.positions_mm[0] + (spacing - SPACING_MM) / 2 + shift_mm
    image.SetOrigin(first.tolist())
    sitk.WriteImage(image, str(path))
    return path


def read(path: Path, scan: Scan) -> Mask:
    return read_mask(path, scan, MaskLabels())


def half() -> np.ndarray:
    values = np.zeros((8, 20, 20), dtype=np.uint8)
    values[2:6, 5:12, 6:14] = 1
    return values


def test_a_mask_of_half_the_resolution_is_for_information(tmp_path, scan):
    """Each of its voxels covers whole voxels of the CT, so nothing is lost by resampling."""
    mask = read(write(tmp_path / "m.nrrd", half(), scan, (2, 2, 1)), scan)

    (note,) = mask.notes
    assert note.level is Level.KNOW
    assert "each of its voxels covers 2x2x1 of the CT's" in note.what
    assert np.array_equal(mask.voxels, half().repeat(2, axis=1).repeat(2, axis=2))


def test_a_coarser_mask_may_begin_where_the_ct_begins(tmp_path, scan):
    """Programs that keep the origin put the mask's first centre on the CT's first centre."""
    path = write(tmp_path / "m.nrrd", half(), scan, (2, 2, 1), (-0.25, -0.25, 0))
    assert read(path, scan).notes[0].level is Level.KNOW


@pytest.mark.parametrize(
    ("ratio", "shift_mm", "values"),
    [
        ((1.5, 1.5, 1), (0, 0, 0), np.ones((8, 26, 26), np.uint8)),
        ((2, 2, 1), (3, 0, 0), half()),
        ((2, 2, 1), (0, 0, 0), half()[:, :15]),
        ((0.5, 1, 1), (0, 0, 0), np.ones((8, 40, 80), np.uint8)),
    ],
    ids=["no whole ratio", "shifted", "another extent", "finer"],
)
def test_any_other_grid_is_to_be_looked_at(tmp_path, scan, ratio, shift_mm, values):
    values = values.copy()
    values[:, :4], values[:, -4:], values[..., :4], values[..., -4:] = 0, 0, 0, 0
    (note,) = read(write(tmp_path / "m.nrrd", values, scan, ratio, shift_mm), scan).notes
    assert note.level is Level.LOOK
    assert "mask's grid" in note.what


def test_a_coarse_mask_of_which_resampling_changes_the_volume_is_to_be_looked_at(tmp_path, geometry_of):
    """Its voxels reach beyond the CT's last slice."""
    shape = (7, 40, 40)
    scan = Scan(
        tmp_path / "ct", np.full(shape, 60, np.int16), geometry_of(shape=shape, spacing_mm=SPACING_MM)
    )
    values = np.zeros((4, 40, 40), dtype=np.uint8)
    values[3, 5:12, 6:14] = 1
    (note,) = read(write(tmp_path / "m.nrrd", values, scan, (1, 1, 2), (0, 0, -0.5)), scan).notes
    assert note.level is Level.LOOK
    assert "0.07 ml there, 0.04 ml after" in note.what


def test_a_mask_of_every_second_slice_keeps_its_volume(tmp_path, scan):
    """Its slices lie on slices of the CT, as those of a part of the CT's grid do."""
    values = np.zeros((4, 40, 40), dtype=np.uint8)
    values[1:3, 5:12, 6:14] = 1
    mask = read(write(tmp_path / "m.nrrd", values, scan, (1, 1, 2), (0, 0, -1.25)), scan)
    assert mask.measured.ich_ml == pytest.approx(2 * 56 * 0.25 * 5 / 1000)
    assert mask.voxels.any(axis=(1, 2)).sum() == 4


def test_equal_labels_in_other_files_have_one_digest_and_others_another(tmp_path, scan):
    values = np.zeros(SHAPE, dtype=np.uint8)
    values[2:4, 10:20, 10:20] = 1
    first = read(write(tmp_path / "a.nii.gz", values, scan), scan)
    again = read(write(tmp_path / "b.nrrd", values.astype(np.float32), scan), scan)
    moved = read(write(tmp_path / "c.nrrd", np.roll(values, 1, axis=1), scan), scan)
    relabelled = read(write(tmp_path / "d.nrrd", values * np.uint8(2), scan), scan)

    assert first.digest == again.digest
    assert len({first.digest, moved.digest, relabelled.digest}) == 3


@pytest.mark.parametrize(
    ("slices", "said"), [(9, "1 slice(s) more than the CT: the CT"), (8, ""), (10, "2 ")]
)
def test_a_ct_without_its_last_slices_is_recognized(tmp_path, scan, slices, said):
    values = np.zeros((slices, 40, 40), dtype=np.uint8)
    values[2:4, 10:20, 10:20] = 1
    looks = [note.what for note in read(write(tmp_path / "m.nrrd", values, scan), scan).notes]
    assert len(looks) == bool(said)
    assert all(
        f"; the mask has {said}" in what and "the CT may lack slices at its end" in what for what in looks
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_whose_axis_runs_the_other_way_is_said_to_be(tmp_path, geometry_of, axis):
    """Mirrored at the origin of coordinates, as a wrong sign in the matrix of NIfTI does."""
    geometry = geometry_of(shape=SHAPE, spacing_mm=SPACING_MM)
    sizes = np.array(SPACING_MM) * (np.array(SHAPE[::-1]) - 1)
    first = -sizes / 2 + 0.75
    placed = Geometry(40, 40, SPACING_MM[:2], geometry.axes, geometry.offsets_mm + first)
    scan = Scan(tmp_path / "ct", np.full(SHAPE, 60, np.int16), placed)
    values = np.zeros(SHAPE, dtype=np.uint8)
    values[3:5, 15:22, 15:22] = 1
    shift = np.zeros(3)
    shift[axis] = -1.5
    (note,) = read(write(tmp_path / "m.nrrd", values, scan, shift_mm=shift), scan).notes
    name = ("left-right", "front-back", "head-foot")[axis]
    assert f"their first voxels are 1.5 mm apart, as if the mask's {name} axis ran the other way" in note.what
    (note,) = read(write(tmp_path / "n.nrrd", values, scan, shift_mm=shift / 2), scan).notes
    assert "0.75 mm apart):" in note.what


def test_a_mask_that_is_mirrored_out_of_its_ct_is_said_to_be(tmp_path, scan):
    values = np.ones(SHAPE, dtype=np.uint8)
    with pytest.raises(ScanError, match="as if the mask's head-foot axis ran the other way"):
        read(write(tmp_path / "m.nrrd", values, scan, shift_mm=(0, 0, -17.5)), scan)


@pytest.mark.parametrize("ratio", [(1, 1, 1), (2, 2, 1)])
def test_the_extent_is_that_of_the_labels_on_the_ct(tmp_path, scan, ratio):
    """Whoever resamples a mask trusts it, and label 7 is ignored although the file holds it further out."""
    values = half().repeat(2 // ratio[0], axis=1).repeat(2 // ratio[1], axis=2)
    values[0, 0, 0] = values[-1, -1, -1] = 7

    mask = read_mask(write(tmp_path / "m.nrrd", values, scan, ratio), scan, MaskLabels(ignored=(7,)))

    places = np.argwhere(mask.voxels)
    expected = tuple(zip(places.min(axis=0).tolist(), places.max(axis=0).tolist(), strict=True))
    assert mask.extent == find_extent(mask.voxels) == expected
