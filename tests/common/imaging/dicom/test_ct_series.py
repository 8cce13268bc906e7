"""DICOM series written file by file: each either read exactly, or refused with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from common.errors import ScanError
from common.imaging.reader import read_scan

ROWS, COLUMNS = 36, 32
SPACING = (0.9, 0.8)


def head_slice(index: int) -> np.ndarray:
    """HU of one slice: air, brain whose density tells the slice, and a mark near the first row and column."""
    values = np.full((ROWS, COLUMNS), -1000, dtype=np.int16)
    values[4:20, 3:17] = 30 + index
    values[5, 4] = 90
    return values


def dataset(index: int, position: tuple[float, float, float], **tags: object) -> Dataset:
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = CTImageStorage
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid()
    one.SeriesInstanceUID, one.Modality = "1.2.3.4", "CT"
    one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.Rows, one.Columns, one.PixelSpacing = ROWS, COLUMNS, [SPACING[1], SPACING[0]]
    one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], list(position)
    one.SliceThickness, one.InstanceNumber = 5, index + 1
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
    one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
    one.PixelData = (head_slice(index) + 1024).astype(np.uint16).tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(one, name)
        else:
            setattr(one, name, value)
    return one


Change = Callable[[int, Dataset], None]


def write_series(
    folder: Path, positions: list[tuple[float, float, float]], change: Change | None = None, **tags: object
) -> Path:
    """Files whose names and instance numbers run against the positions' order."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, position in enumerate(positions):
        one = dataset(index, position, **tags)
        one.InstanceNumber = len(positions) - index
        if change:
            change(index, one)
        one.save_as(
            folder / f"{tags.get('SeriesInstanceUID', 'a')}-{index * 7 % 97:02d}.dcm",
            enforce_file_format=True,
        )
    return folder


def upright(count: int = 8, step_mm: float = 5.0) -> list[tuple[float, float, float]]:
    return [(-10.0, -12.0, 100 + index * step_mm) for index in range(count)]


def refused(path: Path) -> str:
    with pytest.raises(ScanError) as caught:
        read_scan(path)
    return str(caught.value)


def notes(path: Path) -> str:
    return " | ".join(str(note) for note in read_scan(path).notes)


def test_a_series_is_ordered_by_position_and_in_hounsfield_units(tmp_path):
    scan = read_scan(write_series(tmp_path / "ct", upright()))

    assert np.array_equal(scan.voxels, np.stack([head_slice(index) for index in range(8)]))
    assert scan.voxels.dtype == np.int16
    assert scan.geometry.spacing_mm == SPACING
    np.testing.assert_allclose(scan.geometry.positions_mm, upright())
    assert [note.what.partition(",")[0] for note in scan.notes] == ["its slices are 29x29 mm"]


def test_voxels_and_positions_are_those_of_itk(tmp_path):
    folder = write_series(tmp_path / "ct", upright())
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    itk = sitk.ReadImage(names)

    scan = read_scan(folder)

    assert np.array_equal(scan.voxels, sitk.GetArrayFromImage(itk))
    for index in ((0, 0, 0), (7, 23, 19), (3, 5, 4)):
        z, y, x = index
        here = (
            scan.geometry.positions_mm[z]
            + y * scan.geometry.spacing_mm[1] * scan.geometry.axes[1]
            + x * scan.geometry.spacing_mm[0] * scan.geometry.axes[0]
        )
        np.testing.assert_allclose(here, itk.TransformIndexToPhysicalPoint((x, y, z)), atol=1e-6)


