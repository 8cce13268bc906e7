"""A pause that ends otherwise than by the site's return: log, journal, board and `status` say with what."""

from __future__ import annotations

import json
import logging
import re
from contextlib import suppress

import pytest
from rich.progress import Progress
from sites.echo_site import KEY, PLAN, site
from sites.lossy_grid import LossyGrid

from common.errors import ExchangeError
from common.messages.catalogue import Operation
from common.plan.study import StudyPlan
from server import conduct, delivery
from server.earlier_run import describe_earlier_run
from server.results.journal import open_journal
from server.run import StudyRun
from server.watch.study_board import describe_study
from server.watch.study_state import STATE_FILE, read_study_state
from server.watch.study_status import find_status
from server.watch.study_watch import StudyWatch

BARE = StudyPlan.model_validate(PLAN.model_dump() | {"privacy": {"secure": False}})
ENDS = [KeyboardInterrupt(), SystemExit(143)]


@pytest.fixture(autouse=True)
def in_haste(monkeypatch):
    for name, seconds in (("_POLL_S", 1e-4), ("_HASTE_S", 1e-4), ("_LOOK_S", 0.0)):
        monkeypatch.setattr(delivery, name, seconds)


class Study:
    """A study whose site b does not answer any more after the enrolment."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.watch, self.exchange = folder, StudyWatch(), None
        self.wait_s, self.at_each_look = 3600.0, lambda: None
        monkeypatch.setattr(conduct, "_carry_through", self.carry_through)

    def carry_through(self, exchange, *_):
        self.exchange = exchange
        exchange.enrol(patience_s=0)
        self.ask(exchange)

    def lose_patience(self):
        """The wait is over, once the study is paused; no clock is needed for it."""
        if self.watch.read().condition == "paused":
            self.exchange.attendance.wait_s = 0.0

    def ask(self, exchange):
        exchange.ask(Operation.PREPARE, ["a", "b"])

    def run(self):
        look = self.at_each_look

        class Lonely(LossyGrid):
            def get_nodes(self):
                if max(self.sent.values()) > 1:
                    look()
                    return [node for node in super().get_nodes() if node.name != "b"]
                return super().get_nodes()

        grid = Lonely(
            {name: site(name) for name in "ab"},
            lambda name, number: "away" if (name, number) > ("b", 1) else "",
        )
        run = StudyRun(BARE, self.folder, KEY, patience_s=self.wait_s, watch=self.watch)
        conduct.conduct(grid, run, Progress(disable=True))

    def board(self):
        return describe_study(self.watch.read())

    @property
    def told(self):
        """The lines without their times."""
        return [line.partition(" ")[2] for line in self.watch.read().lines]

    @property
    def pauses(self):
        return [(pause.site, pause.ending) for pause in open_journal(self.folder / "journal.jsonl").pauses]


@pytest.fixture
def study(tmp_path, monkeypatch):
    return Study(tmp_path, monkeypatch)


@pytest.mark.parametrize("end", ENDS, ids=["Ctrl-C", "SIGTERM"])
def test_a_run_that_is_ended_in_a_pause_says_so_everywhere(study, end, caplog):
    caplog.set_level(logging.INFO)
    seen = []

    def end_it():
        if study.watch.read().condition == "paused":
            seen.append(study.board().condition)
            raise end

    study.at_each_look = end_it
    with pytest.raises(type(end)):
        study.run()

    status, since = find_status(study.folder), seen[0].rpartition(" since ")[2]
    during = f" while paused since {since}, waiting for b; --resume goes on once b can be reached"
    assert status.write_lines()[0].startswith("A study: not running, interrupted at ")
    assert status.write_lines()[0].endswith(during)
    assert study.told[-1] == f"interrupted{during}"
    assert study.told[-1] in [record.getMessage() for record in caplog.records]
    assert (status.state.pause.sites, json.loads(status.write_json())["condition"]) == (("b",), "interrupted")
    assert study.pauses == [("b", "run ended")]


def test_a_run_whose_wait_is_over_says_for_whom_it_waited_and_how_to_go_on(study, caplog):
    caplog.set_level(logging.INFO)
    study.at_each_look = study.lose_patience
    with pytest.raises(ExchangeError):
        study.run()

    (given_up,) = [line for line in study.told if line.startswith("waits no longer")]
    assert given_up.startswith("waits no longer for b, after ")
    assert ": missed since " in given_up
    assert given_up.endswith(" (node not connected)")
    told = find_status(study.folder).write_lines()[0]
    assert ": not running, failed at " in told
    assert re.search(", having waited for b since .*: b: node not connected, since ", told)
    assert told.endswith("; then run the study again with --resume")
    assert study.told[-1].startswith("failed, having waited for b since ")
    assert any(record.getMessage() == study.told[-1] for record in caplog.records)
    assert study.pauses == [("b", "given up")]


def test_a_run_without_patience_never_paused(study):
    study.wait_s = 0.0
    with pytest.raises(ExchangeError):
        study.run()

    assert read_study_state(study.folder).pause.sites == ()
    assert "paused" not in "".join(find_status(study.folder).write_lines())
    assert study.pauses == []


def test_a_study_that_goes_on_without_a_site_is_not_paused(study):
    study.at_each_look = study.lose_patience
    boards = []

    def leave_out(exchange):
        asked = dict.fromkeys(exchange._nodes.values(), exchange._courier.greeting)
        exchange._post(asked, insist=False)
        boards.append(study.board())

    study.ask = leave_out
    study.run()

    (board,) = boards
    assert board.condition.startswith("running since ")
    assert [party.words.partition(" at ")[0] for party in board.parties][1] == "cannot be reached; last heard"
    assert read_study_state(study.folder).pause.sites == ()
    assert study.pauses == [("b", "given up")]


def test_a_run_that_was_killed_in_a_pause_says_since_when_it_waited(study):
    kept = []

    def keep_file():
        if study.watch.read().condition == "paused":
            study.watch._file.write()
            kept.append((study.folder / STATE_FILE).read_bytes())
            raise KeyboardInterrupt

    study.at_each_look = keep_file
    with suppress(KeyboardInterrupt):
        study.run()
    (study.folder / STATE_FILE).write_bytes(kept[0])

    told = find_status(study.folder).write_lines()[0]
    assert "not running, killed at " in told
    assert "while paused since " in told
    assert ", waiting for b; --resume goes on once b can be reached" in told
    assert ", paused since " in describe_earlier_run(study.folder)
