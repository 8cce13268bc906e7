"""The quick half of `make chaos`: its table counts, its line cuts, and what it disturbs is disturbed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from tests.chaos import disturbed
from tests.chaos.__main__ import STUDIES
from tests.chaos.cut_line import CutLine
from tests.chaos.disturbed import Fault
from tests.chaos.fault_table import Row, format_row, summarize, write_markdown
from tests.chaos.own_mistakes import AHEAD, BEHIND, OTHER
from tests.chaos.small_study import PHASES, SmallStudy

ROW = Row("kill -9 of b", "cohort", 2, "went on", 4.2, True, "b: killed")


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (ROW, True),
        (replace(ROW, same_bits=None), True),
        (replace(ROW, same_bits=False), False),
        (replace(ROW, trouble="nobody said so"), False),
    ],
)
def test_only_a_fault_that_was_tried_and_taken_counts(row, holds):
    assert summarize([row], 1) == (
        f"{int(holds)} of 1 faults taken as they must be" + ", 1 NOT" * (not holds),
        1 - holds,
    )
    assert ("NO" in format_row(row)) == (row.same_bits is False)
    assert ("TROUBLE" in format_row(row)) == bool(row.trouble)


def test_what_is_not_run_is_counted():
    assert summarize([ROW], 3) == ("1 of 3 faults taken as they must be, 2 NOT RUN", 1)
    assert write_markdown([ROW]).count("\n") == 2


def test_whatever_can_die_is_killed_in_three_phases_and_among_five_hospitals():
    killed = {
        (fault.title.partition(" of ")[2].removesuffix(" b"), fault.phase)
        for study in STUDIES
        for fault in study.faults
        if fault.title.startswith("kill -9") and len(study.names) == 2
    }
    for who in ("the engine of", "the link of", "the SuperLink", "the coordinator's run"):
        assert {phase for name, phase in killed if name == who} == {"cohort", "regression", "evaluation"}
    assert {len(study.names) for study in STUDIES} == {2, 5}
    assert {fault.phase for study in STUDIES for fault in study.faults} <= {"", *PHASES}


@pytest.fixture
def line():
    """A line to a server that sends back what it gets."""

    def echo():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                while piece := connection.recv(1000):
                    connection.sendall(piece)

    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    made = CutLine(server.getsockname())
    yield made
    made.close()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(10)
    assert not thread.is_alive()


def call(line):
    host, _, port = line.address.partition(":")
    return socket.create_connection((host, int(port)), 10)


def echo(connection, words):
    connection.sendall(words)
    return connection.recv(1000)


def is_broken(connection):
    try:
        return echo(connection, b"more") == b""
    except OSError:
        return True


def test_a_line_carries_is_cut_and_carries_again(line):
    with call(line) as connection:
        assert echo(connection, b"word") == b"word"
        line.cut()
        assert is_broken(connection)
    with call(line) as connection:
        assert is_broken(connection)
    line.mend()
    with call(line) as connection:
        assert echo(connection, b"again") == b"again"


def test_a_slow_line_is_late_in_both_directions(line):
    line.delay_s = 0.1
    with call(line) as connection:
        begun = time.monotonic()
        assert echo(connection, b"word") == b"word"
        assert time.monotonic() - begun >= 0.2


def test_what_a_line_loses_comes_later(line):
    line.loss = 1.0
    with call(line) as connection:
        begun = time.monotonic()
        assert echo(connection, b"word") == b"word"
        assert time.monotonic() - begun >= 0.8
    assert line.lost >= 2


TELL = """\
import importlib.metadata, time
from datetime import UTC, datetime
print(time.time(), datetime.now(UTC).timestamp(), importlib.metadata.version("rhe"))
"""


@pytest.mark.parametrize(("environment", "shift_s"), [(AHEAD, 600), (BEHIND, -600), (OTHER, 0)])
def test_a_hospital_that_differs_differs(environment, shift_s):
    told = subprocess.run(
        [sys.executable, "-c", TELL], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    clock, calendar, version = told.stdout.split()
    for seconds in (float(clock), float(calendar)):
        assert abs(seconds - time.time() - shift_s) < 60
    assert (version == "0.0.1") == (environment is OTHER)


class _Study(SmallStudy):
    def find(self, name):
        class Child:
            running = False

        return Child


def watch(folder, monkeypatch, fault, said=""):
    monkeypatch.setattr(disturbed, "count_rounds", lambda study: next(rounds))
    rounds = iter(("run", number) for number in range(0, 1000, 3))
    (folder / "study.log").write_text("old: b is back\nphase 1 of 8 begins: cohort\n")
    (folder / "b.log").write_text("")

    def happen(at):
        with (folder / "study.log").open("a") as log:
            log.write(said)

    return disturbed._watch(replace(fault, happen=happen), _Study(folder))


FAULT = Fault("b is away", "cohort", lambda at: None, here="b is back")


def test_a_message_counts_only_if_it_was_said_after_the_fault(tmp_path, monkeypatch):
    assert watch(tmp_path, monkeypatch, FAULT, "b is back after 3 s\n").trouble == ""
    silent = watch(tmp_path, monkeypatch, FAULT)
    assert silent.trouble == "nobody said 'b is back' at the coordinator"
    assert not silent.holds


def test_a_wait_that_is_too_long_is_told(tmp_path, monkeypatch):
    row = watch(tmp_path, monkeypatch, replace(FAULT, here="", bound_s=-1.0))
    assert row.trouble.startswith("waited 0 s, more than")