@pytest.mark.parametrize(
    ("orientation", "flipped"),
    [([-1, 0, 0, 0, 1, 0], 2), ([1, 0, 0, 0, -1, 0], 1)],
    ids=["columns to the right", "rows to the front"],
)
def test_rows_and_columns_are_turned_to_the_patients_axes(tmp_path, orientation, flipped):
    scan = read_scan(write_series(tmp_path / "ct", upright(), ImageOrientationPatient=orientation))

    assert np.array_equal(scan.voxels, np.flip(np.stack([head_slice(i) for i in range(8)]), flipped))
    assert (np.diag(scan.geometry.frame) > 0.99).all()
    # The marked voxel is where the file says, whichever way it is stored
    z, y, x = np.argwhere(scan.voxels == 90)[3]
    here = (
        scan.geometry.positions_mm[z]
        + y * SPACING[1] * scan.geometry.axes[1]
        + x * SPACING[0] * scan.geometry.axes[0]
    )
    stored = (
        np.array(upright()[3])
        + 4 * SPACING[0] * np.array(orientation[:3])
        + 5 * SPACING[1] * np.array(orientation[3:])
    )
    np.testing.assert_allclose(here, stored, atol=1e-9)


def test_a_gantry_tilt_is_kept_in_the_positions_and_noted(tmp_path):
    """A tilted gantry turns the planes about the x axis; the table moves along z all the same."""
    angle = np.radians(20)
    orientation = [1, 0, 0, 0, np.cos(angle), -np.sin(angle)]
    folder = write_series(
        tmp_path / "ct", upright(), ImageOrientationPatient=[round(v, 9) for v in orientation]
    )

    scan = read_scan(folder)

    assert scan.geometry.tilt_degrees == pytest.approx(20, abs=1e-4)
    np.testing.assert_allclose(scan.geometry.positions_mm, upright())
    np.testing.assert_allclose(scan.geometry.steps_mm, 5 * np.cos(angle), rtol=1e-6)
    assert "gantry tilt of 20.0 degrees" in notes(folder)


def test_a_tilt_that_only_the_header_states_is_noted(tmp_path):
    assert "states a gantry tilt of 15.0 degrees" in notes(
        write_series(tmp_path / "ct", upright(), GantryDetectorTilt=15)
    )


@pytest.mark.parametrize("between_mm", [None, 3.75], ids=["abrupt", "contiguous"])
def test_a_two_thickness_protocol_keeps_its_true_positions(tmp_path, between_mm):
    steps = [2.5] * 4 + ([between_mm] if between_mm else []) + [5.0] * 4
    heights = np.concatenate([[0], np.cumsum(steps)])
    thin = 5 if between_mm else 4

    def change(index, one):
        one.SliceThickness = 2.5 if index < thin else 5

    folder = write_series(tmp_path / "ct", [(0, 0, float(z)) for z in heights], change)
    scan = read_scan(folder)

    np.testing.assert_allclose(scan.geometry.offsets_mm[:, 2], heights)
    assert "two slice spacings, 2.5 and 5 mm" in notes(folder)


@pytest.mark.parametrize("thickness_mm", [5.0, None], ids=["one thickness", "no thickness"])
def test_two_spacings_without_two_thicknesses_are_missing_slices(tmp_path, thickness_mm):
    positions = [(0, 0, z) for z in (0, 5, 10, 15, 20, 30, 40, 50)]
    folder = write_series(tmp_path / "ct", positions, SliceThickness=thickness_mm)
    assert "missing" in refused(folder)


def test_a_missing_slice_is_refused_with_its_neighbours(tmp_path):
    message = refused(write_series(tmp_path / "ct", [p for i, p in enumerate(upright(9)) if i != 4]))
    assert "1 slice(s) are missing: 10.000 mm between a-21.dcm and a-28.dcm, 5.000 mm elsewhere" in message


def test_a_slice_that_is_missing_because_its_file_is_no_longer_dicom_is_told_so(tmp_path):
    folder = write_series(tmp_path / "ct", upright(9))
    next(path for path in folder.iterdir() if path.name == "a-28.dcm").write_bytes(b"overwritten" * 20)

    assert refused(folder).endswith("(1 file(s) left out: not DICOM)")


def test_a_spacing_that_varies_by_more_than_a_hundredth_is_refused(tmp_path):
    within = [(0, 0, 5 * i + (0.02 if i == 3 else 0)) for i in range(8)]
    beyond = [(0, 0, 5 * i + (0.05 if i == 3 else 0)) for i in range(8)]

    assert len(read_scan(write_series(tmp_path / "within", within)).voxels) == 8
    assert "spacing is uneven" in refused(write_series(tmp_path / "beyond", beyond))


