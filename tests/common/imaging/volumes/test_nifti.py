"""NIfTI headers: both versions, pairs, byte orders, and the grid that counts."""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import Level, ScanError
from common.imaging.volumes.volume import Volume, read_volume

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 6, 5)).astype(np.int16)
RAS = np.array([[-0.8, 0, 0, 12], [0, -0.9, 0, 7], [0, 0, 5, 30], [0, 0, 0, 1.0]])
TURN = np.array([[0.9848077530, -0.1736481777, 0], [0.1736481777, 0.9848077530, 0], [0, 0, 1]])


def write(path: Path, sform=RAS, qform=RAS, kind=nibabel.Nifti1Image, codes=(1, 1), **header) -> Path:
    one = kind(VOXELS.T, RAS)
    one.set_qform(qform, codes[1])
    one.set_sform(sform, codes[0])
    for name, value in header.items():
        one.header[name] = value
    nibabel.save(one, path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ScanError) as caught:
        read_volume(path)
    return str(caught.value)


def find_looks(volume: Volume) -> str:
    return " | ".join(note.what for note in volume.notes if note.level is Level.LOOK)


def steps_of(volume: Volume) -> np.ndarray:
    """From voxel to voxel along x, y, z."""
    geometry = volume.geometry
    return np.vstack(
        [geometry.axes * np.array(geometry.spacing_mm)[:, None], np.diff(geometry.positions_mm, axis=0)[:1]]
    )


def patch(path: Path, offset: int, code: str, *values) -> None:
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{code}", content, offset, *values)
    path.write_bytes(content)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1)], ids=["both", "sform", "qform"])
def test_the_grid_has_the_same_bits_as_itks(tmp_path, seed, codes):
    random = np.random.default_rng(seed)
    angle = random.normal() * 0.2
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ TURN @ np.diag(random.uniform(0.3, 6, 3)) * [-1, -1, 1]
    affine[:3, 3] = random.normal(size=3) * 100
    path = write(tmp_path / "ct.nii", affine, affine, codes=codes)
    itk = sitk.ReadImage(str(path))

    volume = read_volume(path)

    assert np.array_equal(volume.voxels, sitk.GetArrayFromImage(itk))
    steps = (np.array(itk.GetDirection()).reshape(3, 3) * np.array(itk.GetSpacing())).T
    expected = np.array(itk.GetOrigin()) + np.arange(4)[:, None] * steps[2]
    np.testing.assert_array_equal(volume.geometry.positions_mm, expected)
    np.testing.assert_allclose(steps_of(volume)[:2], steps[:2], rtol=1e-15)
    assert volume.notes == ()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_2(tmp_path, order, suffix):
    header = nibabel.Nifti2Header(endianness=order)
    header.set_data_dtype(f"{order}i2")
    header.set_xyzt_units("mm")
    nibabel.save(nibabel.Nifti2Image(VOXELS.T, RAS, header), tmp_path / f"two{suffix}")

    two, one = read_volume(tmp_path / f"two{suffix}"), read_volume(write(tmp_path / "one.nii"))

    assert np.array_equal(two.voxels, VOXELS)
    assert two.geometry.distance_mm(one.geometry) < 1e-5
    assert int.from_bytes(nibabel.load(tmp_path / f"two{suffix}").header.binaryblock[:4], "little") in {
        540,
        int.from_bytes((540).to_bytes(4, "big"), "little"),
    }


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pair_is_the_same_volume_as_one_file(tmp_path, order, kind):
    header = kind.header_class(endianness=order)
    header.set_data_dtype(f"{order}i2")
    pair = kind(VOXELS.T, RAS, header)
    pair.header.set_slope_inter(1, 0)
    pair.to_filename(tmp_path / "ct.hdr")
    for name in ("hdr", "img"):
        shutil.copy(tmp_path / f"ct.{name}", tmp_path / f"CAPITALS.{name.upper()}")
        (tmp_path / f"packed.{name}.gz").write_bytes(gzip.compress((tmp_path / f"ct.{name}").read_bytes()))

    single = read_volume(write(tmp_path / "ct.nii"))

    for name in ("ct.hdr", "ct.img", "CAPITALS.HDR", "CAPITALS.IMG", "packed.hdr.gz", "packed.img.gz"):
        volume = read_volume(tmp_path / name)
        assert np.array_equal(volume.voxels, VOXELS)
        assert volume.geometry.distance_mm(single.geometry) < 1e-5


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_pair_that_is_not_whole_is_refused(tmp_path, kept):
    nibabel.Nifti1Pair(VOXELS.T, RAS).to_filename(tmp_path / "ct.hdr")
    content = (tmp_path / "ct.img").read_bytes()

    (tmp_path / "ct.img").write_bytes(content[: int(len(content) * kept)])
    assert "truncated or damaged" in refused(tmp_path / "ct.hdr")
    (tmp_path / "ct.img").unlink()
    assert "no ct.img beside it" in refused(tmp_path / "ct.hdr")
    (tmp_path / "ct.img").write_bytes(content)
    (tmp_path / "ct.hdr").unlink()
    assert "no ct.hdr beside it" in refused(tmp_path / "ct.img")


