"""RTSTRUCT: contours filled as plastimatch fills them, on the slices on which they lie, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from common.errors import Level, ScanError
from common.imaging.masks.labels import MaskLabels
from common.imaging.masks.mask import Mask, read_mask
from common.imaging.scan import Scan
from tests.common.imaging.head_series import Acquisition, describe_plane
from tests.common.imaging.segmentations import cut_head, draw_outlines, make_rtstruct, write_rtstruct

REFERENCE = Path(__file__).parents[3] / "reference" / "imaging"

UPRIGHT = Acquisition()
IMAGE = describe_plane(UPRIGHT, 0)


@pytest.fixture
def scan(tmp_path) -> Scan:
    return fill_with_blood(cut_head(UPRIGHT, tmp_path / "ct"))


def fill_with_blood(scan: Scan) -> Scan:
    """No mask on it has a note on its HU."""
    return Scan(scan.source, np.full(scan.geometry.shape, 60, dtype=np.int16), scan.geometry)


def read(path: Path, scan: Scan, labels: MaskLabels | None = None) -> Mask:
    return read_mask(path, scan, labels or MaskLabels())


def refuse(path: Path, scan: Scan) -> str:
    with pytest.raises(ScanError) as caught:
        read(path, scan)
    return str(caught.value)


def by_plastimatch() -> np.ndarray:
    ich, ivh = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(REFERENCE / f"contours-{name}.nrrd")))
        for name in ("ich", "ivh")
    )
    return np.where(ivh, 2, ich).astype(np.uint8)


@pytest.mark.parametrize(
    "acquisition", [UPRIGHT, Acquisition(tilt_degrees=18.0), Acquisition(right_to_left=True)]
)
def test_the_voxels_are_those_of_plastimatch_with_holes_and_whatever_the_tilt(tmp_path, acquisition):
    """Plastimatch read them on the upright series; in a tilted one, they are drawn in the tilted slices."""
    path = write_rtstruct(tmp_path / "rt.dcm", IMAGE, draw_outlines(acquisition))

    mask = read(path, fill_with_blood(cut_head(acquisition, tmp_path)))

    assert np.array_equal(mask.voxels, by_plastimatch())
    assert mask.notes == ()


def test_a_contour_that_is_written_twice_counts_once(tmp_path, scan):
    outlines = {name: contours + contours[:1] for name, contours in draw_outlines(UPRIGHT).items()}
    path = write_rtstruct(tmp_path / "rt.dcm", IMAGE, outlines)
    assert np.array_equal(read(path, scan).voxels, by_plastimatch())


def test_contours_a_little_beside_their_slices_are_taken_to_them_and_said(tmp_path, scan):
    outlines = {
        name: [contour + np.array([0, 0, 0.3]) for contour in contours]
        for name, contours in draw_outlines(UPRIGHT).items()
    }
    mask = read(write_rtstruct(tmp_path / "rt.dcm", IMAGE, outlines), scan)
    assert np.array_equal(mask.voxels, by_plastimatch())
    assert [(note.level, "up to 0.30 mm" in note.what) for note in mask.notes] == [(Level.KNOW, True)]


@pytest.mark.parametrize("case", ["between", "beyond", "oblique", "beside"])
def test_contours_that_are_not_on_the_cts_slices_are_refused(tmp_path, scan, case):
    outlines = draw_outlines(UPRIGHT)
    contour = outlines["ICH"][1]
    if case == "oblique":
        contour[:, 2] += (contour[:, 1] - contour[:, 1].mean()) * 0.1
    else:
        contour += {"between": [0, 0, 3.0], "beyond": [0, 0, 400.0], "beside": [150.0, 0, 0]}[case]
    message = refuse(write_rtstruct(tmp_path / "rt.dcm", IMAGE, outlines), scan)
    if case == "beside":
        assert "points lie outside the CT" in message
    else:
        assert "1 of 4 contours do not lie on slices of the CT" in message


def test_regions_are_known_by_name_and_the_others_are_listed(tmp_path, scan):
    outlines = draw_outlines(UPRIGHT)
    path = write_rtstruct(
        tmp_path / "rt.dcm", IMAGE, {"clot A": outlines["ICH"], "External": outlines["IVH"]}
    )
    assert (
        "segment 1 'clot A' is not known to be ICH or IVH; the file holds: 1 'clot A'; 2 'External'"
        in refuse(path, scan)
    )
    mask = read(path, scan, MaskLabels(ich_names=("clot *",), ignored_names=("*",)))
    assert set(np.unique(mask.voxels)) == {0, 1}

    empty = write_rtstruct(tmp_path / "empty.dcm", IMAGE, {"ICH": [], "BODY": []})
    assert "neither ICH nor IVH (it holds: no contours)" in refuse(empty, scan)


def spoil(change) -> Dataset:
    one = make_rtstruct(IMAGE, draw_outlines(UPRIGHT))
    change(one, one.ROIContourSequence[0].ContourSequence[0])
    return one


def name_by_a_sequence(file, contour):
    file.StructureSetROISequence[0].add(DataElement(0x30060026, "SQ", [Dataset()]))


def number_twice(file, contour):
    file.StructureSetROISequence[1].ROINumber = 1


def point_elsewhere(file, contour):
    file.ROIContourSequence[0].ReferencedROINumber = 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file, contour: setattr(contour, "ContourGeometricType", "POINT"), "a contour is POINT"),
        (lambda file, contour: setattr(contour, "ContourData", ["1", "2"]), "not x, y and z"),
        (lambda file, contour: delattr(contour, "ContourData"), "ContourData is unreadable"),
        (name_by_a_sequence, "segment 1 without a name is not known"),
        (number_twice, "two regions have one number"),
        (point_elsewhere, "region 8 is not described"),
    ],
)
def test_damaged_files_are_refused(tmp_path, scan, change, message):
    path = tmp_path / "rt.dcm"
    spoil(change).save_as(path, enforce_file_format=True)
    assert message in refuse(path, scan)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (b"11.25\\22.5\\  nan", "not x, y and z"),
        (b"11.25\\22.5\\  inf", "not x, y and z"),
        (b"11.25\\22.5 33.75", "ContourData is unreadable"),
        (b"11.25\\22.5\\three", "ContourData is unreadable"),
        (b"11.25\\22.5\\3\xff.75", "ContourData is unreadable"),
    ],
)
def test_damaged_points_are_refused(tmp_path, scan, written, message):
    path = tmp_path / "rt.dcm"
    spoil(lambda file, contour: setattr(contour, "ContourData", ["11.25", "22.5", "33.75"])).save_as(path)
    content = path.read_bytes()
    assert content.count(b"11.25\\22.5\\33.75") == 1
    path.write_bytes(content.replace(b"11.25\\22.5\\33.75", written))
    assert message in refuse(path, scan)


def test_millions_of_points_are_refused_before_they_are_filled(tmp_path, scan, monkeypatch):
    contour = draw_outlines(UPRIGHT)["ICH"][0]
    path = write_rtstruct(tmp_path / "rt.dcm", IMAGE, {"ICH": [contour]})
    monkeypatch.setattr("common.imaging.masks.rtstruct._MOST_POINTS", len(contour) - 1)
    assert "points: impossible" in refuse(path, scan)
    monkeypatch.setattr("common.imaging.masks.rtstruct._MOST_POINTS", len(contour))
    assert read(path, scan).voxels.any()
    monkeypatch.setattr("common.imaging.masks.rtstruct._MOST_CROSSINGS", 10)
    assert "zigzag across the head" in refuse(path, scan)
