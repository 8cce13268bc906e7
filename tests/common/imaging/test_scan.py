"""Volumes in NIfTI, NRRD and MetaImage files: orientation, calibration, damage."""

from __future__ import annotations

import gzip
import os

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import ScanError
from common.imaging.reader import read_scan
from common.imaging.volumes.formats import list_mask_files, source_files
from common.imaging.volumes.volume import read_volume

SHAPE = (10, 36, 32)
SPACING_MM = (0.8, 0.9, 5.0)


def head() -> np.ndarray:
    values = np.full(SHAPE, -1000, dtype=np.int16)
    values[:, 4:20, 3:17] = np.arange(30, 40)[:, None, None]
    values[2, 5, 4] = 90
    return values


def image(values: np.ndarray, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)) -> sitk.Image:
    one = sitk.GetImageFromArray(values)
    one.SetSpacing(SPACING_MM)
    one.SetOrigin((-12.0, 5.0, 30.0))
    one.SetDirection([float(value) for value in direction])
    return one


def refused(path) -> str:
    with pytest.raises(ScanError) as caught:
        read_scan(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".hdr", ".img", ".nrrd", ".mha", ".nhdr", ".mhd"])
def test_every_format_gives_the_voxels_and_where_they_lie(tmp_path, suffix):
    sitk.WriteImage(image(head()), str(tmp_path / f"ct{suffix}"))

    scan = read_scan(tmp_path / f"ct{suffix}")

    assert np.array_equal(scan.voxels, head())
    assert scan.voxels.dtype == np.int16
    assert scan.geometry.spacing_mm == pytest.approx(SPACING_MM[:2])
    np.testing.assert_allclose(scan.geometry.positions_mm[:, 2], 30 + 5 * np.arange(10), atol=1e-5)
    np.testing.assert_allclose(scan.geometry.positions_mm[0], (-12, 5, 30), atol=1e-5)


DIRECTIONS = {
    "right, front, head": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "left, back, feet": (1, 0, 0, 0, 1, 0, 0, 0, -1),
    "sagittal": (0, 0, 1, 1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, 1, 0, -1, 0),
    "oblique": (0.98006658, -0.19866933, 0, 0.19866933, 0.98006658, 0, 0, 0, 1),
}


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_axes_are_turned_to_head_back_left_and_every_voxel_stays_where_it_was(tmp_path, direction):
    stored = image(head(), direction)
    sitk.WriteImage(stored, str(tmp_path / "ct.nrrd"))

    scan = read_scan(tmp_path / "ct.nrrd")

    assert (np.diag(scan.geometry.frame) > 0.9).all()
    ((z, y, x),) = np.argwhere(scan.voxels == 90)
    geometry = scan.geometry
    here = (
        geometry.positions_mm[z]
        + x * geometry.spacing_mm[0] * geometry.axes[0]
        + y * geometry.spacing_mm[1] * geometry.axes[1]
    )
    np.testing.assert_allclose(here, stored.TransformIndexToPhysicalPoint((4, 5, 2)), atol=1e-5)
    assert sorted(scan.voxels.shape) == sorted(SHAPE)


def test_the_positions_are_those_of_nibabel(tmp_path):
    sitk.WriteImage(image(head(), DIRECTIONS["right, front, head"]), str(tmp_path / "ct.nii.gz"))
    loaded = nibabel.load(tmp_path / "ct.nii.gz")
    marked = np.argwhere(np.asarray(loaded.dataobj) == 90)[0]
    right_front_head = loaded.affine @ [*marked, 1]

    scan = read_scan(tmp_path / "ct.nii.gz")

    ((z, y, x),) = np.argwhere(scan.voxels == 90)
    geometry = scan.geometry
    here = geometry.positions_mm[z] + np.array([x, y]) * geometry.spacing_mm @ geometry.axes
    np.testing.assert_allclose(here * [-1, -1, 1], right_front_head[:3], atol=1e-4)


def test_a_sheared_nrrd_keeps_its_shear(tmp_path):
    """NRRD can say where a tilted scan's voxels are; ITK reads such directions without a word."""
    tilt = np.radians(20)
    columns, rows = np.array([0.8, 0, 0]), np.array([0, 0.9 * np.cos(tilt), -0.9 * np.sin(tilt)])
    directions = " ".join(f"({','.join(map(str, axis))})" for axis in (columns, rows, (0, 0, 5)))
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 32 36 10\n"
        f"space directions: {directions}\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (0,0,0)\n\n"
    )
    (tmp_path / "ct.nrrd").write_bytes(header.encode() + head().astype("<i2").tobytes())

    scan = read_scan(tmp_path / "ct.nrrd")

    assert scan.geometry.tilt_degrees == pytest.approx(20, abs=1e-3)
    np.testing.assert_allclose(scan.geometry.positions_mm[:, 2], 5 * np.arange(10), atol=1e-6)


