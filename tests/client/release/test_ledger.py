"""The ledger: every line follows from the one before, whoever touches it, and whenever the process dies."""

import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from client.release.ledger import Departure, Ledger
from common.errors import StorageError

PLAN = "ab" * 32


def departure(number=1, **changes):
    return Departure(
        plan_hash=PLAN,
        phase="evaluate",
        what="statistics",
        numbers=number,
        size=9,
        digest="0" * 64,
        **changes,
    )


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    for number in (1, 2, 3):
        ledger.record(departure(number))
    return ledger


def test_lines_come_back_in_their_order(ledger):
    assert [line.number for line in ledger.read_lines()] == [1, 2, 3]
    assert [line.departure.numbers for line in ledger.read_lines()] == [1, 2, 3]


def test_a_site_that_sent_nothing_has_an_empty_ledger(tmp_path):
    assert Ledger(tmp_path / "none").read_lines() == ()


def test_nobody_but_its_owner_may_read_it(ledger):
    assert {path.stat().st_mode & 0o777 for path in ledger.folder.iterdir()} == {0o600}
    assert ledger.folder.stat().st_mode & 0o777 == 0o700


def edited(ledger, change):
    lines = ledger.path.read_bytes().split(b"\n")[:-1]
    ledger.path.write_bytes(b"".join(line + b"\n" for line in change(lines)))


EDITS = {
    "a number in the middle": (lambda a: [a[0], a[1].replace(b'"numbers":2', b'"numbers":7'), a[2]], 3),
    "a number in the last": (lambda a: [a[0], a[1], a[2].replace(b'"numbers":3', b'"numbers":7')], 3),
    "a line left out": (lambda a: [a[0], a[2]], 2),
    "two lines exchanged": (lambda a: [a[1], a[0], a[2]], 1),
    "a line twice": (lambda a: [a[0], a[0], a[1], a[2]], 2),
    "no line at all": (lambda a: [a[0], b"{}", a[2]], 2),
}


@pytest.mark.parametrize(("change", "line"), EDITS.values(), ids=EDITS)
def test_an_edit_is_found_at_its_line(ledger, change, line):
    edited(ledger, change)

    with pytest.raises(StorageError, match=f"line {line}: .* backup"):
        Ledger(ledger.folder).read_lines()


def test_lines_cut_off_at_the_end_are_missed(ledger):
    edited(ledger, lambda lines: lines[:2])

    for one in (ledger, Ledger(ledger.folder)):
        with pytest.raises(StorageError, match="has 2 lines, 3 were written"):
            one.read_lines()
        with pytest.raises(StorageError, match="has 2 lines, 3 were written"):
            one.record(departure())


def test_a_whole_folder_that_is_gone_is_missed(ledger):
    ledger.path.unlink()
    ledger.folder.rmdir()

    for one in (ledger, Ledger(ledger.folder)):
        with pytest.raises(StorageError, match="has 0 lines, 3"):
            one.read_lines()
        with pytest.raises(StorageError, match="has 0 lines, 3"):
            one.record(departure())


def test_a_head_that_is_damaged_or_gone_lets_nothing_leave(ledger):
    head = ledger.head_file.read_text()
    ledger.head_file.write_text("{}}")
    with pytest.raises(StorageError, match="is damaged"):
        ledger.record(departure())
    ledger.head_file.unlink()
    with pytest.raises(StorageError, match="is gone"):
        ledger.record(departure())
    ledger.head_file.write_text(head)
    ledger.record(departure())


@pytest.mark.parametrize("where", ["a number in the middle", "two lines exchanged", "a line left out"])
def test_lines_before_the_last_that_were_altered_let_nothing_leave(ledger, where):
    """Also where the last line, and the file's length, are as they were."""
    edited(ledger, EDITS[where][0])

    for one in (ledger, Ledger(ledger.folder)):
        with pytest.raises(StorageError):
            one.check()
        with pytest.raises(StorageError):
            one.record(departure())


def test_a_ledger_made_anew_is_noticed(ledger, tmp_path):
    """Every line follows from the one before; the head beside the folder is another."""
    other = Ledger(tmp_path / "other")
    for number in (1, 1, 1, 1):
        other.record(departure(number))
    ledger.path.write_bytes(other.path.read_bytes())

    for one in (ledger, Ledger(ledger.folder)):
        with pytest.raises(StorageError, match="was altered after it was written"):
            one.record(departure())


def test_lines_of_the_protocol_stand_between_the_others(ledger):
    ledger.append({"event": "JOIN", "phase": "statistics:0"})
    ledger.record(departure(4))

    assert [line.number for line in ledger.read_lines()] == [1, 2, 3, 5]
    assert [line.number for line in ledger.read_log()] == [1, 2, 3, 4, 5]
    assert ledger.read_log()[3].protocol == {"event": "JOIN", "phase": "statistics:0"}
    assert ledger.count_today() == 4


def test_a_line_that_was_torn_by_a_crash_told_of_nothing_and_is_dropped(ledger):
    with ledger.path.open("ab") as file:
        file.write(b'{"number":4,"time')

    ledger.record(departure(44))

    assert [line.departure.numbers for line in ledger.read_lines()] == [1, 2, 3, 44]


def test_a_line_that_is_whole_but_not_yet_counted_stays(ledger):
    before = ledger.head_file.read_bytes()
    ledger.record(departure(4))
    ledger.head_file.write_bytes(before)

    assert len(Ledger(ledger.folder).read_lines()) == 4
    ledger.record(departure(5))
    assert [line.departure.numbers for line in ledger.read_lines()] == [1, 2, 3, 4, 5]


def test_a_line_that_somebody_appended_is_refused(ledger):
    with ledger.path.open("ab") as file:
        file.write(ledger.path.read_bytes().split(b"\n")[0] + b"\n")

    with pytest.raises(StorageError, match="line 4: does not follow"):
        ledger.record(departure())


def test_a_full_disk_lets_nothing_leave(ledger, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)

    with pytest.raises(StorageError):
        ledger.record(departure())


WRITER = """
import sys
from pathlib import Path
from client.release.ledger import Departure, Ledger

ledger, number = Ledger(Path(sys.argv[1])), 0
while True:
    number += 1
    ledger.record(Departure(plan_hash="", phase="p", what="model", numbers=number, size=1, digest="0" * 64))
    print(number, flush=True)
"""


def test_kill_9_loses_no_line_that_was_told(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    told = 0
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(ledger.folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            for _ in range(8):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            told += 8 + len(re.findall(r"\d+\n", writer.stdout.read()))

        found = len(ledger.read_lines())

        assert told <= found <= told + 1
        told = found


def test_answers_of_a_day_are_counted_by_kind_and_again_after_a_restart(tmp_path):
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    ledger = Ledger(tmp_path / "ledger")
    ledger.record(departure())
    ledger.record(departure(0).model_copy(update={"what": "refusal", "times": 3}))
    ledger.append({"event": "join"})
    counted = ledger.count_kinds(today)

    anew = Ledger(tmp_path / "ledger")
    assert anew.count_kinds(today) == {}  # it has read nothing yet
    anew.check()

    assert counted == anew.count_kinds(today) == {departure().what: 1, "refusal": 3}
    assert anew.count_kinds("2026-01-01") == {}
