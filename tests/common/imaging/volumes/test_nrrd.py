"""NRRD headers: 3D Slicer's and ITK's, spaces, axes, data files."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import Level, ScanError
from common.imaging.volumes.volume import read_volume

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 6, 5)).astype("<i2")
HEADER = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "5 6 4",
    "space directions": "(0.8,0,0) (0,0.9,0) (0,0,5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-12,5,30)",
}


def write(path, data=None, ending="\n", **changes):
    fields = {**HEADER, **{name.replace("_", " "): value for name, value in changes.items()}}
    lines = ["NRRD0005", "# a comment: of nobody", *(f"{k}: {v}" for k, v in fields.items() if v is not None)]
    lines += ["Segmentation_Version:=1", "", ""]
    path.write_bytes(ending.join(lines).encode() + (VOXELS.tobytes() if data is None else data))
    return path


def refused(path):
    with pytest.raises(ScanError) as caught:
        read_volume(path)
    return str(caught.value)


def require_itks(path):
    """Voxels and places are those that ITK reads."""
    itk, volume = sitk.ReadImage(str(path)), read_volume(path)
    x, y, z = (index - 1 for index in itk.GetSize()[:3])
    one = itk.TransformIndexToPhysicalPoint
    corners = [one((i, j, k)) for k in (0, z) for i in (0, x) for j in (0, y)]
    ours = volume.geometry.corners_mm()
    apart = np.linalg.norm(np.array(corners)[:, None] - ours[None], axis=2)
    assert apart.min(axis=1).max() < 1e-9
    inner = itk[:, :, :] if itk.GetDimension() == 3 else itk[:, :, :, 0]
    values = sitk.GetArrayFromImage(inner)
    z, y, x = np.unravel_index(volume.voxels.argmax(), volume.voxels.shape)
    here = (
        volume.geometry.positions_mm[z] + np.array([x, y]) * volume.geometry.spacing_mm @ volume.geometry.axes
    )
    there = one([int(index) for index in np.unravel_index(values.argmax(), values.shape)[::-1]])
    np.testing.assert_allclose(here, there, atol=1e-9)
    return volume


@pytest.mark.parametrize("space", ["left-posterior-superior", "LPS", "right-anterior-superior", "RAS", "LAS"])
@pytest.mark.parametrize("directions", [HEADER["space directions"], "(0,0,-2) (-0.5,0.1,0) (0.1,0.5,0)"])
def test_every_space_is_read_as_itk_does(tmp_path, space, directions):
    volume = require_itks(write(tmp_path / "ct.nrrd", space=space, space_directions=directions))
    assert volume.notes == ()


def test_line_ends_of_windows_and_units(tmp_path):
    path = write(tmp_path / "ct.nrrd", ending="\r\n", space_units='"mm" "mm" "mm"')
    assert np.array_equal(read_volume(path).voxels, VOXELS)
    assert "unit of length" in refused(write(path, space_units='"um" "um" "um"'))


@pytest.mark.parametrize("name", ["int16", "short int", "uchar", "unsigned long long", "float", "double"])
@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "gz"])
def test_every_type_and_byte_order(tmp_path, name, endian, encoding):
    kind = {"int16": "i2", "short int": "i2", "uchar": "u1", "unsigned long long": "u8"}.get(name, name[0])
    dtype = {"f": "f4", "d": "f8"}.get(kind, kind)
    values = np.abs(VOXELS) % 200
    data = values.astype((">" if endian == "big" else "<") + dtype).tobytes()
    data = data if encoding == "raw" else gzip.compress(data)
    path = write(tmp_path / "ct.nrrd", data, type=name, endian=endian, encoding=encoding)

    assert np.array_equal(read_volume(path).voxels, values)


@pytest.mark.parametrize(
    ("sizes", "directions", "kinds"),
    [
        ("1 5 6 4", "none (0.8,0,0) (0,0.9,0) (0,0,5)", "list domain domain domain"),
        ("5 6 4 1", "(0.8,0,0) (0,0.9,0) (0,0,5) none", "domain domain domain list"),
    ],
)
def test_an_axis_of_one_is_no_axis_of_space(tmp_path, sizes, directions, kinds):
    path = write(tmp_path / "s.nrrd", dimension="4", sizes=sizes, space_directions=directions, kinds=kinds)

    volume = read_volume(path)

    assert np.array_equal(volume.voxels, VOXELS)
    assert volume.geometry.spacing_mm == pytest.approx((0.8, 0.9))


def test_a_segmentation_of_two_layers_is_named_for_what_it_is(tmp_path):
    path = write(
        tmp_path / "s.seg.nrrd",
        VOXELS.tobytes() * 2,
        dimension="4",
        sizes="2 5 6 4",
        space_directions="none (0.8,0,0) (0,0.9,0) (0,0,5)",
        kinds="list domain domain domain",
    )
    assert "2 layers, as 3D Slicer writes segments that overlap" in refused(path)
    vectors = write(
        path, VOXELS.tobytes() * 3, dimension="4", sizes="3 5 6 4", kinds="vector domain domain domain"
    )
    assert "one value a voxel" in refused(vectors)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"space": None}, "which way the patient lies"),
        ({"space": "scanner-xyz"}, "which way the patient lies"),
        (
            {"space": None, "space_directions": None, "space_origin": None, "spacings": "0.8 0.9 5"},
            "which way",
        ),
    ],
    ids=["no space", "the scanner's", "spacings alone"],
)
def test_a_file_that_does_not_say_which_way_the_patient_lies_is_to_be_looked_at(tmp_path, changes, said):
    (note,) = read_volume(write(tmp_path / "ct.nrrd", **changes)).notes
    assert note.level is Level.LOOK
    assert said in note.what


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sizes": "5 6 -4"}, "sizes"),
        ({"sizes": "5 6 99999999999"}, "sizes"),
        ({"sizes": "5 6 4000000"}, "truncated or damaged"),
        ({"sizes": "5 6 400000000"}, "no CT is so large"),
        ({"sizes": "5 6 0"}, "one 3D volume"),
        ({"sizes": None}, "one 3D volume"),
        ({"dimension": "100", "sizes": "2 " * 100}, "one 3D volume"),
        ({"type": "block"}, "one number a voxel"),
        ({"encoding": "bzip2"}, "encoding raw or gzip"),
        ({"endian": None}, "byte order"),
        ({"space_directions": "(0.8,0,0) (0,x,0) (0,0,5)"}, "no numbers"),
        ({"space_directions": "(0.8,0,0) (0,nan,0) (0,0,5)"}, "no lengths"),
        ({"space_directions": "(0.8,0,0) (0,0.9,0)"}, "three directions"),
        ({"space_directions": "(0.8,0,0) (0.8,0,0) (0,0,5)"}, "one plane"),
        ({"space_directions": "(0.8,0,0) (0,0.9,0) (0,0,1e-30)"}, "impossible"),
        ({"space_directions": "(11e300,0,0) (0,0.9,0) (0,0,5)"}, "no lengths"),
        ({"space_directions": "(1,0,0) (0,1,0) (0,0,1)", "space_origin": "(0,0,0)"}, "has no geometry"),
        ({"space_directions": None, "spacings": "nan nan nan"}, "no lengths"),
        ({"byte_skip": "-1"}, "skips"),
        ({"data_file": "LIST"}, "no 'LIST' beside it"),
        ({"data_file": "slice%03d.raw 1 4 1"}, "its data file"),
    ],
    ids=str,
)
def test_a_header_that_cannot_be_a_scans_is_refused(tmp_path, changes, reason):
    assert reason in refused(write(tmp_path / "ct.nrrd", **changes))


def test_a_header_without_end_is_refused(tmp_path):
    (tmp_path / "ct.nrrd").write_bytes(write(tmp_path / "ct.nrrd").read_bytes().partition(b"\n\n")[0])
    assert "has no end" in refused(tmp_path / "ct.nrrd")
