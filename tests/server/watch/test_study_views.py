"""How a study is shown while it runs: lines without a terminal, a page and metrics where asked."""

from __future__ import annotations

import io
import logging
import urllib.request

import pytest
from rich.console import Console
from studies.metrics_text import read_exposition

from common.errors import StorageError
from server.watch.study_views import Views, show_study
from server.watch.study_watch import StudyWatch

RECORD = logging.makeLogRecord({"msg": "phase 1 of 4 begins: %s", "args": ("cohort",), "created": 0.0})


def test_without_a_terminal_there_are_lines_and_nothing_else(capsys):
    with show_study(StudyWatch(), Views()) as handler:
        handler.handle(RECORD)

    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(":00 phase 1 of 4 begins: cohort")


def test_on_a_terminal_lines_stand_above_where_the_study_stands(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr("server.watch.study_views.is_terminal", lambda: True)
    monkeypatch.setattr("rich.console.Console", lambda: Console(file=screen, width=80, force_terminal=True))

    with show_study(StudyWatch(), Views()) as handler:
        handler.handle(RECORD)

    assert ":00 phase 1 of 4 begins: cohort\n" in screen.getvalue()
    assert "is being started" in screen.getvalue()


def test_page_and_metrics_are_there_while_the_study_runs(tmp_path, capsys):
    metrics = tmp_path / "rhe.prom"
    with show_study(StudyWatch(), Views(0, metrics)):
        address = capsys.readouterr().out.split()[-1]
        with urllib.request.urlopen(f"{address}state.json", timeout=5) as answer:  # noqa: S310 - our own
            assert b'"condition": "running"' in answer.read()

    assert address.startswith("http://127.0.0.1:")
    assert "rhe_study_condition" in read_exposition(metrics.read_text())


def test_what_cannot_be_shown_is_told_before_anything_begins(tmp_path):
    with pytest.raises(StorageError, match=r"\.prom"), show_study(StudyWatch(), Views(None, tmp_path / "x")):
        pass
