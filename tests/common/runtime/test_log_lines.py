"""A log that a process writes itself has times with a zone, bounded files, and one reader."""

from __future__ import annotations

import logging
import os
import re
import stat
from datetime import datetime

import pytest

from common.errors import StorageError
from common.runtime import log_lines
from common.runtime.log_lines import LogFile, TimedFormatter, clean_line, clean_text, stamp_time


def make_record(message, created=None):
    record = logging.LogRecord("server", logging.INFO, "", 0, message, None, None)
    record.created = record.created if created is None else created
    return record


@pytest.fixture
def logged(tmp_path, monkeypatch):
    monkeypatch.setattr(log_lines, "LOG_BYTES", 300)
    before = os.umask(0)
    handler = LogFile(tmp_path / "logs" / "study.log")
    for number in range(40):
        handler.emit(make_record(f"phase {number}"))
    handler.close()
    os.umask(before)
    return tmp_path / "logs"


def test_the_time_has_a_zone():
    told = datetime.fromisoformat(stamp_time(1_700_000_000.5))
    assert told.timestamp() == 1_700_000_000.5
    assert told.tzinfo is not None


def test_a_record_begins_with_its_own_time():
    line = TimedFormatter("%(asctime)s %(message)s").format(make_record("done", 1_700_000_000.5))
    assert line == f"{stamp_time(1_700_000_000.5)} done"


def test_every_line_of_the_study_log_has_its_time(logged):
    lines = (logged / "study.log").read_text().splitlines()
    assert lines[-1].endswith(" phase 39")
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d phase", line) for line in lines)


def test_the_study_log_is_bounded(logged):
    assert sorted(path.name for path in logged.iterdir()) == [
        "study.log",
        *(f"study.log.{number}" for number in (1, 2, 3)),
    ]
    assert all(path.stat().st_size <= 300 for path in logged.iterdir())


def test_a_study_log_that_is_a_link_to_another_file_is_refused(tmp_path):
    (tmp_path / "other").write_text("as before")
    (tmp_path / "study.log").symlink_to(tmp_path / "other")
    with pytest.raises(StorageError, match=r"study\.log: cannot be written"):
        LogFile(tmp_path / "study.log")
    assert (tmp_path / "other").read_text() == "as before"


def test_nobody_else_reads_the_study_log_or_what_was_put_aside(logged):
    assert {stat.S_IMODE(path.stat().st_mode) for path in logged.iterdir()} == {0o600}
    assert stat.S_IMODE(logged.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("character", "spelt"),
    [
        ("\x9b", r"\x9b"),
        ("\x85", r"\x85"),
        ("\u202e", r"\u202e"),
        ("\u2066", r"\u2066"),
        ("\u200b", r"\u200b"),
        ("\u2028", r"\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("\x07", r"\x07"),
    ],
)
def test_what_commands_a_terminal_or_is_not_seen_is_spelt_out(character, spelt):
    assert clean_line(f"a{character}b".encode()).decode() == f"a{spelt}b"
    assert clean_text(f"a{character}b") == f"a{spelt}b"


def test_no_character_that_is_not_printable_stays():
    every = "".join(
        map(chr, (*range(9), *range(10, 0xD800), *range(0xE000, 0x30000), *range(0xE0000, 0xE0200)))
    )
    for told in (clean_text(every), clean_line(every.encode()).decode()):
        assert told.isprintable()


def test_words_and_tabs_stay_and_bytes_that_are_no_text_are_spelt_out():
    assert clean_line("Zürich\t100 % ─ 中文".encode()) == "Zürich\t100 % ─ 中文".encode()
    assert clean_line(b"a\xe4\x9bb") == rb"a\xe4\x9bb"
    assert clean_text("a\nb\tc") == r"a\x0ab\x09c"
