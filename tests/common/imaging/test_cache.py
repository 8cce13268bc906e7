from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pytest

from common.errors import Level, ScanError, StorageError
from common.imaging.cache import Cache, ScanNote, ScanRecord, content_key, digest_voxels, file_digest
from common.imaging.scan import Scan, ScanHeaders

KEY = "ab" * 32
RECORD = ScanRecord(
    ich_ml=1.5,
    ivh_ml=0.0,
    voxels="digest",
    rectangle=(1, 2),
    notes=(ScanNote(where="a", what="b", remedy="c", level=Level.LOOK),),
    headers=ScanHeaders(
        "H77",
        "F",
        67.5,
        date(1956, 5, 1),
        date(2024, 3, 5),
        datetime.fromisoformat("2024-03-05T10:17:42.5"),
    ),
)
ARRAYS = {"2d-16": np.arange(6, dtype=np.float32), "labels": np.ones((2, 2), dtype=np.uint8)}


def test_what_is_kept_is_found(tmp_path):
    kept = Cache(tmp_path).keep(KEY, RECORD, ARRAYS)
    found = Cache(tmp_path).find(KEY)

    assert found == kept
    assert found.record == RECORD
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(np.load(found.paths[name]), array)


def test_what_was_never_kept_is_not_found(tmp_path):
    Cache(tmp_path).keep(KEY, RECORD, ARRAYS)
    assert Cache(tmp_path).find("cd" * 32) is None
    assert Cache(tmp_path / "nowhere").find(KEY) is None


@pytest.mark.parametrize("name", ["2d-16", "labels"])
@pytest.mark.parametrize("place", [0, 60, -1])
def test_any_changed_byte_of_an_array_is_found(tmp_path, name, place, caplog):
    path = Cache(tmp_path).keep(KEY, RECORD, ARRAYS).paths[name]
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)

    assert Cache(tmp_path).find(KEY) is None
    assert "cache damaged" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"record": {}, "arrays": {}}', b"\xff\xfe"])
def test_a_damaged_manifest_is_as_none(tmp_path, content):
    Cache(tmp_path).keep(KEY, RECORD, ARRAYS)
    next(tmp_path.rglob("*.json")).write_bytes(content)
    assert Cache(tmp_path).find(KEY) is None


def test_an_entry_without_manifest_does_not_exist(tmp_path):
    Cache(tmp_path).keep(KEY, RECORD, ARRAYS)
    next(tmp_path.rglob("*.json")).unlink()
    assert Cache(tmp_path).find(KEY) is None


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        Cache(tmp_path / "file").keep(KEY, RECORD, ARRAYS)


def test_only_half_written_files_are_tidied_away(tmp_path):
    entry = Cache(tmp_path).keep(KEY, RECORD, ARRAYS)
    partial = entry.paths["labels"].with_name(".labels.npy.77.partial")
    partial.write_bytes(b"half")
    Cache(tmp_path).tidy()
    assert not partial.exists()
    assert Cache(tmp_path).find(KEY) == entry


def test_the_key_depends_on_bytes_and_settings_and_not_on_names(tmp_path):
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    one.write_bytes(b"CT")
    same.write_bytes(b"CT")
    other.write_bytes(b"CT.")
    settings = {"recipe": {"lesion": "ICH"}}

    key = content_key([one, other], settings)

    assert key == content_key([same, other], dict(settings))
    assert key != content_key([other, one], settings)
    assert key != content_key([one], settings)
    assert key != content_key([one, other], {"recipe": {"lesion": "ICH+IVH"}})
    assert len(file_digest(one)) == 64


def test_a_file_that_cannot_be_read_refuses_its_patient(tmp_path):
    with pytest.raises(ScanError, match=r"gone\.nii\.gz: cannot be read"):
        content_key([tmp_path / "gone.nii.gz"], {})


def test_equal_voxels_have_one_digest_whatever_their_type(tmp_path, geometry_of):
    voxels = np.random.default_rng(0).integers(-1024, 3000, (3, 4, 5)).astype(np.int16)
    halves, far = voxels.astype(np.float32), voxels.astype(np.float32)
    halves[1, 2, 3] += 0.5
    far[1, 2, 3] += 65536
    kinds = (voxels, voxels.astype(np.float32), voxels[::-1].copy()[::-1], halves, far, voxels + np.int16(1))

    digests = [digest_voxels(Scan(tmp_path, kind, geometry_of(shape=(3, 4, 5)))) for kind in kinds]

    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests)) == 4


def test_bytes_that_are_other_voxels_have_another_digest(tmp_path, geometry_of):
    whole = np.arange(1, 5, dtype=np.int16).reshape(2, 1, 2)
    scans = [
        Scan(tmp_path, kind, geometry_of(shape=kind.shape)) for kind in (whole, whole.view(np.float32).copy())
    ]
    assert digest_voxels(scans[0]) != digest_voxels(scans[1])
