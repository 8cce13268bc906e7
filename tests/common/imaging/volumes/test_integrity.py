"""What is decompressed of a file is what its header asks for."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import ScanError
from common.imaging.volumes.volume import read_volume

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 6, 5)).astype("<i2")
BOMB_BYTES = 60 << 20


def write(folder, suffix):
    image = sitk.GetImageFromArray(VOXELS)
    image.SetSpacing((0.8, 0.9, 5))
    image.SetOrigin((-12, 5, 30))
    path = folder / f"ct{suffix}"
    sitk.WriteImage(image, str(path), False)
    return path


def pack(path, more: bytes):
    """The file with so much more behind its voxels, compressed as its format does it; its new name."""
    content = path.read_bytes()
    if path.suffix == ".nii":
        packed = gzip.compress(content + more, 9)
    elif path.suffix == ".nrrd":
        head = content[: -VOXELS.nbytes].replace(b"encoding: raw", b"encoding: gzip")
        packed = head + gzip.compress(content[-VOXELS.nbytes :] + more, 9)
    else:
        head = content[: -VOXELS.nbytes].replace(b"CompressedData = False", b"CompressedData = True")
        packed = head + zlib.compress(content[-VOXELS.nbytes :] + more, 9)
    target = path.with_name("packed" + (".nii.gz" if path.suffix == ".nii" else path.suffix))
    target.write_bytes(packed)
    return target


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_small_file_of_much_data_is_refused_before_it_is_unpacked(tmp_path, suffix):
    path = pack(write(tmp_path, suffix), bytes(BOMB_BYTES))
    assert path.stat().st_size < BOMB_BYTES / 500

    tracemalloc.start()
    with pytest.raises(ScanError, match="more data than the header states"):
        read_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8 << 20


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_little_behind_the_voxels_is_passed_over(tmp_path, suffix):
    assert np.array_equal(read_volume(pack(write(tmp_path, suffix), bytes(1000))).voxels, VOXELS)


def test_a_header_that_asks_for_more_than_a_file_can_hold_costs_no_memory(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_shape((1000, 1000, 1000))
    header.set_data_dtype(np.int16)
    header["vox_offset"], header["sform_code"] = 352, 1
    header["srow_x"], header["srow_y"], header["srow_z"] = (-0.5, 0, 0, 9), (0, -0.5, 0, 9), (0, 0, 1, 9)
    header["magic"] = b"n+1"
    for name, content in (("a.nii", header.binaryblock), ("b.nii.gz", gzip.compress(header.binaryblock))):
        (tmp_path / name).write_bytes(content + bytes(100))
        tracemalloc.start()
        with pytest.raises(ScanError, match="truncated or damaged"):
            read_volume(tmp_path / name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20


def test_members_split_anywhere_are_read_whole(tmp_path):
    content = write(tmp_path, ".nii").read_bytes()
    members = [gzip.compress(content[start : start + 7]) for start in range(0, len(content), 7)]
    (tmp_path / "ct.nii.gz").write_bytes(b"".join(members))
    assert np.array_equal(read_volume(tmp_path / "ct.nii.gz").voxels, VOXELS)

    (tmp_path / "ct.nii.gz").write_bytes(b"".join(members[:-1]))
    with pytest.raises(ScanError, match="truncated or damaged"):
        read_volume(tmp_path / "ct.nii.gz")


def test_a_file_is_what_its_bytes_are_not_its_name(tmp_path):
    """A program unpacked the file and kept its name, or the other way round."""
    path = write(tmp_path, ".nii")
    (tmp_path / "unpacked.nii.gz").write_bytes(path.read_bytes())
    (tmp_path / "packed.nii").write_bytes(gzip.compress(path.read_bytes()))
    for name in ("unpacked.nii.gz", "packed.nii"):
        assert np.array_equal(read_volume(tmp_path / name).voxels, VOXELS)


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "exact"),
    [
        ("<i2", 1, -1024, True),
        ("<u2", 1, -1024, True),
        (">i2", 1, -1024, True),
        ("u1", 10, -1000, True),
        ("<i4", -2, 3, True),
        ("<i2", 1, -40000, False),
        ("<i2", 1, -1e30, False),
        ("<i2", 0.5, 0, False),
        ("<f4", 1, -1024, False),
    ],
)
def test_whole_numbers_are_scaled_to_int16_where_that_is_exact(tmp_path, dtype, slope, intercept, exact):
    stored = np.random.default_rng(1).integers(0, 255, (4, 6, 5)).astype(dtype)
    path = tmp_path / "ct.nii"
    header = nibabel.Nifti1Header(endianness=dtype[0] if dtype[0] in "<>" else "<")
    header.set_data_dtype(dtype)
    affine = np.array([[-0.5, 0, 0, 9], [0, -0.5, 0, 9], [0, 0, 3, 9], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(stored.transpose(2, 1, 0), affine, header)
    image.header.set_slope_inter(slope, intercept)
    nibabel.save(image, path)

    voxels = read_volume(path).voxels

    assert np.array_equal(voxels, stored.astype(float) * np.float32(slope) + np.float32(intercept))
    assert (voxels.dtype == np.int16) == exact