def test_a_copy_of_a_slice_is_left_out_and_named(tmp_path):
    folder = write_series(tmp_path / "ct", upright())
    expected = read_scan(folder).voxels
    shutil.copy(folder / "a-14.dcm", folder / "copy.dcm")

    assert np.array_equal(read_scan(folder).voxels, expected)
    assert "1 slice(s) occur twice with equal pixels: copy.dcm left out" in notes(folder)


def test_two_slices_at_one_place_that_differ_in_a_pixel_are_refused(tmp_path):
    folder = write_series(tmp_path / "ct", upright())
    other = pydicom.dcmread(folder / "a-14.dcm")
    pixels = bytearray(other.PixelData)
    pixels[100] ^= 1
    other.PixelData = bytes(pixels)
    other.save_as(folder / "other.dcm")

    assert "occur twice with different pixels, first in a-14.dcm and other.dcm" in refused(folder)


def test_several_series_need_a_choice_and_a_file_makes_it(tmp_path):
    folder = write_series(tmp_path / "ct", upright(), SeriesDescription="thick")
    write_series(folder, upright(20, 1.0), SeriesInstanceUID="1.2.9", SeriesDescription="thin")

    message = refused(folder)

    assert "2 CT series" in message
    assert "'thick' (8 slices" in message
    assert "'thin' (20 slices" in message
    assert len(read_scan(folder / "a-00.dcm").voxels) == 8
    assert len(read_scan(folder / "1.2.9-00.dcm").voxels) == 20


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "Secondary Capture Image Storage"),
        ({"Modality": "MR"}, "modality MR"),
        ({"Modality": None}, "modality none"),
        ({"SeriesInstanceUID": None}, "without Series Instance UID"),
    ],
)
def test_what_is_no_ct_slice_is_left_out_beside_a_ct_and_refused_alone(tmp_path, tags, reason):
    alone = tmp_path / "alone"
    alone.mkdir()
    dataset(0, (0, 0, 0), **tags).save_as(alone / "other.dcm", enforce_file_format=True)
    beside = write_series(tmp_path / "beside", upright())
    shutil.copy(alone / "other.dcm", beside)
    (beside / "DICOMDIR").write_bytes(b"x")
    (beside / "readme.txt").write_text("CD of the hospital")

    assert "holds no CT series" in refused(alone)
    assert reason in refused(alone)
    assert len(read_scan(beside).voxels) == 8
    assert reason in notes(beside)
    assert "1 file(s) left out: not DICOM" in notes(beside)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless], ids=["JPEG 2000", "RLE"])
def test_compressed_pixels_are_the_same_pixels(tmp_path, syntax):
    plain = read_scan(write_series(tmp_path / "plain", upright()))

    def compress(_, one):
        one.compress(syntax, generate_instance_uid=False)

    compressed = read_scan(write_series(tmp_path / "compressed", upright(), compress))

    assert np.array_equal(compressed.voxels, plain.voxels)


def test_jpeg_lossless_as_scanners_write_it_is_decoded(tmp_path):
    """A frame coded by hand: no encoder of this syntax is at hand."""
    from pydicom.encaps import encapsulate

    def code(index, one):
        one.PixelData = encapsulate([jpeg_lossless((head_slice(index) + 1024).astype(np.uint16))])
        one["PixelData"].VR = "OB"
        one.file_meta.TransferSyntaxUID = JPEGLosslessSV1

    scan = read_scan(write_series(tmp_path / "ct", upright(), code))

    assert np.array_equal(scan.voxels, np.stack([head_slice(index) for index in range(8)]))


