"""`rhe-server status`: where a study stands, by its folder alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from sites.commands import run_command

from common.errors import ResumeError, StorageError
from common.runtime.storage import lock_folder
from server.watch.study_state import STATE_FILE, read_study_state
from server.watch.study_status import find_status
from server.watch.study_watch import StudyWatch
from server.watch.time_left import Reckoning
from server.watch.watched_parts import StudyOutline

HEAVY = ("numpy", "pydantic", "rich.live", "flwr", "torch", "cryptography", "http.server")


class Nothing:
    rounds = messages = bytes_sent = bytes_received = 0


def run_study(folder, failure=None):
    outline = StudyOutline("A study", "f" * 64, ("a",), ("cohort",), {"cohort": "cohort"}, Reckoning())
    try:
        with StudyWatch().keep(outline, folder, Nothing(), 1):
            if failure is not None:
                raise failure
    except type(failure):
        pass
    return folder


def test_a_folder_above_leads_to_the_study_that_runs(tmp_path):
    run_study(tmp_path / "study" / "one")
    run_study(tmp_path / "study" / "two")

    with lock_folder(tmp_path / "study" / "one"):
        status = find_status(tmp_path)

    assert status.is_running
    assert status.folder == tmp_path / "study" / "one"


def test_it_says_when_and_how_it_ended(tmp_path):
    run_study(tmp_path / "good")
    run_study(tmp_path / "bad", ValueError("b: too few patients"))
    run_study(tmp_path / "stopped", KeyboardInterrupt())

    first_lines = [
        find_status(tmp_path / name).write_lines()[0].partition(" at ")[0]
        for name in ("good", "bad", "stopped")
    ]

    assert first_lines == [
        "A study: finished",
        "A study: not running, failed",
        "A study: not running, interrupted",
    ]
    assert "b: too few patients" in find_status(tmp_path / "bad").write_lines()[0]


def test_a_process_that_was_killed_has_written_no_end(tmp_path):
    run_study(tmp_path)
    state = json.loads((tmp_path / STATE_FILE).read_text())
    (tmp_path / STATE_FILE).write_text(
        json.dumps({**state, "condition": "running", "ended": "", "ending": ""})
    )

    lines = find_status(tmp_path).write_lines()

    assert "not running, killed at" in lines[0]
    assert "--resume goes on" in lines[0]
    with lock_folder(tmp_path):
        assert "running since" in find_status(tmp_path).write_lines()[0]


def test_a_damaged_state_hides_no_other_study(tmp_path):
    run_study(tmp_path / "good")
    run_study(tmp_path / "bad")
    (tmp_path / "bad" / STATE_FILE).write_text("{}")

    assert find_status(tmp_path).folder == tmp_path / "good"
    with pytest.raises(StorageError, match="bad/state.json"):
        find_status(tmp_path / "bad")


@pytest.mark.parametrize("name", ["gone", "."])
def test_no_study_is_told_with_what_to_do(tmp_path, name):
    with pytest.raises(ResumeError, match="->"):
        find_status(tmp_path / name)


@pytest.mark.parametrize(
    "change",
    [{"phases": 3}, {"sites": [{"nme": "a"}]}, {"unknown": 1}, {"steps": {}}, {"lines": None}, {"pause": []}],
)
def test_a_state_that_cannot_be_understood_is_damaged(tmp_path, change):
    run_study(tmp_path)
    state = json.loads((tmp_path / STATE_FILE).read_text())
    (tmp_path / STATE_FILE).write_text(json.dumps({**state, **change}))

    with pytest.raises(StorageError, match="is damaged"):
        read_study_state(tmp_path)


def test_the_command_prints_words_or_one_object(tmp_path):
    run_study(tmp_path)

    words, told = (
        run_command("rhe-server", "status", tmp_path),
        run_command("rhe-server", "status", tmp_path, "--json"),
    )

    assert words.stdout.startswith("A study: finished at ")
    assert json.loads(told.stdout)["condition"] == "finished"
    assert json.loads(told.stdout)["is_running"] is False


def test_it_loads_nothing_that_would_make_it_slow():
    code = (
        "import sys, server.cli, server.watch.study_status; "
        "print(*(name for name in sys.argv[1:] if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
