"""Each slice of a series is looked at: what is foreign, doubled, missing or oddly spaced."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import Level, ScanError
from common.imaging.masks.gaps import refuse_gap_near_lesion
from common.imaging.masks.mask import MaskLabels, read_mask
from common.imaging.options import NO_CHOICE, ReadingOptions
from common.imaging.reader import read_scan
from tests.common.imaging.head_series import Acquisition, write_frames, write_planes

HEAD = Acquisition()
FAR = ReadingOptions(missing_slices="far-from-lesion")


def refused(path: Path, options: ReadingOptions = NO_CHOICE) -> str:
    with pytest.raises(ScanError) as caught:
        read_scan(path, options)
    return str(caught.value)


def write_head(folder: Path, change=None, **differences) -> Path:
    return write_planes(folder, replace(HEAD, **differences), change)


def change_one(index: int, **tags):
    def change(at, one):
        for name, value in tags.items() if at == index else ():
            setattr(one, name, value)

    return change


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({"PatientID": "P8"}, "PatientID"),
        ({"StudyInstanceUID": "1.2.3"}, "StudyInstanceUID"),
        ({"FrameOfReferenceUID": "1.2.3"}, "FrameOfReferenceUID"),
        ({"ConvolutionKernel": "H70h"}, "convolution kernel"),
        ({"RescaleIntercept": -1000}, "rescale"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.9998, -0.02]}, "orientation"),
        ({"PixelSpacing": [5.0, 4.6]}, "pixel spacing"),
    ],
)
def test_one_foreign_slice_is_refused_with_its_files_name_and_no_patients(tmp_path, tags, what):
    message = refused(write_head(tmp_path / "ct", change_one(9, **tags)))

    assert what in message
    assert "009.dcm" in message
    assert "P7" not in message
    assert "P8" not in message


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({"ContrastBolusAgent": "Iopamidol"}, "a contrast agent is named"),
        ({"BurnedInAnnotation": "YES"}, "text is burned into the pixels"),
        ({"PatientName": "Muster^Erika"}, "headers identify the patient: PatientName"),
    ],
)
def test_what_the_last_slice_alone_says_is_noted(tmp_path, tags, what):
    scan = read_scan(write_head(tmp_path / "ct", change_one(15, **tags)))
    assert [note.level for note in scan.notes if what in note.what] == [Level.LOOK]


def test_an_exact_copy_is_dropped_with_a_note_that_names_it(tmp_path):
    folder = write_head(tmp_path / "ct")
    expected = read_scan(folder).voxels
    for name in ("003", "004"):
        (folder / f"{name}.dcm.copy").write_bytes((folder / f"{name}.dcm").read_bytes())

    scan = read_scan(folder)

    assert np.array_equal(scan.voxels, expected)
    (note,) = (note for note in scan.notes if "twice" in note.what)
    assert note.level == Level.KNOW
    assert "2 slice(s) occur twice with equal pixels: 003.dcm.copy, 004.dcm.copy left out" in note.what


def without(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / f"{name}.dcm").unlink()
    return folder


def test_a_missing_slice_is_refused_unless_the_plan_allows_it_and_then_named(tmp_path):
    folder = without(write_head(tmp_path / "ct"), "003")

    assert "1 slice(s) are missing: 16.000 mm between 002.dcm and 004.dcm, 8.000 mm" in refused(folder)
    scan = read_scan(folder, FAR)
    assert scan.gaps == (2,)
    assert scan.geometry.steps_mm.tolist() == [8, 8, 16] + [8] * 11
    (note,) = (note for note in scan.notes if "missing" in note.what)
    assert note.level == Level.LOOK
    assert "16.000 mm between 002.dcm and 004.dcm" in note.what


def test_the_gap_is_found_where_slices_run_towards_the_feet(tmp_path):
    """A head that lies prone with the feet first is turned: what was behind a slice is before it then."""
    head = replace(HEAD, heights_mm=[8.0 * index for index in range(16)])
    folder = tmp_path / "ct"

    def turn(_, one):
        one.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]

    write_planes(folder, head, turn)
    without(folder, "003")
    scan = read_scan(folder, FAR)

    assert scan.geometry.steps_mm[scan.gaps[0]] == pytest.approx(16)


def test_many_missing_slices_are_refused_whatever_the_plan_allows(tmp_path):
    assert "4 slice(s) are missing" in refused(
        without(write_head(tmp_path / "ct"), "002", "004", "006", "008"), FAR
    )


@pytest.mark.parametrize(
    ("lesion", "is_refused"),
    [
        ((2, 4), True),
        ((3, 5), True),
        ((4, 5), True),
        ((5, 7), False),
        ((1, 2), True),
        ((0, 1), False),
        ((0, 14), True),
    ],
    ids=[
        "at its side",
        "right above",
        "a slice above",
        "two slices above",
        "a slice below",
        "two slices below",
        "around",
    ],
)
def test_a_gap_near_the_lesion_is_refused_where_mask_and_scan_meet(tmp_path, lesion, is_refused):
    """Slices of 8 mm; the gap lies between slices 2 and 3: within one slice or 10 mm is near."""
    scan = read_scan(without(write_head(tmp_path / "ct"), "003"), FAR)
    labels = np.zeros(scan.voxels.shape, np.uint8)
    labels[slice(*lesion), 20:24, 20:24] = 1
    if is_refused:
        with pytest.raises(ScanError, match="slices are missing .* mm from the lesion"):
            refuse_gap_near_lesion(scan, labels)
    else:
        refuse_gap_near_lesion(scan, labels)


def test_ten_millimetres_are_near_however_thin_the_slices(tmp_path):
    head = Acquisition(heights_mm=[2.0 * index for index in range(50)])
    scan = read_scan(without(write_planes(tmp_path / "ct", head), "010"), FAR)
    labels = np.zeros(scan.voxels.shape, np.uint8)
    labels[15] = 1
    # Slices 10 and 15 of the others: 10 mm apart
    refuse_gap_near_lesion(scan, labels)
    labels[14] = 1
    with pytest.raises(ScanError, match="8.0 mm from the lesion"):
        refuse_gap_near_lesion(scan, labels)


@pytest.mark.parametrize("change_mm", [0.25, 2.5, 5.0, 7.5])
def test_two_thicknesses_may_overlap_at_the_change(tmp_path, change_mm):
    """2.5 mm up to 77.5, then 77.75, then steps of 7.5: seen in a public head CT."""
    heights = [2.5 * index for index in range(32)]
    heights += [77.5 + change_mm + 7.5 * index for index in range(8)]
    folder = write_head(tmp_path / "ct", heights_mm=heights, thickness_mm=[2.5] * 32 + [7.5] * 8)

    scan = read_scan(folder)

    np.testing.assert_allclose(scan.geometry.offsets_mm[:, 2], heights, atol=1e-6)
    assert scan.gaps == ()
    assert any("two slice spacings, 2.5 and 7.5 mm" in note.what for note in scan.notes)


def test_a_gap_at_the_change_of_thickness_is_no_protocol(tmp_path):
    heights = [2.5 * index for index in range(32)] + [77.5 + 12.5 + 7.5 * index for index in range(8)]
    folder = write_head(tmp_path / "ct", heights_mm=heights, thickness_mm=[2.5] * 32 + [7.5] * 8)
    assert "12.500 mm between 031.dcm and 032.dcm" in refused(folder)


def test_the_really_odd_step_is_named(tmp_path):
    """Most steps are 2.5 mm, a run is 7.5; the step of 0.25 belongs to neither."""
    heights = [2.5 * index for index in range(32)] + [77.75 + 7.5 * index for index in range(8)]
    folder = write_head(tmp_path / "ct", heights_mm=heights, thickness_mm=[2.5] * 40)
    assert "uneven" in refused(folder)
    assert "0.250 mm between 031.dcm and 032.dcm, 2.500 mm elsewhere" in refused(folder)


def test_positions_rounded_to_hundredths_are_even(tmp_path):
    """0.625 mm steps become 0.62 and 0.63, which differ by more than a hundredth of either."""
    heights = [0.625 * index for index in range(200)]
    head = Acquisition(heights_mm=heights)

    def round_position(_, one):
        one.ImagePositionPatient = [round(float(value), 2) for value in one.ImagePositionPatient]

    scan = read_scan(write_planes(tmp_path / "ct", head, round_position))

    assert scan.geometry.evenly_spaced
    np.testing.assert_allclose(scan.geometry.offsets_mm[:, 2], heights, atol=0.01)


def test_noise_in_an_orientations_last_digit_is_no_other_orientation(tmp_path):
    noise = np.random.default_rng(2).normal(0, 2e-5, (16, 6))

    def disturb(index, one):
        one.ImageOrientationPatient = [f"{v:.6f}" for v in np.array([1, 0, 0, 0, 1, 0]) + noise[index]]

    plain, noisy = write_head(tmp_path / "plain"), write_head(tmp_path / "noisy", disturb)

    assert np.array_equal(read_scan(noisy).voxels, read_scan(plain).voxels)
    assert read_scan(noisy).geometry.distance_mm(read_scan(plain).geometry) < 0.02


@pytest.mark.parametrize(("ratio", "level"), [("4.2", Level.KNOW), ("15", Level.LOOK), (None, Level.KNOW)])
def test_lossy_compression_is_noted_with_its_ratio(tmp_path, ratio, level):
    def change(_, one):
        one.LossyImageCompression = "01"
        if ratio:
            one.LossyImageCompressionRatio = ratio

    (note,) = (
        note
        for note in read_scan(write_head(tmp_path / "ct", change)).notes
        if "compressed with loss" in note.what
    )
    assert note.level == level
    assert (f"{ratio} to 1" if ratio else "not stated") in note.what


@pytest.mark.parametrize("group", [2, 8])
def test_files_without_preamble_are_read(tmp_path, group):
    folder = write_head(tmp_path / "ct")
    expected = read_scan(folder).voxels
    for path in folder.iterdir():
        content = path.read_bytes()
        length = struct.unpack("<I", content[140:144])[0]
        path.write_bytes(content[132 if group == 2 else 144 + length :])

    assert np.array_equal(read_scan(folder).voxels, expected)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04" + bytes(400), b"\x08\x00rest of a text", b"\x02\x00", b"", b"\x08\x00\x05\x00"]
)
def test_what_only_lies_beside_dicom_is_not_taken_for_it(tmp_path, content):
    folder = write_head(tmp_path / "ct")
    (folder / "other").write_bytes(content)
    assert any("1 file(s) left out: not DICOM" in note.what for note in read_scan(folder).notes)


def test_padding_that_means_tissue_is_ignored_and_noted(tmp_path):
    def change(_, one):
        one.PixelPaddingValue = 1024 + 65

    plain = read_scan(write_head(tmp_path / "plain"))
    scan = read_scan(write_head(tmp_path / "ct", change))

    assert np.array_equal(scan.voxels, plain.voxels)
    (note,) = (note for note in scan.notes if "padding" in note.what)
    assert note.level == Level.KNOW
    assert "65 HU" in note.what


def test_a_range_of_padding_is_air_as_far_as_it_is_dark(tmp_path):
    """Stored 0 to 1089 are -1024 to 65 HU: the dark part is padding, the brain and the blood are not."""

    def change(_, one):
        pixels = np.frombuffer(one.PixelData, np.uint16).copy()
        pixels[:40] = 7
        one.PixelData = pixels.tobytes()
        one.PixelPaddingValue, one.PixelPaddingRangeLimit = 0, 1024 + 65

    scan = read_scan(write_head(tmp_path / "ct", change))

    assert (scan.voxels[:, 0] == -1000).all()
    assert (scan.voxels == 65).sum() == (HEAD.hu() == 65).sum()


def test_a_fault_in_our_own_lines_is_not_called_unreadable_dicom(tmp_path, monkeypatch):
    def fail(*_):
        raise AttributeError("a mistake of ours")

    folder = write_head(tmp_path / "ct")
    for place in (
        "ct_series.read_voxels",
        "ct_series.list_planes",
        "pixels._rescale",
        "stored._drop_unused_bits",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"common.imaging.dicom.{place}", fail)
            with pytest.raises(AttributeError, match="a mistake of ours"):
                read_scan(folder)


def test_a_malformed_value_is_refused_by_the_tags_name_and_not_shown(tmp_path):
    folder = write_head(tmp_path / "ct")
    content = (folder / "004.dcm").read_bytes()
    place = content.index(b"\x20\x00\x32\x00DS")
    (folder / "004.dcm").write_bytes(content[: place + 8] + b"Muster" + content[place + 14 :])

    message = refused(folder)

    assert "004.dcm: ImagePositionPatient does not hold 3 number(s)" in message
    assert "Muster" not in message


def test_a_file_that_is_deflated_as_a_whole_is_refused(tmp_path):
    """It may inflate to a thousand times its size."""
    folder = write_head(tmp_path / "ct")
    one = pydicom.dcmread(folder / "004.dcm")
    one.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    one.save_as(folder / "004.dcm")
    assert "004.dcm: is deflated as a whole" in refused(folder)


@pytest.mark.parametrize(("bits", "signed"), [(12, 0), (16, 0), (12, 1), (16, 1), (13, 1)])
def test_plain_pixels_are_those_that_pydicom_decodes(tmp_path, bits, signed):
    """Bits above those that count may hold anything."""

    def change(index, one):
        random = np.random.default_rng(index)
        hu = HEAD.hu()[index].astype(np.int64) + (0 if signed else 1024)
        used = hu & ((1 << bits) - 1)
        junk = random.integers(0, 1 << 16, used.shape) & ~((1 << bits) - 1)
        one.BitsStored, one.HighBit, one.PixelRepresentation = bits, bits - 1, signed
        one.RescaleIntercept = 0 if signed else -1024
        one.PixelData = (used | junk).astype("<u2").tobytes()

    folder = write_head(tmp_path / "ct", change)
    expected = [
        pydicom.dcmread(path).pixel_array.astype(int) - (0 if signed else 1024)
        for path in sorted(folder.iterdir())
    ]

    assert np.array_equal(read_scan(folder).voxels, np.stack(expected))
    assert np.array_equal(read_scan(folder).voxels, HEAD.hu())


@pytest.mark.parametrize("kept", [10, 1000, -1])
def test_a_multi_frame_file_that_is_cut_is_refused(tmp_path, kept):
    path = write_frames(tmp_path / "ct" / "image.dcm", HEAD)
    content = path.read_bytes()
    path.write_bytes(content[: kept if kept > 0 else len(content) - 500])
    with pytest.raises(ScanError):
        read_scan(tmp_path / "ct")


@pytest.mark.parametrize(("lesion", "is_refused"), [(5, True), (12, False)])
def test_the_mask_that_is_read_decides_whether_a_gap_matters(tmp_path, lesion, is_refused):
    """The mask as ITK-SNAP saves it: it knows nothing of the gap."""
    scan = read_scan(without(write_head(tmp_path / "ct"), "004"), FAR)
    labels = np.zeros(scan.voxels.shape, np.uint8)
    labels[lesion][scan.voxels[lesion] > 60] = 1
    labels[lesion][scan.voxels[lesion] > 66] = 0
    labels[lesion, 18:22, 25:28] |= not labels[lesion].any()
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((*scan.geometry.spacing_mm, 8.0))
    image.SetOrigin(scan.geometry.positions_mm[0])
    sitk.WriteImage(image, str(tmp_path / "mask.nii.gz"))

    if is_refused:
        with pytest.raises(ScanError, match="slices are missing 8.0 mm from the lesion"):
            read_mask(tmp_path / "mask.nii.gz", scan, MaskLabels())
    else:
        assert read_mask(tmp_path / "mask.nii.gz", scan, MaskLabels()).voxels[lesion].any()
