"""Enhanced multi-frame CT: what frames share and what is each one's own (PS3.3 A.38, C.7.6.16)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, RLELossless

from common.errors import ScanError
from common.imaging.reader import read_scan
from tests.common.imaging.head_series import Acquisition, describe_frames, write_frames, write_planes

HEAD = Acquisition()
MIXED = [*range(1, 16, 2), *range(0, 16, 2)]


def save(folder: Path, one: Dataset) -> Path:
    folder.mkdir()
    one.save_as(folder / "image.dcm", enforce_file_format=True)
    return folder


def test_a_multi_frame_file_is_the_series_of_its_slices(tmp_path):
    single = read_scan(write_planes(tmp_path / "single", HEAD))
    multi = read_scan(write_frames(tmp_path / "multi" / "image.dcm", HEAD, MIXED).parent)

    assert np.array_equal(multi.voxels, single.voxels)
    assert multi.voxels.dtype == np.int16
    assert multi.geometry.distance_mm(single.geometry) == 0
    assert multi.headers == single.headers


def test_ct_that_was_converted_to_enhanced_ct_is_read(tmp_path):
    one = describe_frames(HEAD)
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.2"
    assert np.array_equal(read_scan(save(tmp_path / "ct", one)).voxels, HEAD.hu())


def test_a_tilted_multi_frame_series_keeps_its_tilt(tmp_path):
    head = Acquisition(tilt_degrees=18.0)
    scan = read_scan(write_frames(tmp_path / "ct" / "image.dcm", head, MIXED).parent)
    assert scan.geometry.tilt_degrees == pytest.approx(18, abs=1e-4)
    assert np.array_equal(scan.voxels, head.hu())


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_compressed_frames_are_decoded_one_by_one(tmp_path, syntax):
    one = describe_frames(HEAD, MIXED)
    one.compress(syntax, generate_instance_uid=False)
    assert np.array_equal(read_scan(save(tmp_path / "ct", one)).voxels, HEAD.hu())


def test_what_a_frame_says_itself_counts_before_what_all_share(tmp_path):
    one = describe_frames(HEAD)
    stored = np.frombuffer(one.PixelData, "<u2").reshape(HEAD.hu().shape).copy()
    for index, frame in enumerate(one.PerFrameFunctionalGroupsSequence):
        own = Dataset()
        own.RescaleSlope, own.RescaleIntercept, own.RescaleType = 1, -1024 + index, "HU"
        frame.PixelValueTransformationSequence = Sequence([own])
        stored[index] = (HEAD.hu()[index].astype(int) + 1024 - index).clip(0)
    one.PixelData = stored.tobytes()

    assert np.array_equal(read_scan(save(tmp_path / "ct", one)).voxels, HEAD.hu())


@pytest.mark.parametrize(
    "group", ["PixelMeasuresSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence"]
)
def test_a_group_that_neither_has_is_missed_by_name(tmp_path, group):
    one = describe_frames(HEAD)
    delattr(one.SharedFunctionalGroupsSequence[0], group)
    with pytest.raises(ScanError, match=f"image.dcm: {group} is missing"):
        read_scan(save(tmp_path / "ct", one))


def test_a_frame_without_description_is_refused(tmp_path):
    one = describe_frames(HEAD)
    one.PerFrameFunctionalGroupsSequence = one.PerFrameFunctionalGroupsSequence[:-1]
    with pytest.raises(ScanError, match="has 16 frames and describes 15"):
        read_scan(save(tmp_path / "ct", one))


def test_a_missing_frame_is_named(tmp_path):
    one = describe_frames(HEAD, [index for index in range(16) if index != 6])
    with pytest.raises(ScanError, match="between image.dcm, frame 6 and image.dcm, frame 7"):
        read_scan(save(tmp_path / "ct", one))


def test_contrast_in_a_sequence_is_noted(tmp_path):
    one = describe_frames(HEAD)
    agent = Dataset()
    agent.ContrastBolusAgentNumber = 1
    one.ContrastBolusAgentSequence = Sequence([agent])
    assert any("contrast agent" in note.what for note in read_scan(save(tmp_path / "ct", one)).notes)
