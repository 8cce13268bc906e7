"""DICOM SEG as highdicom writes it: each voxel where it was drawn, or refused with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import RLELossless

from common.errors import Level, ScanError
from common.imaging.masks.labels import MaskLabels
from common.imaging.masks.mask import Mask, read_mask
from common.imaging.reader import read_scan
from common.imaging.scan import Scan, ScanHeaders
from tests.common.imaging.head_series import Acquisition, write_planes
from tests.common.imaging.segmentations import CEREBRAL, SegType, cut_head, make_seg, read_images, write_seg

ODD = {"rows": 43, "columns": 37}
"""Frames of 43 x 37 bits do not end where bytes end."""

TWO_THICKNESSES = [2.5 * index for index in range(24)] + [57.5 + 5 + 7.5 * index for index in range(9)]

ACQUISITIONS = {
    "upright": Acquisition(**ODD),
    "tilted": Acquisition(tilt_degrees=18.0, **ODD),
    "right to left": Acquisition(right_to_left=True, **ODD),
    "two thicknesses": Acquisition(TWO_THICKNESSES, [2.5] * 24 + [7.5] * 9, **ODD),
}


class Drawn:
    """A head, its bleeding, and of it the part that is said to lie in a ventricle."""

    def __init__(self, acquisition: Acquisition, folder: Path) -> None:
        self.acquisition, self.folder = acquisition, folder
        self.images = read_images(write_planes(folder / "ct", acquisition))
        self.scan = cut_head(acquisition, folder / "ct")
        blood = acquisition.hu() == 65
        slices = np.flatnonzero(blood.any(axis=(1, 2)))
        self.ivh = blood.copy()
        self.ivh[: slices[-1]] = False
        self.ich = blood & ~self.ivh
        self.expected = self._turn(np.where(self.ivh, 2, self.ich).astype(np.uint8))

    def _turn(self, stored: np.ndarray) -> np.ndarray:
        return stored[:, :, ::-1] if self.acquisition.right_to_left else stored

    def write(self, **options) -> Path:
        return write_seg(self.folder / "seg.dcm", self.images, {"ICH": self.ich, "IVH": self.ivh}, **options)

    def write_changed(self, change: Callable[[Dataset], None]) -> Path:
        seg = make_seg(self.images, {"ICH": self.ich, "IVH": self.ivh})
        change(seg)
        path = self.folder / "seg.dcm"
        pydicom.dcmwrite(path, seg, enforce_file_format=True)
        return path

    def read(self, path: Path, labels: MaskLabels | None = None, scan: Scan | None = None) -> Mask:
        return read_mask(path, scan or self.scan, labels or MaskLabels())

    def refuse(self, path: Path, labels: MaskLabels | None = None) -> str:
        with pytest.raises(ScanError) as caught:
            self.read(path, labels)
        return str(caught.value)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Drawn:
    return Drawn(Acquisition(**ODD), tmp_path_factory.mktemp("head"))


@pytest.mark.parametrize("kind", SegType)
@pytest.mark.parametrize("name", ACQUISITIONS)
def test_each_voxel_lies_where_it_was_drawn(tmp_path, name, kind):
    head = Drawn(ACQUISITIONS[name], tmp_path)

    mask = head.read(head.write(kind=kind))

    assert np.array_equal(mask.voxels, head.expected)
    assert {note.level for note in mask.notes} <= {Level.KNOW}
    assert [("fractional" in note.what) for note in mask.notes] == [True] * (kind is SegType.FRACTIONAL)


def test_the_voxels_are_those_that_highdicom_reads(drawn):
    path = drawn.write()
    theirs = hd.seg.segread(path).get_volume(combine_segments=True)
    places = np.argwhere(theirs.array)
    points_mm = places @ theirs.affine[:3, :3].T + theirs.affine[:3, 3]
    expected = np.zeros(drawn.scan.geometry.shape, dtype=np.uint8)
    indices = np.rint(drawn.scan.geometry.indices_of(points_mm)).astype(int)
    expected[tuple(indices.T)] = theirs.array[tuple(places.T)]

    assert expected.any()
    assert np.array_equal(drawn.read(path).voxels, expected)


def test_frames_without_labels_may_be_left_out_and_the_rest_be_in_any_order(drawn):
    def shuffle(seg):
        order = np.random.default_rng(1).permutation(int(seg.NumberOfFrames))
        frames = seg.pixel_array[order]
        seg.PerFrameFunctionalGroupsSequence = [seg.PerFrameFunctionalGroupsSequence[i] for i in order]
        seg.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()
        seg.PixelData += b"\0" * (len(seg.PixelData) % 2)

    path = drawn.write_changed(shuffle)
    assert pydicom.dcmread(path).NumberOfFrames < len(drawn.images)
    assert np.array_equal(drawn.read(path).voxels, drawn.expected)


def test_a_compressed_segmentation_is_read(drawn):
    path = drawn.write(kind=SegType.LABELMAP, transfer_syntax_uid=RLELossless)
    assert np.array_equal(drawn.read(path).voxels, drawn.expected)


def test_a_folder_that_holds_one_segmentation_stands_for_it_even_beside_its_ct(drawn, tmp_path):
    shutil.copytree(drawn.folder / "ct", tmp_path / "study")
    path = shutil.copy(drawn.write(), tmp_path / "study" / "seg")

    scan = read_scan(tmp_path / "study")
    assert scan.headers.frame_of_reference == drawn.images[0].FrameOfReferenceUID
    mask = drawn.read(tmp_path / "study", scan=scan)
    assert np.array_equal(mask.voxels, drawn.expected)
    assert mask.notes == ()

    shutil.copy(path, tmp_path / "study" / "again")
    assert "holds 2 segmentations (again, seg)" in drawn.refuse(tmp_path / "study")
    assert "holds CT Image Storage; a mask must be" in drawn.refuse(drawn.folder / "ct")


def test_positions_rounded_to_a_hundredth_are_the_cts(drawn):
    def shift(seg):
        for frame in seg.PerFrameFunctionalGroupsSequence:
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            frame.PlanePositionSequence[0].ImagePositionPatient = [
                position[0],
                position[1],
                position[2] + 0.01,
            ]

    mask = drawn.read(drawn.write_changed(shift))
    assert np.array_equal(mask.voxels, drawn.expected)
    assert mask.notes == ()


def test_a_segmentation_of_a_finer_series_is_resampled_and_said_to_be(drawn, tmp_path):
    """Only its labelled slices are in the file: the empty ones between and beyond are known all the same."""
    fine = Acquisition([4.0 * index for index in range(31)], rows=86, columns=74, spacing_mm=(2.5, 2.25))
    other = Drawn(fine, tmp_path)

    mask = drawn.read(other.write())

    assert "mask's grid (74x86x" in mask.notes[0].what
    fine_ml = np.count_nonzero(other.ich) * 4 * 2.5 * 2.25 / 1000
    assert mask.volumes().ich_ml == pytest.approx(fine_ml)
    ours_ml = np.count_nonzero(mask.voxels == 1) * 8 * 5 * 4.5 / 1000
    assert ours_ml == pytest.approx(fine_ml, rel=0.15)


def test_a_segmentation_of_another_place_is_refused(drawn):
    def move(seg):
        for frame in seg.PerFrameFunctionalGroupsSequence:
            x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
            frame.PlanePositionSequence[0].ImagePositionPatient = [x + 300, y, z]

    assert "lies outside its CT" in drawn.refuse(drawn.write_changed(move))


def test_voxels_in_both_segments_count_as_ivh_and_have_to_be_looked_at(drawn, tmp_path):
    path = write_seg(tmp_path / "s.dcm", drawn.images, {"ICH": drawn.ich | drawn.ivh, "IVH": drawn.ivh})

    mask = drawn.read(path)

    assert np.array_equal(mask.voxels, drawn.expected)
    (note,) = mask.notes
    overlap_ml = np.count_nonzero(drawn.ivh) * 8 * 5 * 4.5 / 1000
    assert note.level is Level.LOOK
    assert f"{overlap_ml:.2f} ml are marked both as ICH and as IVH" in note.what


def test_unknown_segments_are_refused_with_all_of_them_and_what_to_write(drawn, tmp_path):
    path = write_seg(tmp_path / "s.dcm", drawn.images, {"Blood": drawn.ich, "IVH": drawn.ivh})

    message = drawn.refuse(path)
    assert "segment 1 'Blood' (SCT:50960005) is not known" in message
    assert "2 'IVH' (SCT:50960005)" in message
    assert "ich_names, ivh_names or ignored_names = ['Blood']" in message

    named = MaskLabels(ich_names=("blood*",))
    assert np.array_equal(drawn.read(path, named).voxels, drawn.expected)


def test_a_code_says_what_a_segment_is(drawn, tmp_path):
    codes = {"Segment_1": CEREBRAL, "Segment_2": Code("999", "99SITE", "ours")}
    path = write_seg(
        tmp_path / "s.dcm", drawn.images, {"Segment_1": drawn.ich, "Segment_2": drawn.ivh}, codes=codes
    )
    assert "segment 2 'Segment_2' (99SITE:999) is not known" in drawn.refuse(path)
    assert np.array_equal(drawn.read(path, MaskLabels(ivh_names=("99SITE:999",))).voxels, drawn.expected)


def test_a_segment_without_voxels_needs_no_name_and_one_without_hemorrhage_is_refused(drawn, tmp_path):
    nothing = np.zeros_like(drawn.ich)
    path = write_seg(tmp_path / "s.dcm", drawn.images, {"ICH": drawn.ich, "Tumour": nothing})
    assert np.array_equal(drawn.read(path).voxels == 1, drawn.ich)

    path = write_seg(tmp_path / "e.dcm", drawn.images, {"Edema": drawn.ich})
    assert "neither ICH nor IVH (it holds: 1 'Edema'" in drawn.refuse(path)


@pytest.mark.parametrize(
    ("headers", "levels"),
    [
        (ScanHeaders(patient_id="P7", frame_of_reference="1.2.826.0.1.3680043.8.498.11.5"), []),
        (ScanHeaders(patient_id="P8"), [Level.LOOK]),
        (ScanHeaders(frame_of_reference="1.2.3"), [Level.KNOW]),
    ],
)
def test_another_patient_or_frame_of_reference_is_said_without_naming_anybody(drawn, headers, levels):
    scan = Scan(drawn.scan.source, drawn.scan.voxels, drawn.scan.geometry, headers=headers)
    notes = drawn.read(drawn.write(), scan=scan).notes
    assert [note.level for note in notes] == levels
    assert not any("P7" in str(note) or "P8" in str(note) for note in notes)


def set_tag(keyword, value):
    return lambda seg: setattr(seg, keyword, value)


def drop_frame_group(seg):
    del seg.PerFrameFunctionalGroupsSequence[0]


def spoil_position(seg):
    del seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence


def spoil_spacing(seg):
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0, 1]


def point_elsewhere(seg):
    frame = seg.PerFrameFunctionalGroupsSequence[0]
    frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 9


def repeat_number(seg):
    seg.SegmentSequence[1].SegmentNumber = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_tag("Rows", 65535), "pixels are missing"),
        (
            lambda seg: seg.update({"Rows": 65535, "Columns": 65535}),
            "frames of 65535x65535 pixels: impossible",
        ),
        (set_tag("NumberOfFrames", 1_000_000), "impossible"),
        (set_tag("NumberOfFrames", 0), "impossible"),
        (set_tag("SegmentationType", "SURFACE"), "of type 'SURFACE'"),
        (set_tag("PixelData", b"\0\0"), "pixels are missing"),
        (drop_frame_group, "positions of"),
        (spoil_position, "a frame has no PlanePositionSequence"),
        (spoil_spacing, "impossible orientation or spacing"),
        (point_elsewhere, "segment 9 is not described"),
        (repeat_number, "two segments have one number"),
    ],
)
def test_damaged_and_hostile_files_are_refused(drawn, change, message):
    assert message in drawn.refuse(drawn.write_changed(change))


def test_a_fractional_segmentation_without_a_largest_value_is_refused(drawn):
    seg = make_seg(drawn.images, {"ICH": drawn.ich}, SegType.FRACTIONAL)
    seg.MaximumFractionalValue = 0
    seg.save_as(drawn.folder / "seg.dcm")
    assert "MaximumFractionalValue is 0: impossible" in drawn.refuse(drawn.folder / "seg.dcm")


def test_a_segmentation_on_every_second_slice_has_to_be_looked_at(drawn, tmp_path):
    thinned = drawn.ich | drawn.ivh
    thinned[1::2] = False
    mask = drawn.read(write_seg(tmp_path / "s.dcm", drawn.images, {"ICH": thinned}))
    assert [note.level for note in mask.notes] == [Level.LOOK]
    assert "no slice between them" in mask.notes[0].what


def test_uneven_slices_that_are_not_the_cts_are_refused(drawn, tmp_path):
    other = Drawn(Acquisition([0, 3, 7, 12, 18, 25, 33, 42, 52, 63, 75, 88, 102], **ODD), tmp_path)
    assert "neither those of its CT nor evenly spaced" in drawn.refuse(other.write())
