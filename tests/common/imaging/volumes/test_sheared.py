"""Tilted scans as dcm2niix, ITK and nibabel write them, against the DICOM series they were made from."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import Level, ScanError
from common.imaging.masks.mask import MaskLabels, read_mask
from common.imaging.reader import read_scan
from tests.reference.imaging.make_dcm2niix import HERE, write_dicom

TILTED = ["tilted", "tilted-forward"]
SAME_MM = 1e-3
TABLE_HU = (64, 66)
"""The hematoma in `head_series`."""


def look_at(path: Path) -> str:
    return " | ".join(note.what for note in read_scan(path).notes if note.level is Level.LOOK)


@pytest.fixture(autouse=True)
def quiet():
    """ITK, which is the other program here, warns of such files."""
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    yield
    sitk.ProcessObject.SetGlobalWarningDisplay(True)


@pytest.mark.parametrize("name", [*TILTED, "upright", "right-to-left"])
def test_what_dcm2niix_wrote_is_the_dicom_series(tmp_path, name):
    dicom = read_scan(write_dicom(name, tmp_path / "dicom"))

    nifti = read_scan(HERE / f"{name}.nii.gz")

    assert np.array_equal(nifti.voxels, dicom.voxels)
    assert nifti.geometry.distance_mm(dicom.geometry) < SAME_MM
    assert nifti.geometry.voxel_volumes_ml() == pytest.approx(dicom.geometry.voxel_volumes_ml(), rel=1e-5)
    assert look_at(HERE / f"{name}.nii.gz") == ""
    tilts = [note.what for note in nifti.notes if "tilt" in note.what]
    assert len(tilts) == (name in TILTED)


@pytest.mark.parametrize("name", TILTED)
def test_itk_alone_would_be_wrong(name, capfd):
    """Why the file is not left to ITK: it takes the orthogonal qform, and warns in the terminal."""
    itk = sitk.ReadImage(str(HERE / f"{name}.nii.gz"))
    last = itk.TransformIndexToPhysicalPoint([size - 1 for size in itk.GetSize()])

    geometry = read_scan(HERE / f"{name}.nii.gz").geometry

    assert np.linalg.norm(geometry.corners_mm() - np.array(last), axis=1).min() > 10
    sitk.ProcessObject.SetGlobalWarningDisplay(True)
    read_scan(HERE / f"{name}.nii.gz")
    assert capfd.readouterr() == ("", "")


def draw_with_itk(path: Path, target: Path) -> Path:
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.Cast(sitk.BinaryThreshold(image, *TABLE_HU), sitk.sitkUInt8), str(target))
    return target


def draw_with_itk_on_dicom(folder: Path, target: Path) -> Path:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.ReadImage(names)
    sitk.WriteImage(sitk.Cast(sitk.BinaryThreshold(image, *TABLE_HU), sitk.sitkUInt8), str(target))
    return target


def draw_with_nibabel(path: Path, target: Path, *, with_header: bool) -> Path:
    image = nibabel.load(path)
    values = np.asarray(image.dataobj)
    marked = ((values >= TABLE_HU[0]) & (values <= TABLE_HU[1])).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(marked, image.affine, image.header if with_header else None), target)
    return target


@pytest.mark.parametrize("name", TILTED)
@pytest.mark.parametrize("ct", ["dicom", "nifti"])
def test_a_mask_drawn_on_either_file_is_matched_by_index(tmp_path, name, ct):
    folder = write_dicom(name, tmp_path / "dicom")
    file = HERE / f"{name}.nii.gz"
    scan = read_scan(folder if ct == "dicom" else file)
    expected = (scan.voxels >= TABLE_HU[0]) & (scan.voxels <= TABLE_HU[1])
    volume_ml = float(expected.sum(axis=(1, 2)) @ scan.geometry.voxel_volumes_ml())
    masks = [
        draw_with_itk(file, tmp_path / "itk.nii.gz"),
        draw_with_itk(file, tmp_path / "itk.nrrd"),
        draw_with_itk_on_dicom(folder, tmp_path / "itk-dicom.nii.gz"),
        draw_with_nibabel(file, tmp_path / "header.nii.gz", with_header=True),
        draw_with_nibabel(file, tmp_path / "affine.nii.gz", with_header=False),
    ]
    for path in masks:
        mask = read_mask(path, scan, MaskLabels())

        assert np.array_equal(mask.voxels > 0, expected), path.name
        assert mask.volumes().ich_ml == pytest.approx(volume_ml, rel=1e-5)
        assert [note for note in mask.notes if note.level is Level.LOOK] == []


@pytest.mark.parametrize("name", TILTED)
def test_a_mask_of_another_scan_is_not_matched_by_index(tmp_path, name):
    scan = read_scan(HERE / f"{name}.nii.gz")
    moved = sitk.ReadImage(str(draw_with_itk(HERE / f"{name}.nii.gz", tmp_path / "moved.nii.gz")))
    moved.SetOrigin(np.add(moved.GetOrigin(), (3.0, 0, 0)))
    sitk.WriteImage(moved, str(tmp_path / "moved.nii.gz"))

    mask = read_mask(tmp_path / "moved.nii.gz", scan, MaskLabels())

    assert any("grid" in note.what for note in mask.notes if note.level is Level.LOOK)


@pytest.mark.parametrize("name", TILTED)
def test_a_ct_whose_true_steps_are_lost_is_sent_back_to_its_dicom(tmp_path, name):
    """nibabel, given the affine alone, writes its columns' lengths into pixdim in place of the true ones."""
    image = nibabel.load(HERE / f"{name}.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine), tmp_path / "ct.nii.gz")

    with pytest.raises(ScanError, match="use the DICOM series"):
        read_scan(tmp_path / "ct.nii.gz")


def test_a_shear_that_no_gantry_makes_is_sent_back_to_its_dicom(tmp_path):
    image = nibabel.load(HERE / "upright.nii.gz")
    sheared = image.affine.copy()
    sheared[0, 1] = 1.5
    image.set_sform(sheared, 1)
    nibabel.save(image, tmp_path / "ct.nii.gz")

    with pytest.raises(ScanError, match="use the DICOM series"):
        read_scan(tmp_path / "ct.nii.gz")


def test_a_true_shear_is_read_as_it_is(tmp_path):
    """As programs write it that give NIfTI the vector from slice to slice."""
    step = np.array([[-0.5, 0, 0, 0], [0, 0.5, -1.2, 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    voxels = np.full((400, 400, 20), -1000, dtype=np.int16)
    voxels[80:320, 60:340] = 35
    image = nibabel.Nifti1Image(voxels, step)
    nibabel.save(image, tmp_path / "ct.nii.gz")

    geometry = read_scan(tmp_path / "ct.nii.gz").geometry

    assert geometry.tilt_degrees == pytest.approx(np.degrees(np.arctan(1.2 / 5)), abs=1e-4)
    np.testing.assert_allclose(np.diff(geometry.positions_mm, axis=0), [[0, 1.2, 5]] * 19, atol=1e-5)
