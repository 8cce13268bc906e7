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

from tests.chaos import disturbed, lossy_wire
from tests.chaos.__main__ import STUDIES, choose_studies
from tests.chaos.cut_line import CutLine
from tests.chaos.disturbed import Fault
from tests.chaos.fault_table import Row, format_row, summarize, write_markdown
from tests.chaos.hurt_trainings import SLOW, TOO_LARGE
from tests.chaos.lossy_wire import Wire
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


@pytest.mark.parametrize("hospitals", [2, 5])
def test_whatever_can_die_dies_in_a_round_of_training_too(hospitals):
    titles = {
        fault.title.partition(", in round")[0].rstrip(" abcde")
        for study in STUDIES
        for fault in study.faults
        if fault.asked and len(study.names) == hospitals
    }
    for who in ("kill -9 of the engine of", "kill -9 of the link of", "kill -9 of the coordinator's run"):
        assert who in titles
    assert {"power loss at", "power loss at the coordinator".rstrip(" abcde")} <= titles


def test_a_long_study_is_played_only_if_that_is_asked_for():
    short, everything = (choose_studies((), with_long=with_long) for with_long in (False, True))
    assert {study.name for study in everything} - {study.name for study in short} == {"long-cut"}
    assert [study.name for study in choose_studies(("long-cut", "slow"), with_long=False)] == [
        "long-cut",
        "slow",
    ]


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


def test_a_wire_is_late_and_loses_packets_for_good():
    wire, arrived = Wire(delay_s=0.2, loss=0.5), []
    for number in range(100):
        wire.take(bytes([number]), number % 2, now=number / 1000)
    assert wire.deliver(0.1, lambda *packet: arrived.append(packet)) == pytest.approx(0.1, abs=0.05)
    assert arrived == []
    assert wire.deliver(1.0, lambda *packet: arrived.append(packet)) is None
    assert 30 < wire.lost < 70
    assert len(arrived) == wire.carried == 100 - wire.lost
    assert arrived == sorted(arrived, key=lambda packet: packet[1])
    assert all(end == packet[0] % 2 for end, packet in arrived)


def test_a_wire_that_is_full_loses_what_comes_besides():
    wire = Wire(delay_s=9.0)
    for _ in range(lossy_wire._QUEUE + 3):
        wire.take(b"", 0, now=0.0)
    assert wire.lost == 3


BURDEN = """\
import sys, time, types
class FullError(Exception): pass
sys.modules["torch"] = types.SimpleNamespace(OutOfMemoryError=FullError)
import sitecustomize
from common.runtime.pulse import mark_progress, read_pulse
begun = time.monotonic()
mark_progress("preparing patients")
quick, begun = time.monotonic() - begun, time.monotonic()
mark_progress("training, epoch 1 of 2")
print(quick, time.monotonic() - begun, read_pulse().doing)
for trained in ("a:wide", "b:flat", "b:wide"):
    sitecustomize._training[0] = trained
    try:
        mark_progress("training, epoch 1 of 2")
    except FullError as failure:
        print(trained, failure)
"""


def test_a_burdened_hospital_trains_slowly_and_has_no_memory_for_one_network():
    told = subprocess.run(
        [sys.executable, "-c", BURDEN],
        env=os.environ | SLOW | TOO_LARGE,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    quick_s, slow_s, doing = told[0].split(maxsplit=2)
    assert float(quick_s) < 0.3
    assert float(slow_s) >= 0.4
    assert doing == "training, epoch 1 of 2"
    assert [line[:26] for line in told[1:]] == ["b:wide CUDA out of memory."]


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

    return disturbed._watch(replace(fault, happen=happen), _Study(folder), ())


FAULT = Fault("b is away", "cohort", lambda at: None, here="b is back")


def test_a_message_counts_only_if_it_was_said_after_the_fault(tmp_path, monkeypatch):
    assert watch(tmp_path, monkeypatch, FAULT, "b is back after 3 s\n").trouble == ""
    said = watch(tmp_path, monkeypatch, replace(FAULT, never="after . s"), "b is back after 3 s\n")
    assert said.trouble == "said: b is back after 3 s"
    silent = watch(tmp_path, monkeypatch, FAULT)
    assert silent.trouble == "nobody said 'b is back' at the coordinator"
    assert not silent.holds


def test_a_wait_that_is_too_long_is_told(tmp_path, monkeypatch):
    row = watch(tmp_path, monkeypatch, replace(FAULT, here="", bound_s=-1.0))
    assert row.trouble.startswith("waited 0 s, more than")