def test_analyze_which_does_not_tell_left_from_right_is_refused(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(VOXELS.T, np.diag([0.8, 0.9, 5, 1])), tmp_path / "ct.hdr")
    shutil.copy(tmp_path / "ct.hdr", tmp_path / "ct.nii")

    assert "where left and right are" in refused(tmp_path / "ct.hdr")
    assert "where left and right are" in refused(tmp_path / "ct.nii")


def test_the_header_of_a_pair_in_one_file_is_refused(tmp_path):
    nibabel.Nifti1Pair(VOXELS.T, RAS).to_filename(tmp_path / "ct.hdr")
    (tmp_path / "ct.nii").write_bytes((tmp_path / "ct.hdr").read_bytes() + VOXELS.tobytes())

    assert "name it .hdr" in refused(tmp_path / "ct.nii")


@pytest.mark.parametrize("offset", [1e30, -1e30, np.nan, np.inf, 5e7])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_an_impossible_place_of_the_voxels_refuses_the_file(tmp_path, offset, suffix):
    path = write(tmp_path / "ct.nii")
    patch(path, 108, "f", offset)
    if suffix == ".nii.gz":
        path = tmp_path / "ct.nii.gz"
        path.write_bytes(gzip.compress((tmp_path / "ct.nii").read_bytes()))

    assert "truncated or damaged" in refused(path)


def test_a_place_of_0_is_behind_the_header(tmp_path):
    """As nibabel and ITK take it; the header itself is no voxel."""
    path = write(tmp_path / "ct.nii")
    patch(path, 108, "f", 0.0)

    assert np.array_equal(read_volume(path).voxels, VOXELS)


@pytest.mark.parametrize(("code", "unit_mm"), [(1, 1000.0), (2, 1.0), (3, 0.001), (0, 1.0)])
@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1)], ids=["both", "sform", "qform"])
def test_other_units_of_length_are_converted(tmp_path, code, unit_mm, codes):
    affine = RAS.copy()
    affine[:3] /= unit_mm
    path = write(tmp_path / "ct.nii", affine, affine, codes=codes, xyzt_units=code)

    geometry = read_volume(path).geometry

    assert geometry.distance_mm(read_volume(write(tmp_path / "mm.nii")).geometry) < 1e-4


def test_an_unknown_unit_is_refused(tmp_path):
    assert "unit of length" in refused(write(tmp_path / "ct.nii", xyzt_units=5))


@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1), (0, 0)], ids=str)
def test_a_lost_geometry_is_refused(tmp_path, codes):
    """nibabel saves an array without an affine so; and with pixdim of 1 and no code, other programs do."""
    path = write(tmp_path / "ct.nii", np.eye(4), np.eye(4), codes=codes)
    patch(path, 80, "3f", 1, 1, 1)
    assert "has no geometry" in refused(path)
    mirrored = np.diag([-1.0, -1.0, 1.0, 1.0])
    assert "has no geometry" in refused(write(tmp_path / "ct.nii", mirrored, mirrored, codes=codes))


