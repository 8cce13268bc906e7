from __future__ import annotations

import os
from pathlib import Path

import pytest

from client.cohort import duplicates
from client.cohort.duplicates import ScanUse, files_of, find_same_scans
from common.cohort.table import Patient


def use(name: str, path: Path) -> ScanUse:
    return ScanUse(Patient(name, 2, path, None, None, None, {}), "baseline_ct", path)


def found(*paths: Path) -> list[set[str]]:
    groups = find_same_scans(use(str(i), path) for i, path in enumerate(paths))
    return [{one.patient.identifier for one in group} for group in groups]


def series(folder: Path, *slices: bytes, prefix="IM") -> Path:
    folder.mkdir(parents=True)
    for number, content in enumerate(slices):
        (folder / f"{prefix}{number}").write_bytes(content)
    return folder


def test_files_with_the_same_bytes_are_one_scan(tmp_path):
    for name, content in (
        ("a", b"x" * 20_000),
        ("b", b"x" * 20_000),
        ("c", b"x" * 19_999),
        ("d", b"y" * 20_000),
    ):
        (tmp_path / name).write_bytes(content)

    assert found(*(tmp_path / name for name in "abcd")) == [{"0", "1"}]


@pytest.mark.parametrize("position", [0, 8191, 8192, 1_500_000])
def test_one_byte_makes_another_scan(tmp_path, position):
    content = bytearray(1_600_000)
    (tmp_path / "a").write_bytes(content)
    content[position] = 1
    (tmp_path / "b").write_bytes(content)

    assert found(tmp_path / "a", tmp_path / "b") == []


def test_a_series_under_other_names_is_the_same_scan(tmp_path):
    a = series(tmp_path / "a", b"one", b"two", b"six")
    b = series(tmp_path / "b", b"six", b"one", b"two", prefix="slice-")
    c = series(tmp_path / "c", b"one", b"two", b"ten")
    d = series(tmp_path / "d", b"one", b"two")
    (b / ".DS_Store").write_bytes(b"left by a desktop")

    assert found(a, b, c, d) == [{"0", "1"}]


def test_links_to_one_file_are_one_scan(tmp_path):
    (tmp_path / "a").write_bytes(b"scan")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    series(tmp_path / "c", b"1")
    (tmp_path / "d").symlink_to(tmp_path / "c", target_is_directory=True)

    assert found(*(tmp_path / name for name in "abcd")) == [{"0", "1"}, {"2", "3"}]


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr", ".HDR"])
def test_headers_without_data_are_alike_and_prove_nothing(tmp_path, suffix):
    for name in ("a", "b"):
        (tmp_path / f"{name}{suffix}").write_bytes(b"NDims = 3")
    (tmp_path / f"c{suffix}").symlink_to(tmp_path / f"a{suffix}")

    assert found(*(tmp_path / f"{name}{suffix}" for name in "abc")) == [{"0", "2"}]


def test_several_groups_are_told_apart(tmp_path):
    for name in "abcdef":
        (tmp_path / name).write_bytes({"a": b"1", "c": b"1", "e": b"1", "b": b"2", "d": b"2"}.get(name, b"3"))

    assert sorted(map(sorted, found(*(tmp_path / name for name in "abcdef")))) == [
        ["0", "2", "4"],
        ["1", "3"],
    ]


def test_files_of_different_sizes_are_not_read(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"22")
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was read"))

    assert found(tmp_path / "a", tmp_path / "b") == []


def test_different_heads_spare_the_rest(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() + bytes(100_000))
    monkeypatch.setattr(duplicates, "_digest_file", lambda _: pytest.fail("a whole file was read"))

    assert found(tmp_path / "a", tmp_path / "b") == []


def test_what_cannot_be_read_is_no_duplicate(tmp_path):
    (tmp_path / "a").write_bytes(b"1")

    assert found(tmp_path / "gone", tmp_path / "away", tmp_path / "a") == []


def test_files_of_a_folder_are_sorted_and_deep(tmp_path):
    series(tmp_path / "s/b", b"1")
    series(tmp_path / "s/a", b"1", b"2")

    assert [os.path.relpath(file, tmp_path) for file in files_of(tmp_path / "s")] == [
        "s/a/IM0",
        "s/a/IM1",
        "s/b/IM0",
    ]
    with pytest.raises(OSError, match="No such"):
        list(duplicates.os.walk(tmp_path / "gone", onerror=duplicates._raise))
