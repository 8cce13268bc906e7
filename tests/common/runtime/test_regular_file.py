"""Files that others name: what is no regular file is refused at once, whatever takes its place meanwhile."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from common.runtime.regular_file import open_regular, read_regular


def count_open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_a_file_is_read_also_through_a_link(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "file") as stream:
        assert stream.name == str(tmp_path / "file")  # by which pydicom opens it again
    assert read_regular(tmp_path / "link") == read_regular(tmp_path / "file") == b"content"


def test_what_is_no_file_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "socket", "device"):
        with pytest.raises(OSError, match="it is no file"):
            read_regular(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"content")
    os.mkfifo(tmp_path / "pipe")
    opened, before = os.open, count_open_files()
    monkeypatch.setattr(os, "open", lambda _, flags: opened(tmp_path / "pipe", flags))
    with pytest.raises(OSError, match="it is no file"):
        open_regular(tmp_path / "file")
    assert count_open_files() == before
