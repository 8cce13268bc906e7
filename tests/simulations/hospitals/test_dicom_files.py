from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
from pydicom.uid import UID

from common.imaging.masks.mask import MaskLabels, read_mask
from common.imaging.reader import read_scan
from simulations.hospitals.dicom_files import SeriesOrigin, write_series
from simulations.hospitals.nifti_files import write_nifti
from simulations.phantom.images import Image
from simulations.phantom.scanners import SCANNERS

SCANNER = replace(SCANNERS[0], matrix=40, pixel_mm=5.0, slices=9, thickness_mm=5.0)
ORIGIN = SeriesOrigin("center1-0007", 0, 3)

# PS3.3: types 1 and 2 of the modules of a CT image (A.3), and what viewers need of type 3
REQUIRED = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID Modality
ImageType PatientID PatientPosition SeriesNumber InstanceNumber AcquisitionNumber Manufacturer
KVP SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit
PixelRepresentation PixelData PixelSpacing ImageOrientationPatient ImagePositionPatient
SliceThickness RescaleIntercept RescaleSlope RescaleType WindowCenter WindowWidth
ConvolutionKernel GantryDetectorTilt SliceLocation StudyID"""
MAY_BE_EMPTY = """PatientName PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber
ReferringPhysicianName PositionReferenceIndicator"""


def image(*, tilted: bool = False) -> Image:
    geometry = SCANNER.build_geometry(tilted=tilted)
    random = np.random.default_rng(0)
    hu = random.integers(-1024, 3000, geometry.shape).astype(np.int16)
    hu[:, :10], hu[:, 10:30] = -1000, 35  # air and soft tissue, so that readers take it for a head
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[3:6, 12:20, 14:22] = 1
    labels[4, 22:25, 14:22] = 2
    return Image(geometry, hu, labels)


def read_by_itk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def test_every_file_holds_what_the_standard_demands(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", image(), SCANNER, ORIGIN)
    files = sorted((tmp_path / "ct").iterdir())
    assert len(files) == 9
    for file in files:
        dataset = pydicom.dcmread(file)
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.SOPClassUID.name == "CT Image Storage"
        for keyword in REQUIRED.split():
            assert dataset.get(keyword) not in (None, ""), keyword
        for keyword in MAY_BE_EMPTY.split():
            assert keyword in dataset, keyword
            assert not dataset.get(keyword), f"{keyword} would name somebody"


def test_uids_are_valid_unique_and_derived_from_the_seed(tmp_path: Path) -> None:
    for stage in (0, 1):
        for seed in (3, 4):
            origin = replace(ORIGIN, stage=stage, seed=seed)
            write_series(tmp_path / f"{stage}{seed}", image(), SCANNER, origin)
    datasets = [pydicom.dcmread(file, stop_before_pixels=True) for file in sorted(tmp_path.rglob("*.dcm"))]
    instances = [str(dataset.SOPInstanceUID) for dataset in datasets]
    assert len(set(instances)) == len(instances) == 36
    assert len({str(dataset.SeriesInstanceUID) for dataset in datasets}) == 4
    for uid in (*instances, *(str(dataset.FrameOfReferenceUID) for dataset in datasets)):
        assert UID(uid).is_valid
        assert uid.startswith("2.25.")
        assert int(uid.removeprefix("2.25.")) < 2**128


def test_the_same_scan_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "again"):
        write_series(tmp_path / name, image(), SCANNER, ORIGIN)
        write_nifti(tmp_path / f"{name}.nii.gz", image().hu, image().geometry)
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    assert (tmp_path / "first.nii.gz").read_bytes() == (tmp_path / "again.nii.gz").read_bytes()


def test_pydicom_and_itk_read_the_drawn_hounsfield_units(tmp_path: Path) -> None:
    drawn = image()
    write_series(tmp_path / "ct", drawn, SCANNER, ORIGIN)
    for index, file in enumerate(sorted((tmp_path / "ct").iterdir())):
        dataset = pydicom.dcmread(file)
        stored = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        np.testing.assert_array_equal(stored, drawn.hu[index])
    by_itk = read_by_itk(tmp_path / "ct")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(by_itk), drawn.hu)
    np.testing.assert_allclose(by_itk.GetSpacing(), (5, 5, 5))
    np.testing.assert_allclose(by_itk.GetOrigin(), drawn.geometry.positions_mm[0])


def test_itk_reads_the_same_grid_from_dicom_and_from_nifti(tmp_path: Path) -> None:
    drawn = image()
    write_series(tmp_path / "ct", drawn, SCANNER, ORIGIN)
    write_nifti(tmp_path / "ct.nii.gz", drawn.hu, drawn.geometry)
    by_series, by_file = read_by_itk(tmp_path / "ct"), sitk.ReadImage(str(tmp_path / "ct.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(by_series), sitk.GetArrayFromImage(by_file))
    for of_series, of_file in (
        (by_series.GetOrigin(), by_file.GetOrigin()),
        (by_series.GetSpacing(), by_file.GetSpacing()),
        (by_series.GetDirection(), by_file.GetDirection()),
    ):
        np.testing.assert_allclose(of_series, of_file, atol=1e-4)


@pytest.mark.parametrize("tilted", [False, True])
def test_our_reader_finds_the_drawn_geometry_and_mask(tmp_path: Path, *, tilted: bool) -> None:
    drawn = image(tilted=tilted)
    write_series(tmp_path / "ct", drawn, SCANNER, ORIGIN)
    write_nifti(tmp_path / "mask.nii.gz", drawn.labels, drawn.geometry)
    scan = read_scan(tmp_path / "ct")
    np.testing.assert_array_equal(scan.voxels, drawn.hu)
    np.testing.assert_allclose(scan.geometry.positions_mm, drawn.geometry.positions_mm, atol=1e-6)
    assert scan.geometry.tilt_degrees == pytest.approx(12.0 if tilted else 0.0, abs=0.01)
    mask = read_mask(tmp_path / "mask.nii.gz", scan, MaskLabels())
    np.testing.assert_array_equal(mask.voxels, drawn.labels)
    assert mask.volumes().ich_ml == pytest.approx(drawn.volumes.ich_ml, rel=1e-6)
    assert mask.volumes().ivh_ml == pytest.approx(drawn.volumes.ivh_ml, rel=1e-6)


def test_a_tilted_series_is_sheared_as_a_moving_table_shears_it(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", image(tilted=True), SCANNER, ORIGIN)
    files = [pydicom.dcmread(file) for file in sorted((tmp_path / "ct").iterdir())]
    positions = np.array([file.ImagePositionPatient for file in files], dtype=float)
    cosines = np.array(files[0].ImageOrientationPatient, dtype=float)
    # The table moves along z only, the slices lean by 12 degrees about the left-right axis
    np.testing.assert_allclose(np.diff(positions, axis=0), [[0, 0, 5.0]] * 8, atol=1e-6)
    np.testing.assert_allclose(
        cosines, [1, 0, 0, 0, np.cos(np.radians(12)), np.sin(np.radians(12))], atol=1e-6
    )
    assert float(files[0].GantryDetectorTilt) == pytest.approx(12, abs=0.01)


def test_a_tilted_scans_mask_is_what_itk_snap_would_save(tmp_path: Path) -> None:
    drawn = image(tilted=True)
    write_series(tmp_path / "ct", drawn, SCANNER, ORIGIN)
    write_nifti(tmp_path / "mask.nii.gz", drawn.labels, drawn.geometry)
    seen, mask = read_by_itk(tmp_path / "ct"), sitk.ReadImage(str(tmp_path / "mask.nii.gz"))
    assert mask.GetSize() == seen.GetSize()
    np.testing.assert_allclose(mask.GetOrigin(), seen.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(mask.GetDirection(), seen.GetDirection(), atol=1e-4)
    np.testing.assert_allclose(mask.GetSpacing()[:2], seen.GetSpacing()[:2], atol=1e-5)