def test_an_angle_at_which_no_axis_is_the_patients_is_refused(tmp_path):
    c = np.cos(np.radians(45))
    sitk.WriteImage(image(head(), (c, -c, 0, c, c, 0, 0, 0, 1)), str(tmp_path / "ct.nrrd"))
    assert "no axis is clearly the patient's" in refused(tmp_path / "ct.nrrd")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("scale", [(1, 0), (1, -1024), (0.5, -1000)], ids=str)
def test_nifti_of_either_order_and_any_type_with_its_slope(tmp_path, order, dtype, scale):
    slope, intercept = scale
    stored = ((head().astype(float) - intercept) / slope).astype(order + dtype)
    if dtype == "u2" and intercept == 0:
        return
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(order + dtype)
    one = nibabel.Nifti1Image(stored.transpose(2, 1, 0), np.diag([-0.8, -0.9, 5, 1]), header)
    one.header.set_slope_inter(slope, intercept)
    nibabel.save(one, tmp_path / "ct.nii.gz")

    scan = read_scan(tmp_path / "ct.nii.gz")

    np.testing.assert_array_equal(scan.voxels, head())
    assert scan.geometry.spacing_mm == pytest.approx(SPACING_MM[:2])


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.97, 0.9999])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_truncated_file_is_refused(tmp_path, suffix, kept):
    path = tmp_path / f"ct{suffix}"
    values = head() + np.random.default_rng(0).integers(-3, 4, SHAPE).astype(np.int16)
    sitk.WriteImage(image(values), str(path), False)
    content = path.read_bytes()
    path.write_bytes(content[: min(int(len(content) * kept), len(content) - 3)])

    assert str(path) in refused(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_damaged_compressed_data_are_refused_or_unharmed(tmp_path, suffix):
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(image(head()), str(path), True)
    content, random = path.read_bytes(), np.random.default_rng(2)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[random.integers(len(content) // 2, len(content))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            assert np.array_equal(read_scan(path).voxels, head())
        except ScanError:
            continue


def test_a_compressed_file_is_never_mistaken_for_its_neighbour(tmp_path):
    """ITK's NIfTI reader, asked for x.nii.gz, takes x.nii if both lie in the folder."""
    sitk.WriteImage(image(head()), str(tmp_path / "ct.nii.gz"))
    neighbour = image(head() + np.int16(1))
    neighbour.SetSpacing((0.5, 0.5, 2.0))
    sitk.WriteImage(neighbour, str(tmp_path / "ct.nii"))

    scan = read_scan(tmp_path / "ct.nii.gz")
    assert np.array_equal(scan.voxels, head())
    assert scan.geometry.spacing_mm == pytest.approx(SPACING_MM[:2])
    assert np.array_equal(read_scan(tmp_path / "ct.nii").voxels, head() + 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v + np.int16(1024), "stored values without the rescale"),
        (lambda v: np.clip(v, 0, None), "not in Hounsfield units"),
        (lambda v: v - np.int16(1024), "the rescale was applied twice"),
        (lambda v: np.where(v == 90, np.nan, v.astype(np.float32)), "not numbers"),
        (lambda v: np.where(v == 90, np.inf, v.astype(np.float32)), "not numbers"),
    ],
    ids=["stored without rescale", "clipped to brain", "rescaled twice", "NaN", "infinite"],
)
def test_intensities_that_are_no_hounsfield_units_of_a_head_are_refused(tmp_path, change, reason):
    sitk.WriteImage(image(change(head())), str(tmp_path / "ct.nrrd"))
    assert reason in refused(tmp_path / "ct.nrrd")


def test_padding_outside_the_scanners_circle_becomes_air(tmp_path):
    values = head()
    values[:, :2] = -3024
    sitk.WriteImage(image(values), str(tmp_path / "ct.nii.gz"))

    scan = read_scan(tmp_path / "ct.nii.gz")

    assert (scan.voxels[:, :2] == -1000).all()
    assert np.array_equal(scan.voxels[:, 2:], head()[:, 2:])


def test_a_file_of_several_gzip_members_is_read_whole(tmp_path):
    """As bgzip and parallel compressors write them; the trailer then states the last member's size alone."""
    sitk.WriteImage(image(head()), str(tmp_path / "plain.nii"))
    content = (tmp_path / "plain.nii").read_bytes()
    members = gzip.compress(content[:5000]) + gzip.compress(content[5000:])
    (tmp_path / "ct.nii.gz").write_bytes(members)
    assert np.array_equal(read_scan(tmp_path / "ct.nii.gz").voxels, head())

    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(content[:5000]))
    assert "truncated or damaged" in refused(tmp_path / "cut.nii.gz")


def test_other_integer_types_are_kept_exactly_and_reals_as_float32(tmp_path):
    for dtype, expected in ((np.int32, np.int16), (np.float64, np.float32)):
        sitk.WriteImage(image(head().astype(dtype)), str(tmp_path / "ct.nrrd"))
        scan = read_scan(tmp_path / "ct.nrrd")
        assert scan.voxels.dtype == expected
        assert np.array_equal(scan.voxels, head())


