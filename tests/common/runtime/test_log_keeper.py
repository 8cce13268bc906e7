"""A log's lines have times and no colours, and its files do not grow for ever."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from datetime import datetime

import pytest

from common.runtime import log_keeper
from common.runtime.log_keeper import LogKeeper
from common.runtime.log_lines import name_backup, remove_times
from common.runtime.processes import Child, start_child

PYTHON = [sys.executable, "-c"]


def keep(path, text, **settings):
    LogKeeper(path, **settings).keep(io.BytesIO(text))
    return path.read_text()


def test_each_line_has_the_time_with_its_zone(tmp_path):
    for line in keep(tmp_path / "log", b"first\n\nTraceback\n  of two lines").splitlines():
        time, _, _ = line.partition(" ")
        assert abs((datetime.now().astimezone() - datetime.fromisoformat(time)).total_seconds()) < 60
    assert remove_times((tmp_path / "log").read_text()) == "first\n\nTraceback\n  of two lines\n"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (b"\x1b[92mINFO \x1b[0m:   Starting", "INFO :   Starting"),
        (b"\x1b]0;title\x07words", "words"),
        (b"10 %\r20 %\r\n", "10 %\\x0d20 %"),
        (b"a\x1b", "a\\x1b"),
        (b"M\xc3\xbcnchen\tnord", "München\tnord"),
    ],
)
def test_nothing_in_a_log_commands_a_terminal(tmp_path, written, kept):
    assert remove_times(keep(tmp_path / "log", written)) == kept + "\n"


def test_a_line_that_pretends_a_time_gets_its_own(tmp_path):
    forged = "2020-01-01T00:00:00.000+00:00 all is well"
    (line,) = keep(tmp_path / "log", forged.encode()).splitlines()
    assert line.endswith(forged)
    assert not line.startswith("2020")


def test_a_full_log_is_put_aside_and_three_are_kept(tmp_path):
    log = tmp_path / "log"
    lines = [b"line %04d" % number for number in range(200)]
    keep(log, b"\n".join(lines), limit=400)
    kept = [log, *(name_backup(log, number) for number in (1, 2, 3))]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert all(path.stat().st_size <= 400 for path in kept)
    text = "".join(remove_times(path.read_text()) for path in reversed(kept))
    assert text == b"".join(line + b"\n" for line in lines[-text.count("\n") :]).decode()


def test_an_endless_line_fills_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(log_keeper, "LINE_BYTES", 10)
    assert (
        remove_times(keep(tmp_path / "log", b"x" * 25)) == "x" * 10 + "\n" + "x" * 10 + "\n" + "x" * 5 + "\n"
    )


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    LogKeeper(tmp_path / "file" / "log").keep(io.BytesIO(b"a\nb\n"))


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("as before")
    (tmp_path / "log").symlink_to(secret)
    LogKeeper(tmp_path / "log").keep(io.BytesIO(b"a\n"))
    assert secret.read_text() == "as before"


def test_only_the_owner_reads_a_log(tmp_path):
    before = os.umask(0)
    try:
        keep(tmp_path / "logs" / "log", b"a\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "logs" / "log").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700


def test_a_child_tells_its_last_words_across_a_log_that_was_put_aside(tmp_path):
    log = tmp_path / "log"
    keep(log, b"of an earlier child\n")
    child = start_child("a", [*PYTHON, "print('before')"], log=log)
    child.process.wait(60)
    child.await_log()
    log.replace(name_backup(log))
    keep(log, b"\x1b[91mafter\x1b[0m\n")
    assert child.tail() == "before\nafter\n"


def test_what_a_dying_interpreter_prints_is_in_the_log(tmp_path):
    log = tmp_path / "log"
    child = start_child("a", [*PYTHON, "import faulthandler, os; faulthandler.enable(); os.abort()"], log=log)
    child.process.wait(60)
    assert "Aborted" in child.tail()
    assert re.match(r"\d{4}-\d\d-\d\dT", log.read_text())


def test_a_child_without_a_log_has_no_last_words():
    child = start_child("a", [*PYTHON, "pass"])
    child.process.wait(60)
    assert isinstance(child, Child)
    assert child.tail() == ""
