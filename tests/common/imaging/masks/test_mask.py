from __future__ import annotations

import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import ScanError
from common.imaging.masks.mask import MaskLabels, read_mask
from common.imaging.scan import Scan

SHAPE = (6, 20, 18)
SPACING_MM = (0.5, 0.5, 4.0)
LABELS = MaskLabels((1,), (2,))


@pytest.fixture
def scan(geometry_of, tmp_path) -> Scan:
    voxels = np.full(SHAPE, 30, dtype=np.int16)
    voxels[2:4, 5:9, 5:9] = 60
    return Scan(tmp_path / "ct", voxels, geometry_of(shape=SHAPE, spacing_mm=SPACING_MM))


def drawn() -> np.ndarray:
    """2 x 4 x 4 voxels of ICH and one of IVH; a voxel is 0.001 ml."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2:4, 5:9, 5:9] = 1
    labels[3, 10, 10] = 2
    return labels


def write(path, values, scan, shift_mm=(0.0, 0.0, 0.0), spacing_mm=SPACING_MM):
    one = sitk.GetImageFromArray(values)
    one.SetSpacing(spacing_mm)
    one.SetOrigin([float(p + s) for p, s in zip(scan.geometry.positions_mm[0], shift_mm, strict=True)])
    sitk.WriteImage(one, str(path))
    return path


def refused(path, scan, labels=LABELS) -> str:
    with pytest.raises(ScanError) as caught:
        read_mask(path, scan, labels)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_a_mask_on_its_scans_grid_is_taken_voxel_by_voxel(tmp_path, scan, suffix, dtype):
    mask = read_mask(write(tmp_path / f"m{suffix}", drawn().astype(dtype), scan), scan, LABELS)

    assert np.array_equal(mask.voxels, drawn())
    assert mask.voxels.dtype == np.uint8
    assert mask.volumes().ich_ml == pytest.approx(0.032)
    assert mask.volumes().ivh_ml == pytest.approx(0.001)
    assert mask.notes == ()


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", ">i2", "u4", "f4", ">f8"])
def test_labels_of_every_type_are_translated_and_what_is_ignored_has_no_extent(tmp_path, scan, dtype):
    values = np.select([drawn() == 1, drawn() == 2], [2, 7], 0)
    values[0, 1, 1] = values[5, 19, 17] = 5
    affine = np.diag([-0.5, -0.5, 4.0, 1.0])
    affine[:3, 3] = scan.geometry.positions_mm[0] * (-1, -1, 1)
    image = nib.Nifti1Image(values.transpose(2, 1, 0).astype(dtype), affine)
    nib.save(image, tmp_path / "m.nii.gz")

    mask = read_mask(tmp_path / "m.nii.gz", scan, MaskLabels((2,), (7,), (5,)))

    assert np.array_equal(mask.voxels, drawn())
    assert mask.voxels.dtype == np.uint8
    assert mask.extent == ((2, 3), (5, 10), (5, 10))


def test_the_extent_of_a_part_of_the_grid_is_that_on_the_whole(tmp_path, scan):
    part = drawn()[1:, 3:, 4:]
    mask = read_mask(write(tmp_path / "m.nii.gz", part, scan, shift_mm=(2.0, 1.5, 4.0)), scan, LABELS)

    assert np.array_equal(mask.voxels, drawn())
    assert mask.extent == ((2, 3), (5, 10), (5, 10))


def test_the_sites_own_labels_are_translated(tmp_path, scan):
    values = np.select([drawn() == 1, drawn() == 2], [7, 300], 0).astype(np.int16)
    values[0, 0, :4] = 4
    values[2, 5, 5] = 8
    path = write(tmp_path / "m.nrrd", values, scan)

    mask = read_mask(path, scan, MaskLabels((7, 8), (300,), (4,)))

    assert np.array_equal(mask.voxels, drawn())
    assert "unknown label(s) 4" in refused(path, scan, MaskLabels((7, 8), (300,)))
    with pytest.raises(ValueError, match="two meanings"):
        MaskLabels((1,), (1,))


@pytest.mark.parametrize("value", [3, 0.5, np.nan, -1])
def test_values_that_are_no_known_label_are_refused(tmp_path, scan, value):
    values = drawn().astype(np.float32)
    values[0, 0, 0] = value
    assert "unknown label(s)" in refused(write(tmp_path / "m.nrrd", values, scan), scan)


def test_an_empty_mask_and_one_without_hemorrhage_are_refused(tmp_path, scan):
    assert "the mask is empty" in refused(write(tmp_path / "m.nrrd", drawn() * np.uint8(0), scan), scan)
    edema = (drawn() > 0).astype(np.uint8) * np.uint8(4)
    path = write(tmp_path / "e.nrrd", edema, scan)
    assert "neither ICH nor IVH" in refused(path, scan, MaskLabels((1,), (2,), (4,)))


@pytest.mark.parametrize("name", ["mask.dcm", "mask.png", "folder"])
def test_other_formats_are_refused_with_what_to_do(tmp_path, scan, name):
    (tmp_path / "folder").mkdir()
    for file in ("mask.dcm", "mask.png"):
        (tmp_path / file).write_bytes(b"no image")
    assert "must be a NIfTI, NRRD or MetaImage file, a DICOM SEG or" in refused(tmp_path / name, scan)


def test_a_pipe_is_never_opened(tmp_path, scan):
    os.mkfifo(tmp_path / "mask.dcm")
    assert "neither a file nor a folder" in refused(tmp_path / "mask.dcm", scan)


@pytest.mark.parametrize("name", ["nothing.nii.gz", "nothing.dcm"])
def test_a_missing_mask_is_refused(tmp_path, scan, name):
    assert "no such file" in refused(tmp_path / name, scan)


@pytest.mark.parametrize(("shift_mm", "noted"), [(0.0009, False), (0.0011, True)])
def test_a_thousandth_of_a_millimetre_is_the_bound_of_one_grid(tmp_path, scan, shift_mm, noted):
    path = write(tmp_path / "m.nrrd", drawn(), scan, (shift_mm, 0, 0))
    mask = read_mask(path, scan, LABELS)
    assert bool(mask.notes) == noted
    assert np.array_equal(mask.voxels, drawn())


def test_a_mask_on_another_grid_is_resampled_as_by_itk_and_measured_on_its_own(tmp_path, scan):
    """A mask of a part of the head, with finer voxels, shifted by less than a voxel."""
    fine = np.zeros((9, 30, 28), dtype=np.uint8)
    fine[3:6, 10:20, 9:21] = 1
    spacing = (0.25, 0.3, 2.0)
    path = write(tmp_path / "m.nrrd", fine, scan, (0.6, 0.4, 3.0), spacing)

    mask = read_mask(path, scan, LABELS)

    reference = sitk.GetImageFromArray(scan.voxels)
    reference.SetSpacing(SPACING_MM)
    reference.SetOrigin([float(value) for value in scan.geometry.positions_mm[0]])
    itk = sitk.Resample(sitk.ReadImage(str(path)), reference, sitk.Transform(), sitk.sitkNearestNeighbor)
    assert mask.voxels.any()
    assert np.array_equal(mask.voxels, sitk.GetArrayFromImage(itk))
    assert mask.volumes().ich_ml == pytest.approx(3 * 10 * 12 * 0.25 * 0.3 * 2 / 1000)
    assert "mask's grid (28x30x9 voxels of 0.25x0.3x2 mm) is not its CT's" in str(mask.notes[0])


@pytest.mark.parametrize("shift_mm", [(500, 0, 0), (0, 0, 12.0), (-4.0, 0, 0)])
def test_a_mask_outside_its_scan_is_refused_even_in_part(tmp_path, scan, shift_mm):
    """The second leaves the last slice, the third cuts through the lesion."""
    path = write(tmp_path / "m.nrrd", drawn(), scan, shift_mm)
    assert "of the mask lies outside its CT" in refused(path, scan)


@pytest.mark.parametrize(("height_mm", "outside"), [(5.0, False), (-1.7, True)])
def test_a_mask_on_another_grid_of_uneven_slices_is_refused_only_outside(
    tmp_path, geometry_of, height_mm, outside
):
    geometry = geometry_of(shape=SHAPE, spacing_mm=SPACING_MM, heights_mm=[0, 2.5, 5, 7.5, 12.5, 17.5])
    scan = Scan(tmp_path / "ct", np.full(SHAPE, 60, dtype=np.int16), geometry)
    fine = np.zeros((20, 20, 18), dtype=np.uint8)
    fine[:4, 5:9, 5:9] = 1
    path = write(tmp_path / "m.nrrd", fine, scan, (0, 0, height_mm), (0.5, 0.5, 0.1))

    if outside:
        assert "100% of the mask lies outside its CT" in refused(path, scan)
    else:
        assert np.argwhere(read_mask(path, scan, LABELS).voxels)[:, 0].tolist() == [2] * 16


@pytest.mark.parametrize("case", [{"tilt_degrees": 20.0}, {"heights_mm": [0, 2.5, 5, 7.5, 12.5, 17.5]}])
def test_a_mask_drawn_on_the_upright_reading_of_a_tilted_scan_is_matched_slice_by_slice(
    tmp_path, geometry_of, case
):
    """ITK-SNAP opens such a series as an upright, even stack, and saves masks on that grid."""
    geometry = geometry_of(shape=SHAPE, spacing_mm=SPACING_MM, **case)
    scan = Scan(tmp_path / "ct", np.full(SHAPE, 60, dtype=np.int16), geometry)
    even = (0.5, 0.5, float(geometry.steps_mm.mean()))

    mask = read_mask(write(tmp_path / "m.nrrd", drawn(), scan, spacing_mm=even), scan, LABELS)

    assert np.array_equal(mask.voxels, drawn())
    assert "does not store the scan's tilt" in str(mask.notes[0])
    slices_ml = geometry.thickness_mm * 0.25 / 1000
    assert mask.volumes().ich_ml == pytest.approx(16 * (slices_ml[2] + slices_ml[3]))


def test_volumes_of_a_two_thickness_scan_weigh_each_slice_by_its_own_thickness(geometry_of):
    geometry = geometry_of(shape=(5, 4, 4), spacing_mm=(1, 1, 1), heights_mm=[0, 2, 4, 8, 12])
    np.testing.assert_allclose(geometry.thickness_mm, [2, 2, 3, 4, 4])
    np.testing.assert_allclose(geometry.voxel_volumes_ml(), np.array([2, 2, 3, 4, 4]) / 1000)


def test_a_mask_on_brain_instead_of_blood_is_noted(tmp_path, scan):
    mask = read_mask(write(tmp_path / "m.nrrd", np.roll(drawn(), 8, axis=1), scan), scan, LABELS)
    assert "the median within the ICH is 30 HU" in str(mask.notes[0])