def jpeg_lossless(pixels: np.ndarray) -> bytes:
    """ITU T.81 process 14, selection value 1, with a Huffman table in which every length has eight bits."""
    rows, columns = pixels.shape
    header = b"\xff\xd8"
    header += (
        b"\xff\xc3"
        + (11).to_bytes(2)
        + b"\x10"
        + rows.to_bytes(2)
        + columns.to_bytes(2)
        + b"\x01\x01\x11\x00"
    )
    counts = bytes([0, 0, 0, 0, 16]) + bytes(11)
    header += b"\xff\xc4" + (2 + 17 + 16).to_bytes(2) + b"\x00" + counts + bytes(range(16))
    header += b"\xff\xda" + (8).to_bytes(2) + b"\x01\x01\x00\x01\x00\x00"
    bits = ""
    values = pixels.astype(int)
    for y in range(rows):
        for x in range(columns):
            above = values[y - 1, 0] if y else 1 << 15
            guess = values[y, x - 1] if x else above
            difference = (values[y, x] - guess + 32768) % 65536 - 32768
            length = int(abs(difference)).bit_length()
            bits += f"{length:05b}"
            if length:
                low = difference if difference > 0 else difference + (1 << length) - 1
                bits += f"{low:0{length}b}"
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8)
    return header + data.replace(b"\xff", b"\xff\x00") + b"\xff\xd9"


