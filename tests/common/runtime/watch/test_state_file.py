"""A state in a file: whole, private, at most once a second, and never a reason to fail."""

from __future__ import annotations

import json
import os
import stat
import time

import pytest

from common.errors import StorageError
from common.runtime.watch.exposition import gauge_of
from common.runtime.watch.metrics_file import MetricsFile, keep_metrics_file
from common.runtime.watch.state_file import STATE_BYTES, StateFile, load_state_file


def test_only_its_owner_reads_it_and_the_last_state_is_in_it(tmp_path):
    state = {"n": 1}
    path = tmp_path / "state.json"
    previous = os.umask(0)
    try:
        with StateFile(path, lambda: state).keep():
            first = load_state_file(path)
            state = {"n": 2}
    finally:
        os.umask(previous)

    assert first == {"version": 1, "n": 1}
    assert load_state_file(path) == {"version": 1, "n": 2}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_happens_often_is_written_once_a_second(tmp_path):
    taken = []
    file = StateFile(tmp_path / "state.json", lambda: {"taken": taken.append(1)})

    began = time.monotonic()
    with file.keep():
        while time.monotonic() - began < 0.3:
            file.touch()

    assert len(taken) == 2  # at the beginning and at the end


def test_a_disk_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path, caplog):
    folder = tmp_path / "gone"
    folder.write_text("a file where the folder should be")
    file = StateFile(folder / "state.json", dict)

    with file.keep():
        file.write()

    assert [record.message for record in caplog.records if "cannot be shown" in record.message] == [
        caplog.records[0].message
    ]


def test_no_file_is_no_state(tmp_path):
    assert load_state_file(tmp_path / "state.json") is None


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is damaged"),
        (b"[]", "is damaged"),
        (b"{}", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"version": 1' + b" " * STATE_BYTES + b"}", "is damaged"),
        (b'{"version": 2}', "another version of rhe"),
        (b'{"version": null}', "another version of rhe"),
    ],
)
def test_what_is_no_state_of_this_rhe_is_told(tmp_path, content, what):
    path = tmp_path / "state.json"
    path.write_bytes(content)

    with pytest.raises(StorageError, match=what):
        load_state_file(path)


def test_no_link_leads_a_reader_to_another_file(tmp_path):
    (tmp_path / "secret").write_text(json.dumps({"version": 1}))
    (tmp_path / "state.json").symlink_to(tmp_path / "secret")

    with pytest.raises(StorageError, match="cannot be read"):
        load_state_file(tmp_path / "state.json")


def test_a_pipe_in_its_place_makes_no_reader_wait(tmp_path):
    os.mkfifo(tmp_path / "state.json")

    with pytest.raises(StorageError, match="is damaged"):
        load_state_file(tmp_path / "state.json")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_monitoring_reads_a_whole_file_that_everybody_may_read(tmp_path, umask):
    path = tmp_path / "rhe.prom"
    os.umask(umask)
    with keep_metrics_file(path, lambda: [gauge_of("rhe_x", "X.", 1)]):
        first = path.read_text()

    assert first == path.read_text() == "# HELP rhe_x X.\n# TYPE rhe_x gauge\nrhe_x 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["rhe.prom"]


def test_a_metrics_file_that_nobody_would_read_is_refused(tmp_path):
    with pytest.raises(StorageError, match=r"reads \*.prom alone"):
        MetricsFile(tmp_path / "rhe.txt", list)


def test_a_metrics_file_that_cannot_be_written_is_told_before_the_study_begins(tmp_path):
    (tmp_path / "gone").write_text("a file where the folder should be")

    with pytest.raises(StorageError, match="cannot be written"):
        MetricsFile(tmp_path / "gone" / "rhe.prom", list)


def test_a_metrics_file_that_cannot_be_written_later_stops_nothing(tmp_path, caplog):
    (tmp_path / "metrics").mkdir()
    file = MetricsFile(tmp_path / "metrics" / "rhe.prom", list)
    (tmp_path / "metrics" / "rhe.prom").unlink()
    (tmp_path / "metrics").rmdir()
    (tmp_path / "metrics").write_text("a file where the folder should be")

    file.finish()
    file.finish()

    assert sum("are not written" in record.message for record in caplog.records) == 1
