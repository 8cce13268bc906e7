"""MetaImage headers, and the data files that headers name."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import Level, ScanError
from common.imaging.volumes.volume import read_volume

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 6, 5)).astype("<i2")
HEADER = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "-12 5 30",
    "CenterOfRotation": "0 0 0",
    "AnatomicalOrientation": "RAI",
    "ElementSpacing": "0.8 0.9 5",
    "DimSize": "5 6 4",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def write(path, data=None, **changes):
    fields = {**HEADER, **changes}
    # The header ends with this line
    fields["ElementDataFile"] = fields.pop("ElementDataFile")
    text = "".join(f"{name} = {value}\n" for name, value in fields.items() if value is not None)
    path.write_bytes(text.encode() + (VOXELS.tobytes() if data is None else data))
    return path


def refused(path):
    with pytest.raises(ScanError) as caught:
        read_volume(path)
    return str(caught.value)


@pytest.mark.parametrize("turn", [(0, 0, 0), (5, 10, -8), (90, 0, 0), (180, 3, 90)], ids=str)
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [True, False])
def test_the_grid_is_itks(tmp_path, turn, suffix, compressed):
    transform = sitk.Euler3DTransform()
    transform.SetRotation(*(float(np.radians(angle)) for angle in turn))
    image = sitk.GetImageFromArray(VOXELS)
    image.SetDirection(transform.GetMatrix())
    image.SetSpacing((0.8, 0.9, 5.0))
    image.SetOrigin((-12.0, 5.0, 30.0))
    sitk.WriteImage(image, str(tmp_path / f"ct{suffix}"), compressed)

    volume = read_volume(tmp_path / f"ct{suffix}")

    geometry = volume.geometry
    for z, y, x in ((0, 0, 0), (1, 2, 3), (-1, -1, -1)):
        value = volume.voxels[z, y, x]
        (stored,) = np.argwhere(value == VOXELS)
        here = (
            geometry.positions_mm[z]
            + np.array([x % volume.voxels.shape[2], y % volume.voxels.shape[1]])
            * geometry.spacing_mm
            @ geometry.axes
        )
        there = image.TransformIndexToPhysicalPoint([int(index) for index in stored[::-1]])
        np.testing.assert_allclose(here, there, atol=1e-6)
    assert volume.notes == ()


@pytest.mark.parametrize("name", ["ElementByteOrderMSB", "BinaryDataByteOrderMSB"])
def test_the_other_byte_order(tmp_path, name):
    path = write(tmp_path / "ct.mha", VOXELS.astype(">i2").tobytes(), BinaryDataByteOrderMSB=None)
    path.write_bytes(path.read_bytes().replace(b"BinaryData =", f"{name} = True\nBinaryData =".encode(), 1))
    assert np.array_equal(read_volume(path).voxels, VOXELS)


def test_a_fourth_axis_of_one_is_none(tmp_path):
    path = write(
        tmp_path / "ct.mha",
        NDims="4",
        DimSize="5 6 4 1",
        ElementSpacing="0.8 0.9 5 1",
        Offset="-12 5 30 0",
        TransformMatrix="1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
    )
    assert read_volume(path).geometry.distance_mm(read_volume(write(tmp_path / "one.mha")).geometry) == 0


def test_a_file_without_its_matrix_is_to_be_looked_at(tmp_path):
    (note,) = read_volume(write(tmp_path / "ct.mha", TransformMatrix=None)).notes
    assert note.level is Level.LOOK
    assert "which way the patient lies" in note.what


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"NDims": "100"}, "NDims 100"),
        ({"NDims": "100", "DimSize": "2 " * 100}, "one 3D volume"),
        ({"NDims": "99999999999999999999"}, "NDims 9999"),
        ({"NDims": None}, "NDims"),
        ({"NDims": "2", "DimSize": "5 6"}, "one 3D volume"),
        ({"DimSize": "5 6 -4"}, "DimSize"),
        ({"DimSize": "5 6 4000000"}, "truncated or damaged"),
        ({"DimSize": "5 6 400000000"}, "no CT is so large"),
        ({"DimSize": "5 6 1"}, "one slice only"),
        ({"ElementType": "MET_LONG"}, "one value a voxel"),
        ({"ElementNumberOfChannels": "3"}, "one value a voxel"),
        ({"ElementSpacing": None}, "does not state its spacing"),
        ({"ElementSpacing": "0.8 0.9 x"}, "no numbers"),
        ({"ElementSpacing": "0.8 0.9"}, "not of 3 dimensions"),
        ({"ElementSpacing": "0.8 0.9 0"}, "its spacing is"),
        ({"ElementSpacing": "0.8 0.9 nan"}, "its spacing is"),
        ({"ElementSpacing": "0.8 0.9 1e300"}, "no lengths"),
        ({"Offset": "nan 5 30"}, "no lengths"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 2"}, "no unit vectors"),
        ({"TransformMatrix": "nan 0 0 0 1 0 0 0 1"}, "no unit vectors"),
        ({"ElementSpacing": "1 1 1", "Offset": "0 0 0"}, "has no geometry"),
        ({"ElementSpacing": "1 1 1", "Offset": None, "TransformMatrix": None}, "has no geometry"),
        ({"BinaryData": "False"}, "are text"),
        ({"HeaderSize": "-1"}, "header of their own"),
        ({"ElementDataFile": "LIST"}, "many files"),
        ({"ElementDataFile": None}, "no MetaImage file"),
    ],
    ids=str,
)
def test_a_header_that_cannot_be_a_scans_is_refused(tmp_path, changes, reason):
    assert reason in refused(write(tmp_path / "ct.mha", **changes))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/hostname",
        "../outside.raw",
        "sub/inside.raw",
        "..",
        ".",
        "",
        "C:\\x.raw",
        "x%02d.raw 1 2 1",
        "a" * 300,
    ],
)
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_a_header_reads_no_file_of_another_folder(tmp_path, name, suffix):
    for folder in ("sub", "site/sub"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "outside.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "site/sub/inside.raw").write_bytes(VOXELS.tobytes())
    path = tmp_path / f"site/ct{suffix}"
    if suffix == ".mhd":
        write(path, b"", ElementDataFile=name)
    else:
        path.write_bytes(
            "NRRD0004\ntype: short\ndimension: 3\nspace: LPS\nsizes: 5 6 4\nendian: little\nencoding: raw\n"
            "space directions: (0.8,0,0) (0,0.9,0) (0,0,5)\nspace origin: (1,2,3)\n"
            f"data file: {name}\n".encode()
        )

    assert str(path) in refused(path)
    assert "data file" in refused(path) or not name


def test_a_link_out_of_the_folder_is_not_followed_but_one_inside_is(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "outside.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "site/inside.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "site/out.raw").symlink_to(tmp_path / "outside.raw")
    (tmp_path / "site/in.raw").symlink_to("inside.raw")

    assert "link out of the folder" in refused(write(tmp_path / "site/a.mhd", b"", ElementDataFile="out.raw"))
    assert np.array_equal(
        read_volume(write(tmp_path / "site/b.mhd", b"", ElementDataFile="in.raw")).voxels, VOXELS
    )
    # The header itself may be a link, as the table's paths may: its data then lie beside its own file
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/c.mhd").symlink_to(tmp_path / "site/b.mhd")
    (tmp_path / "elsewhere/in.raw").symlink_to(tmp_path / "site/inside.raw")
    assert np.array_equal(read_volume(tmp_path / "elsewhere/c.mhd").voxels, VOXELS)
