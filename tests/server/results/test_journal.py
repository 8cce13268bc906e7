import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import ResumeError
from server.attendance import Attendance
from server.exchange import Traffic
from server.results.clock import start_clock
from server.results.journal import add_up, open_journal

PHASES = {"enrolment": 1, "training": 5, "evaluation": 3}


def run_study(path, until=None, **known):
    """One run that exchanges as many rounds in each phase as `PHASES` says."""
    traffic = Traffic()
    clock = start_clock(traffic, open_journal(path), {"rhe": "1"}, earlier=known.get("earlier", False))
    for name, rounds in list(PHASES.items())[:until]:
        with clock.measure(name):
            for _ in range(rounds):
                traffic.rounds += 1
                traffic.messages += 2
                traffic.bytes_sent += 100
                clock.note()
                traffic.bytes_received += 10
    return clock


def count_rounds(path):
    return {name: line.rounds for name, line in add_up(open_journal(path).phases).items()}


def test_what_several_runs_cost_is_added_phase_by_phase(tmp_path):
    path = tmp_path / "out" / "journal.jsonl"
    run_study(path, until=2)
    run_study(path)

    journal = open_journal(path)
    sums = add_up(journal.phases)

    assert [line.run for line in journal.runs] == [1, 2]
    assert {name: line.rounds for name, line in sums.items()} == {
        "enrolment": 2,
        "training": 10,
        "evaluation": 3,
    }
    assert list(sums) == list(PHASES)
    assert sum(line.messages for line in sums.values()) == 30
    assert sum(line.bytes_sent for line in sums.values()) == 1500
    assert sum(line.bytes_received for line in sums.values()) == 150
    assert all(line.seconds >= 0 for line in sums.values())


def test_a_phase_that_comes_twice_in_a_run_counts_twice(tmp_path):
    clock = run_study(tmp_path / "journal")
    with clock.measure("training"):
        clock.traffic.rounds += 2
        clock.note()

    assert count_rounds(tmp_path / "journal") == PHASES | {"training": 7}


def test_between_phases_nothing_is_written(tmp_path):
    clock = run_study(tmp_path / "journal")
    before = (tmp_path / "journal").read_bytes()

    clock.note()

    assert (tmp_path / "journal").read_bytes() == before


def test_a_line_that_was_cut_anywhere_costs_itself_alone(tmp_path):
    path = tmp_path / "journal"
    run_study(path)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    # Two rounds of the evaluation are known before the line of its third, and its end repeats the third
    for cut in range(1, len(lines[-1]) + len(lines[-2]) + 1):
        path.write_bytes(content[: len(content) - cut])
        expected = 3 if cut <= len(lines[-1]) else 2

        assert count_rounds(path) == PHASES | {"evaluation": expected}
        # What was cut off is gone from the file, too: the next run begins a line of its own
        run_study(path, until=1)
        assert count_rounds(path)["enrolment"] == 2


def test_a_site_for_which_the_study_waited_is_in_the_journal_once_it_is_back(tmp_path):
    clock = start_clock(Traffic(), open_journal(tmp_path / "journal"), {}, earlier=False)
    attendance = Attendance(wait_s=3600.0, on_pause=clock.note_pause)
    for _ in range(2):
        attendance.miss("b", "node not connected", "start it")
        attendance.welcome("a")
        attendance.welcome("b")

    pauses = open_journal(tmp_path / "journal").pauses

    assert [(pause.run, pause.site) for pause in pauses] == [(1, "b"), (1, "b")]
    assert pauses[0].seconds >= 0


def test_a_damaged_line_is_not_skipped(tmp_path):
    path = tmp_path / "journal"
    run_study(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1][:20] + b"\n", *lines[2:]]))

    with pytest.raises(ResumeError, match="line 2: is damaged"):
        open_journal(path)


CHILD = """
import sys
from pathlib import Path
from server.attendance import Attendance
from server.exchange import Traffic
from server.results.clock import start_clock
from server.results.journal import open_journal

traffic = Traffic()
clock = start_clock(traffic, open_journal(Path(sys.argv[1])), {}, earlier=False)
with clock.measure("training"):
    while True:
        traffic.rounds += 1
        clock.note()
        print(traffic.rounds, flush=True)
"""


def test_a_run_that_is_killed_leaves_its_rounds(tmp_path):
    path = tmp_path / "journal"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as child:
        told = [child.stdout.readline() for _ in range(20)]
        os.kill(child.pid, signal.SIGKILL)
        told += child.stdout.readlines()

    heard = int([line for line in told if line.endswith("\n")][-1])
    assert heard >= 20
    assert count_rounds(path)["training"] in {heard, heard + 1}