def test_slope_and_intercept_may_differ_between_slices_and_be_no_whole_numbers(tmp_path):
    def change(index, one):
        one.RescaleSlope, one.RescaleIntercept = (0.5, -1024) if index == 2 else (1, -1024 + index)
        one.PixelData = (head_slice(index) + 1024 - index).clip(0).astype(np.uint16).tobytes()
        if index == 2:
            one.PixelData = ((head_slice(index) + 1024) * 2 + 1).astype(np.uint16).tobytes()

    scan = read_scan(write_series(tmp_path / "ct", upright(), change))

    assert scan.voxels.dtype == np.float32
    np.testing.assert_array_equal(scan.voxels[2], head_slice(2) + 0.5)
    np.testing.assert_array_equal(scan.voxels[3], head_slice(3))


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"RescaleSlope": None}, "no rescale slope"),
        ({"RescaleIntercept": None}, "no rescale slope or intercept"),
        ({"RescaleType": "Z_EFF"}, "Z_EFF"),
        ({"PhotometricInterpretation": "RGB"}, "pixels are RGB, not MONOCHROME2 or MONOCHROME1 -> export"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient is missing"),
        ({"ImageOrientationPatient": None}, "ImageOrientationPatient is missing"),
        ({"PixelSpacing": None}, "PixelSpacing is missing"),
        ({"PixelData": None}, "cannot be decoded"),
        ({"RescaleIntercept": 0}, "not in Hounsfield units"),
        ({"RescaleIntercept": -2048}, "the rescale was applied twice"),
        ({"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]}, "unit vectors"),
        ({"ImageOrientationPatient": [0.8, 0.6, 0, 0, 1, 0]}, "right angles"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "right angles"),
        ({"RescaleSlope": 0}, "impossible rescale slope 0 or intercept -1024 -> export the original"),
    ],
)
def test_pixels_without_meaning_are_refused(tmp_path, tags, reason):
    assert reason in refused(write_series(tmp_path / "ct", upright(), **tags))


def test_numbers_that_are_displayed_inverted_are_hounsfield_units_all_the_same(tmp_path):
    scan = read_scan(write_series(tmp_path / "ct", upright(), PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(scan.voxels, np.stack([head_slice(index) for index in range(8)]))


def test_numbers_that_are_stored_inverted_are_refused(tmp_path):
    def change(index, one):
        one.PhotometricInterpretation = "MONOCHROME1"
        one.PixelData = (4095 - (head_slice(index) + 1024)).astype(np.uint16).tobytes()

    assert "not in Hounsfield units" in refused(write_series(tmp_path / "ct", upright(), change))


def test_padding_becomes_air(tmp_path):
    def change(index, one):
        stored = (head_slice(index) + 1024).astype(np.uint16)
        stored[0, 0], stored[0, 1] = 63536, 0
        one.PixelData, one.PixelPaddingValue = stored.tobytes(), 63536
        one.RescaleIntercept = -1024

    scan = read_scan(write_series(tmp_path / "ct", upright(), change))
    assert (scan.voxels[:, 0, 0] == -1000).all()
    assert (scan.voxels[:, 0, 1] == -1024).all()

    def darker(index, one):
        values = head_slice(index)
        values[0, 0] = -3024
        one.PixelData, one.PixelRepresentation, one.RescaleIntercept = values.tobytes(), 1, 0

    assert (read_scan(write_series(tmp_path / "dark", upright(), darker)).voxels[:, 0, 0] == -1000).all()


def test_slices_of_another_matrix_are_refused(tmp_path):
    def change(index, one):
        one.PixelSpacing = [0.8, 0.8] if index == 5 else [0.8, 0.9]

    assert "slices differ" in refused(write_series(tmp_path / "ct", upright(), change))


def test_contrast_burned_in_text_and_identifying_tags_are_noted_without_their_values(tmp_path):
    folder = write_series(
        tmp_path / "ct",
        upright(),
        ContrastBolusAgent="Iopamidol",
        BurnedInAnnotation="YES",
        PatientName="Muster^Erika",
        PatientBirthDate="19500101",
    )
    found = notes(folder)

    assert "contrast agent is named (0018,0010)" in found
    assert "burned into the pixels" in found
    assert "headers identify the patient: PatientName, PatientBirthDate" in found
    assert "Muster" not in found
    assert "1950" not in found


def test_dates_of_the_scans_identify_nobody_because_they_are_held_against_the_table(tmp_path):
    dates = {"StudyDate": "20240305", "SeriesDate": "20240305", "AcquisitionDate": "20240305"}

    assert "identify" not in notes(write_series(tmp_path / "dated", upright(), **dates))
    named = notes(write_series(tmp_path / "named", upright(), PatientName="Muster^Erika", **dates))
    assert "the patient: PatientName -> remove these tags; dates of scans may stay" in named


@pytest.mark.parametrize("kept", [0.03, 0.5, 0.95, 0.999])
def test_a_truncated_file_is_refused_with_its_name(tmp_path, kept):
    folder = write_series(tmp_path / "ct", upright())
    broken = folder / "a-21.dcm"
    content = broken.read_bytes()
    broken.write_bytes(content[: int(len(content) * kept)])

    message = refused(folder)

    assert "a-21.dcm" in message or "missing" in message


def test_bytes_turned_in_the_headers_never_escape_as_another_error(tmp_path):
    """Whatever a damaged header makes the decoders stumble over, the patient is refused, not the site."""
    folder = write_series(tmp_path / "ct", upright(3))
    broken = folder / "a-07.dcm"
    content = bytearray(broken.read_bytes())
    random = np.random.default_rng(5)
    for _ in range(150):
        damaged = bytearray(content)
        for place in random.integers(132, 700, 3):
            damaged[place] = random.integers(256)
        broken.write_bytes(damaged)
        try:
            read_scan(folder)
        except ScanError:
            continue


def test_a_coronal_series_is_read_as_axial_slices(tmp_path):
    positions = [(0.0, float(5 * index), 0.0) for index in range(8)]
    orientation = [1, 0, 0, 0, 0, -1]
    scan = read_scan(write_series(tmp_path / "ct", positions, ImageOrientationPatient=orientation))

    stored = np.stack([head_slice(index) for index in range(8)])
    assert scan.voxels.shape == (ROWS, 8, COLUMNS)
    assert np.array_equal(scan.voxels, stored.transpose(1, 0, 2)[::-1])
    assert scan.geometry.spacing_mm == (SPACING[0], 5.0)
    assert scan.geometry.steps_mm == pytest.approx(SPACING[1])


def test_a_folder_without_files_and_a_path_to_nothing_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "the folder is empty" in refused(tmp_path / "empty")
    assert "no such file" in refused(tmp_path / "nowhere")
    (tmp_path / "text.dcm").write_text("nothing")
    assert "not a slice of a CT" in refused(tmp_path / "text.dcm")


def test_one_slice_is_no_scan(tmp_path):
    assert "one slice only" in refused(write_series(tmp_path / "ct", upright(1)))


def test_pydicom_is_the_release_whose_errors_are_known():
    assert pydicom.__version_info__[0] == "3"
