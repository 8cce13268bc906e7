"""A simulated study on a terminal."""

from __future__ import annotations

import io
import logging

from rich.console import Console

from server.watch.study_watch import StudyWatch
from server.watch.time_left import Reckoning
from server.watch.watched_parts import StudyOutline
from simulations.study_view import FolderView, show_simulation


class Nothing:
    rounds = messages = bytes_sent = bytes_received = 0


def keep(watch, folder):
    outline = StudyOutline("A study", "f" * 64, ("a",), ("cohort",), {"cohort": "cohort"}, Reckoning())
    return watch.keep(outline, folder, Nothing(), 1)


def test_what_an_earlier_run_left_is_not_shown(tmp_path):
    with keep(StudyWatch(), tmp_path):
        pass
    view = FolderView(tmp_path)
    before = view.describe()
    (tmp_path / "state.json").write_text("of another version")
    damaged = view.describe()

    assert before.title == damaged.title == "study"
    assert before.condition == "is being started"


def test_a_study_that_begins_is_shown(tmp_path):
    view = FolderView(tmp_path)
    with keep(StudyWatch(), tmp_path):
        assert view.describe().title == "A study"


def test_lines_stay_and_the_sites_work_is_below_the_study(tmp_path):
    screen = io.StringIO()
    watch = StudyWatch()
    with show_simulation(tmp_path, Console(file=screen, width=100, force_terminal=True)) as progress:
        progress.add_task("center1: reading scans", total=30)
        with keep(watch, tmp_path):
            watch.say("phase 1 of 1 begins: cohort")

    assert " phase 1 of 1 begins: cohort\n" in screen.getvalue()
    assert "center1: reading scans" in screen.getvalue()
    assert logging.getLogger("server.watch").propagate
    assert logging.getLogger("server.watch").handlers == []


def test_without_a_terminal_nothing_is_shown(tmp_path, capsys):
    with show_simulation(tmp_path) as progress:
        progress.add_task("center1: reading scans", total=30)

    assert capsys.readouterr() == ("", "")
