"""The same DICOM files read by us and converted by dcm2niix: every voxel lies at the same place."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from common.imaging.reader import read_scan
from common.imaging.scan import Scan
from tests.reference.imaging.make_dcm2niix import ACQUISITIONS, HERE, write_dicom


def read_dicom(name: str, folder: Path) -> Scan:
    return read_scan(write_dicom(name, folder / "dicom"))


def list_places_mm(scan: Scan) -> np.ndarray:
    """Every voxel's centre (to the left, the back, the head), shape (slices, rows, columns, 3)."""
    z, y, x = np.indices(scan.voxels.shape).reshape(3, -1)
    return scan.geometry.locate(z, y, x).reshape(*scan.voxels.shape, 3)


def look_up(name: str, places_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of dcm2niix's voxels nearest to these places, and how many voxels off they lie."""
    image = nibabel.load(HERE / f"{name}.nii.gz")
    to_index = np.linalg.inv(image.affine)
    indices = (places_mm * [-1, -1, 1]) @ to_index[:3, :3].T + to_index[:3, 3]
    nearest = np.rint(indices).astype(int)
    values = np.asarray(image.dataobj)[tuple(np.moveaxis(nearest, -1, 0))]
    return values, np.abs(indices - nearest).max()


@pytest.mark.parametrize("name", ["upright", "right-to-left", "multi-frame", "multi-frame-right-to-left"])
def test_every_voxel_lies_where_dcm2niix_puts_it(tmp_path, name):
    scan = read_dicom(name, tmp_path)
    values, off = look_up(name, list_places_mm(scan))

    assert off < 1e-4
    assert np.array_equal(scan.voxels, values)


@pytest.mark.parametrize("name", list(ACQUISITIONS))
def test_the_bleeding_is_on_the_patients_left_and_the_voxels_are_the_heads(tmp_path, name):
    scan = read_dicom(name, tmp_path)
    places_mm = list_places_mm(scan)
    bleeding = places_mm[scan.voxels == 65]

    # From head_series: 30 mm to the left, 10 mm to the front, 15 mm up
    np.testing.assert_allclose(bleeding.mean(axis=0), [30, -10, 15], atol=2.0)
    volume_ml = (scan.voxels == 65).sum(axis=(1, 2)) @ scan.geometry.voxel_volumes_ml()
    assert volume_ml == pytest.approx(4 / 3 * np.pi * 2.2**3, rel=0.04)


def test_a_tilted_series_is_dcm2niixs_corrected_file(tmp_path):
    """dcm2niix resamples along y, so values differ at edges; the skull and the bleeding lie at one place."""
    scan = read_dicom("tilted", tmp_path)
    values = sample_linearly("tilted_Tilt_1", list_places_mm(scan))
    shifted = sample_linearly("tilted_Tilt_1", list_places_mm(scan) + np.array([0, 5.0, 0]))

    assert scan.geometry.tilt_degrees == pytest.approx(18, abs=1e-3)
    assert overlap(scan.voxels > 400, values > 400) > 0.97
    assert overlap(scan.voxels == 65, np.abs(values - 65) < 10) > 0.8
    assert overlap(scan.voxels > 400, shifted > 400) < 0.8


def sample_linearly(name: str, places_mm: np.ndarray) -> np.ndarray:
    image = nibabel.load(HERE / f"{name}.nii.gz")
    to_index = np.linalg.inv(image.affine)
    indices = (places_mm * [-1, -1, 1]) @ to_index[:3, :3].T + to_index[:3, 3]
    values = np.asarray(image.dataobj, dtype=float)
    return map_coordinates(values, np.moveaxis(indices, -1, 0), order=1, cval=-1000)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Dice's coefficient."""
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_a_tilted_series_read_as_if_upright_would_be_elsewhere(tmp_path):
    """The check above can fail: the sheared file's qform, which ITK takes, is off by millimetres."""
    scan = read_dicom("tilted", tmp_path)
    image = nibabel.load(HERE / "tilted.nii.gz")
    far = list_places_mm(scan)[-1, -1, -1] * [-1, -1, 1]
    qform = image.get_qform()
    corners = [qform[:3, :3] @ [x, y, z] + qform[:3, 3] for x in (0, 39) for y in (0, 43) for z in (0, 15)]
    assert min(np.linalg.norm(far - corner) for corner in corners) > 5


def test_two_thicknesses_are_the_slices_of_dcm2niix_at_their_true_heights(tmp_path):
    """dcm2niix keeps the slices and loses their heights; its _Eq file is resampled from the true heights."""
    scan = read_dicom("two-thicknesses", tmp_path)
    plain = np.asarray(nibabel.load(HERE / "two-thicknesses.nii.gz").dataobj)
    resampled = nibabel.load(HERE / "two-thicknesses_Eq_1.nii.gz")

    assert np.array_equal(scan.voxels, plain.transpose(2, 1, 0)[:, ::-1, ::-1][:, :, ::-1][:, ::1])
    heights = scan.geometry.positions_mm[:, 2]
    np.testing.assert_allclose(np.diff(heights), [2.5] * 23 + [5.0] + [7.5] * 8)
    # Up to the change, its slices are ours
    assert heights[0] == pytest.approx(resampled.affine[2, 3])
    values, off = look_up("two-thicknesses_Eq_1", list_places_mm(scan)[:24])
    assert off < 1e-4
    assert np.array_equal(scan.voxels[:24], values)


@pytest.mark.parametrize("name", [name for name in ACQUISITIONS if name != "two-thicknesses"])
def test_dicom_and_dcm2niixs_file_of_it_are_one_scan(tmp_path, name):
    """Tilted ones included: we read dcm2niix's sheared file at the voxels' true places."""
    dicom, nifti = read_dicom(name, tmp_path), read_scan(HERE / f"{name}.nii.gz")

    assert dicom.geometry.distance_mm(nifti.geometry) < 1e-3
    assert np.array_equal(dicom.voxels, nifti.voxels)