def test_a_series_of_volumes_and_colours_are_refused(tmp_path):
    four = sitk.JoinSeries([image(head()), image(head())])
    sitk.WriteImage(four, str(tmp_path / "perfusion.nii.gz"))
    assert "one 3D volume" in refused(tmp_path / "perfusion.nii.gz")
    colours = sitk.Compose([image(head())] * 3)
    sitk.WriteImage(colours, str(tmp_path / "rgb.nrrd"))
    assert "one value a voxel" in refused(tmp_path / "rgb.nrrd")
    sitk.WriteImage(sitk.JoinSeries([image(head())]), str(tmp_path / "one.nii.gz"))
    assert read_scan(tmp_path / "one.nii.gz").voxels.shape == SHAPE
    sitk.WriteImage(image(head()[:1]), str(tmp_path / "slice.nii.gz"))
    assert "one slice only" in refused(tmp_path / "slice.nii.gz")


def test_complex_numbers_are_refused(tmp_path):
    grid = np.diag([-0.8, -0.9, 5, 1])
    nibabel.save(nibabel.Nifti1Image(head().transpose(2, 1, 0) + 1j, grid), tmp_path / "complex.nii.gz")
    assert "complex.nii.gz" in refused(tmp_path / "complex.nii.gz")


def test_what_is_no_image_is_refused(tmp_path):
    for name in ("ct.nii.gz", "ct.nrrd", "ct.mha", "ct.nii"):
        (tmp_path / name).write_bytes(b"not an image at all" * 40)
        assert name in refused(tmp_path / name)


def test_the_voxels_outlive_itks_image(tmp_path):
    """The array looks at ITK's own buffer, which must live as long as the array."""
    import gc

    sitk.WriteImage(image(head()), str(tmp_path / "ct.nii.gz"))
    scans = [read_scan(tmp_path / "ct.nii.gz") for _ in range(20)]
    gc.collect()
    filler = [np.full(SHAPE, 7, dtype=np.int16) for _ in range(50)]
    assert all(np.array_equal(scan.voxels, head()) for scan in scans)
    assert len(filler) == 50


def test_the_files_that_a_scan_depends_on(tmp_path):
    for suffix in (".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr"):
        sitk.WriteImage(image(head()), str(tmp_path / f"ct{suffix}"), False)
    (tmp_path / "c.dcm").write_bytes(b"c.dcm")
    everything = tuple(sorted(tmp_path.iterdir()))

    for suffix in (".nii.gz", ".nrrd", ".mha"):
        assert source_files(tmp_path / f"ct{suffix}") == (tmp_path / f"ct{suffix}",)
    for suffix, other in ((".nhdr", ".raw"), (".mhd", ".raw"), (".hdr", ".img"), (".img", ".hdr")):
        expected = (tmp_path / f"ct{suffix}", tmp_path / f"ct{other}")
        assert source_files(tmp_path / f"ct{suffix}") == expected
    assert source_files(tmp_path / "c.dcm") == (tmp_path / "c.dcm", *everything)
    assert list_mask_files(tmp_path / "c.dcm") == (tmp_path / "c.dcm",)
    assert source_files(tmp_path) == everything
    (tmp_path / "ct.mhd").write_bytes(b"damaged")
    assert source_files(tmp_path / "ct.mhd") == (tmp_path / "ct.mhd",)


def test_what_is_no_file_is_never_opened(tmp_path):
    """Reading a pipe that nobody writes into waits for ever."""
    os.mkfifo(tmp_path / "ct.nii")
    sitk.WriteImage(image(head()), str(tmp_path / "ct.mha"))

    assert "neither a file nor a folder" in refused(tmp_path / "ct.nii")
    with pytest.raises(OSError, match="neither a file nor a folder"):
        source_files(tmp_path / "ct.nii")
    assert source_files(tmp_path) == (tmp_path / "ct.mha",)
    (tmp_path / "folder.nii").mkdir()
    assert "folder.nii" in refused(tmp_path / "folder.nii")
    with pytest.raises(ScanError, match="is no file"):
        read_volume(tmp_path / "folder.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".hdr", ".img", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_an_empty_file_is_refused(tmp_path, suffix):
    for name in (f"ct{suffix}", "ct.hdr"):
        (tmp_path / name).write_bytes(b"")
    assert "empty" in refused(tmp_path / f"ct{suffix}")


def test_numbers_that_no_real_holds_are_refused_without_a_word_from_numpy(tmp_path):
    values = head().astype(np.float64)
    values[0, 0, 0] = 1e300
    sitk.WriteImage(image(values), str(tmp_path / "ct.nrrd"))
    assert "not numbers" in refused(tmp_path / "ct.nrrd")
