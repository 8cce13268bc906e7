"""Two hospitals' folders as hospitals hold them: one of DICOM series, one of NIfTI, NRRD and MetaImage files.

They are built on `sites.handmade` and written with pydicom and ITK alone, without a line of the simulator.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from sites.handmade import make_site, read_rows, write_table

_INTERCEPT = -1024


def make_north(folder: Path, patients: int = 15) -> Path:
    """A site whose CTs are DICOM series; the outcome comes from follow-up series and masks."""
    make_site(folder, "north", patients)
    rows = read_rows(folder)
    for row in rows:
        grows = float(row.pop("followup_ich_volume_ml")) > 30
        del row["followup_ivh_volume_ml"]
        ct, mask = folder / row["baseline_ct"], folder / row["baseline_mask"]
        image, lesion = sitk.ReadImage(str(ct)), sitk.ReadImage(str(mask))
        series = Path("dicom") / row["patient"]
        write_series(folder / series / "baseline", image, seed=f"{row['patient']}/0")
        row["baseline_ct"] = str(series / "baseline")
        later = sitk.BinaryDilate(lesion, [3, 3, 1]) if grows else _draw_again(lesion)
        bright = sitk.Mask(image, later, maskingValue=1, outsideValue=66)
        write_series(folder / series / "followup", bright, seed=f"{row['patient']}/1")
        row["followup_ct"] = str(series / "followup")
        row["followup_mask"] = str(Path("images") / f"{row['patient']}_later.nii.gz")
        sitk.WriteImage(later, str(folder / row["followup_mask"]))
        ct.unlink()
    write_table(folder, rows)
    return folder


def make_south(folder: Path, patients: int = 14) -> Path:
    """A site of NIfTI files, among them a CT in NRRD and a mask in MetaImage; its table has the volumes."""
    make_site(folder, "south", patients, seed=1)
    rows = read_rows(folder)
    _rewrite(folder, rows[1], "baseline_ct", ".nrrd")
    _rewrite(folder, rows[2], "baseline_mask", ".mha")
    write_table(folder, rows)
    return folder


def _draw_again(lesion: sitk.Image) -> sitk.Image:
    """The same volume one voxel to the side: nobody draws the same mask twice."""
    again = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(lesion), 1, axis=2))
    again.CopyInformation(lesion)
    return again


def write_series(folder: Path, image: sitk.Image, seed: str) -> None:
    """A volume as a CT series, one file a slice."""
    folder.mkdir(parents=True)
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
        generate_uid(entropy_srcs=[seed, level]) for level in ("study", "series")
    )
    dataset.PatientID, dataset.RescaleSlope, dataset.RescaleIntercept = "", 1, _INTERCEPT
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    columns, rows, slices = image.GetSize()
    x_mm, y_mm, z_mm = image.GetSpacing()
    dataset.Rows, dataset.Columns, dataset.PixelSpacing = rows, columns, [y_mm, x_mm]
    dataset.ImageOrientationPatient, dataset.SliceThickness = [1, 0, 0, 0, 1, 0], z_mm
    stored = (sitk.GetArrayFromImage(image).astype(np.int32) - _INTERCEPT).astype("<u2")
    for index in range(slices):
        uid = generate_uid(entropy_srcs=[seed, str(index)])
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.ImagePositionPatient = [0, 0, index * z_mm]
        dataset.InstanceNumber, dataset.PixelData = index + 1, stored[index].tobytes()
        # File names say nothing of the order, as in many archives
        pydicom.dcmwrite(folder / f"{uid[-12:]}.dcm", dataset, enforce_file_format=True)


def files_by_height(series: Path) -> list[Path]:
    """A series' files from the lowest slice to the highest."""
    heights = {
        path: pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]
        for path in series.iterdir()
    }
    return sorted(heights, key=heights.__getitem__)


def lose_a_slice(folder: Path, row: dict[str, object]) -> None:
    """One file of the middle of the patient's baseline series is not there."""
    files_by_height(folder / str(row["baseline_ct"]))[5].unlink()


def cut_a_file(folder: Path, row: dict[str, object], column: str = "baseline_ct") -> None:
    """A transfer of the patient's image broke off: of a series one file is half, of a volume the file."""
    path = folder / str(row[column])
    path = files_by_height(path)[3] if path.is_dir() else path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def move_mask(folder: Path, row: dict[str, object]) -> None:
    """The patient's mask lies in another place than the head."""
    path = folder / str(row["baseline_mask"])
    mask = sitk.ReadImage(str(path))
    mask.SetOrigin((300.0, -250.0, 80.0))
    sitk.WriteImage(mask, str(path))


def empty_mask(folder: Path, row: dict[str, object]) -> None:
    """Nothing is drawn in the patient's mask."""
    path = folder / str(row["baseline_mask"])
    sitk.WriteImage(sitk.ReadImage(str(path)) * 0, str(path))


def store_raw_numbers(folder: Path, row: dict[str, object]) -> None:
    """The patient's CT was exported without its rescale."""
    path = folder / str(row["baseline_ct"])
    sitk.WriteImage(sitk.ReadImage(str(path)) + 1024, str(path))


def copy_scan(folder: Path, source: dict[str, object], target: dict[str, object]) -> None:
    """The second patient's CT is a copy of the first one's, under its own name."""
    path = folder / str(target["baseline_ct"])
    if path.is_dir():
        shutil.rmtree(path)
        shutil.copytree(folder / str(source["baseline_ct"]), path)
    else:
        shutil.copy(folder / str(source["baseline_ct"]), path)


def _rewrite(folder: Path, row: dict[str, object], column: str, suffix: str) -> None:
    before = folder / str(row[column])
    after = before.with_name(before.name.removesuffix(".nii.gz") + suffix)
    sitk.WriteImage(sitk.ReadImage(str(before)), str(after))
    before.unlink()
    row[column] = str(after.relative_to(folder))