@pytest.mark.parametrize("spacing", [0.0, np.nan, np.inf])
def test_a_lost_step_is_refused_unless_the_sform_has_it(tmp_path, spacing):
    path = write(tmp_path / "ct.nii", codes=(0, 1))
    patch(path, 88, "f", spacing)
    assert "lost by a program" in refused(path)

    path = write(tmp_path / "ct.nii", codes=(1, 1))
    patch(path, 88, "f", spacing)
    assert read_volume(path).geometry.steps_mm == pytest.approx(5)


@pytest.mark.parametrize(
    ("offset", "values", "reason"),
    [
        (280, (np.nan,), "sform is not complete"),
        (280, (np.inf,), "sform is not complete"),
        (280, (0.0,) * 12, "sform is not complete"),
        (280, (-0.8, 0, 0, 12, 0, 0, 0, 7), "sform is not complete"),
        (292, (np.nan,), "sform is not complete"),
        (256, (np.nan,), "qform is damaged"),
        (256, (30.0,), "qform is damaged"),
        (268, (np.nan,), "qform is damaged"),
    ],
    ids=str,
)
def test_a_grid_of_no_numbers_or_of_no_volume_is_refused(tmp_path, offset, values, reason):
    path = write(tmp_path / "ct.nii")
    patch(path, offset, f"{len(values)}f", *values)
    assert reason in refused(path)


@pytest.mark.parametrize("step", [1e-4, 80.0, 1e30])
def test_steps_that_no_scanner_makes_are_refused(tmp_path, step):
    affine = RAS.copy()
    affine[2, 2] = step
    assert "mm" in refused(write(tmp_path / "ct.nii", affine, None, codes=(1, 0)))


def test_a_file_without_orientation_is_to_be_looked_at_and_lies_as_in_itk(tmp_path):
    path = write(tmp_path / "ct.nii", codes=(0, 0))
    itk = sitk.ReadImage(str(path))

    volume = read_volume(path)

    assert "no orientation" in find_looks(volume)
    np.testing.assert_allclose(volume.geometry.positions_mm[0], itk.GetOrigin())
    np.testing.assert_allclose(steps_of(volume), np.diag(itk.GetSpacing()))


MIRRORED = RAS @ np.diag([-1.0, 1, 1, 1])
SCALED = RAS @ np.diag([1.1, 1.1, 1.1, 1])
MOVED = RAS + np.array([[0, 0, 0, 9], [0] * 4, [0] * 4, [0] * 4])


@pytest.mark.parametrize(
    ("sform", "code", "used", "said"),
    [
        (MIRRORED, 1, "sform", "mirror each other"),
        (SCALED, 1, "sform", "different sizes"),
        (SCALED, 4, "qform", "different sizes"),
        (MOVED, 2, "sform", "different places"),
        (MOVED, 4, "qform", "different places"),
    ],
    ids=["mirrored", "scaled", "template", "moved", "moved to a template"],
)
def test_an_sform_that_contradicts_the_qform_is_to_be_looked_at(tmp_path, sform, code, used, said):
    path = write(tmp_path / "both.nii", sform, RAS, codes=(code, 1))
    expected = write(tmp_path / "one.nii", sform if used == "sform" else RAS, codes=(1, 0))

    volume = read_volume(path)

    assert said in find_looks(volume)
    assert f"the {used} was used" in find_looks(volume)
    assert volume.geometry.distance_mm(read_volume(expected).geometry) < 1e-4


def test_an_sform_and_qform_that_differ_by_rounding_are_one(tmp_path):
    noise = np.random.default_rng(0).normal(0, 1e-4, (4, 4))
    noise[3] = 0
    sform = RAS + noise
    assert read_volume(write(tmp_path / "ct.nii", sform, RAS)).notes == ()


def test_a_double_that_overflows_is_refused_without_a_word_from_numpy(tmp_path):
    nibabel.save(nibabel.Nifti2Image(VOXELS.T, RAS), tmp_path / "ct.nii")
    patch(tmp_path / "ct.nii", 344, "2i", 1, 0)
    patch(tmp_path / "ct.nii", 112, "d", 1e300)
    assert "no lengths" in refused(tmp_path / "ct.nii")


def test_an_intercept_that_is_no_number_is_refused(tmp_path):
    path = write(tmp_path / "ct.nii")
    patch(path, 112, "2f", 1.0, np.nan)
    assert "scl_inter" in refused(path)
