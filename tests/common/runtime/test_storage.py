import errno
import os
import subprocess
import sys

import pytest

from common.errors import StorageError
from common.runtime.storage import lock_folder, make_private_folder, write_atomically, write_pieces_atomically


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "new" / "file"

    write_atomically(path, b"content")

    assert path.read_bytes() == b"content"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_pieces_follow_each_other(tmp_path):
    write_pieces_atomically(tmp_path / "file", [b"con", memoryview(b"tent"), b""], private=True)

    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@pytest.fixture(params=[0o000, 0o022])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes_of(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def test_below_a_private_folder_everything_is_private(tmp_path, umask):
    state = make_private_folder(tmp_path / "state")

    write_atomically(state / "cache" / "new" / "file", b"")
    make_private_folder(state / "rounds" / "1")

    folders = ("cache", "cache/new", "rounds", "rounds/1")
    assert modes_of(state) == {**dict.fromkeys(folders, 0o700), "cache/new/file": 0o600}


def test_elsewhere_the_umask_says_who_reads(tmp_path, umask):
    folder = tmp_path / "results"
    folder.mkdir()

    write_atomically(folder / "tables" / "file", b"")
    write_atomically(folder / "key", b"", private=True)

    assert modes_of(folder) == {"tables": 0o777 & ~umask, "tables/file": 0o666 & ~umask, "key": 0o600}


def test_what_is_to_be_shown_is_readable_in_a_private_folder_too(tmp_path, umask):
    write_atomically(make_private_folder(tmp_path / "home") / "report.html", b"", private=False)

    assert modes_of(tmp_path / "home") == {"report.html": 0o666 & ~umask}


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageError, match="disk is full"):
        write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_bytes(b"")

    with pytest.raises(StorageError, match=r"cannot be written \(.* -> .*choose another folder\)"):
        write_atomically(tmp_path / "taken" / "file", b"")


def test_two_processes_cannot_work_in_one_folder(tmp_path):
    with lock_folder(tmp_path):
        other = another_process(tmp_path)
    after = another_process(tmp_path)

    assert "another process is working here" in other.stderr
    assert after.returncode == 0


def another_process(folder):
    program = (
        "import sys, pathlib\nfrom common.runtime.storage import lock_folder\n"
        "with lock_folder(pathlib.Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")

    assert list(tmp_path.iterdir()) == []


def test_whoever_reads_the_old_file_keeps_it_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old content")
    with path.open("rb") as reader:
        write_atomically(path, b"new")

        assert reader.read() == b"old content"

    assert path.read_bytes() == b"new"
