"""`rhe-server run`: what it needs, what it says, and that two never work on one study."""

from __future__ import annotations

import logging
from contextlib import contextmanager

import pytest

from common.errors import ExchangeError, ResumeError, SmallNumberError, StorageError
from common.runtime.storage import lock_folder
from server.process import order as orders
from server.process.order import Order, perform_order
from server.provision.office import OfficeSettings, create_office
from server.run import StudyRun

PLAN = """
name = "A study"
seed = 1
[[sites]]
name = "A"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


@pytest.fixture
def office(tmp_path):
    (tmp_path / "study.toml").write_text(PLAN)
    settings = OfficeSettings(host="localhost", port=1)
    return create_office(tmp_path / "office", tmp_path / "study.toml", settings)


@pytest.fixture
def superlink(monkeypatch):
    """A SuperLink that listens; lists the runs that were opened on it."""
    opened = []

    @contextmanager
    def open_run(office):
        opened.append(office)
        yield "grid"

    monkeypatch.setattr(orders, "is_listening", lambda _: True)
    monkeypatch.setattr(orders, "open_run", open_run)
    return opened


def conduct_by(monkeypatch, conduct):
    monkeypatch.setattr("server.conduct.conduct", conduct)


def test_a_study_that_ends_well_is_shown_and_logged(office, superlink, tmp_path, monkeypatch, capsys):
    seen = []

    def conduct(grid, run, _):
        seen.append((grid, run.plan, run.out, run.backend))
        logging.getLogger("server.anything").info("round number=1")

    conduct_by(monkeypatch, conduct)
    perform_order(office, Order(tmp_path / "out"))

    assert seen == [("grid", office.plan, tmp_path / "out", "flower")]
    assert superlink == [office]
    assert "round number=1" in capsys.readouterr().out
    assert "round number=1" in (office.logs / "study.log").read_text()
    logging.getLogger("server.anything").info("after the study")
    assert "after the study" not in (office.logs / "study.log").read_text()


@pytest.mark.parametrize("failure", [SmallNumberError("too few"), KeyboardInterrupt(), KeyError("x")])
def test_what_stops_a_study_is_raised_as_it_is(office, superlink, tmp_path, monkeypatch, failure):
    def conduct(*_):
        raise failure

    conduct_by(monkeypatch, conduct)
    with pytest.raises(type(failure)):
        perform_order(office, Order(tmp_path / "out"))
    with lock_folder(office.work), lock_folder(tmp_path / "out"):
        pass


def test_a_folder_of_another_study_is_refused_before_a_run_begins(office, superlink, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text('{"plan_hash": "0"}')
    with pytest.raises(ResumeError, match="another --out"):
        perform_order(office, Order(tmp_path / "out"))
    assert superlink == []


@pytest.mark.parametrize(
    ("roster", "remedy"),
    [(None, "another --out starts anew"), (object(), "a plan with another name, approved anew")],
)
def test_a_folder_with_results_tells_what_starts_anew(office, tmp_path, roster, remedy):
    """Real hospitals answer hidden sums once: another folder ended with E_ROUND_OLD."""
    run = StudyRun(office.plan, tmp_path, office.load_key(), roster=roster)
    run.claim()
    with pytest.raises(
        ResumeError, match=f"already holds this study -> --resume goes on with it; .*{remedy}"
    ):
        run.claim()


def test_two_never_work_on_one_study(office, superlink, tmp_path):
    with lock_folder(office.work), pytest.raises(StorageError, match="another process is working"):
        perform_order(office, Order(tmp_path / "out"))


def test_without_a_superlink_the_command_to_start_is_told(office, tmp_path):
    with pytest.raises(ExchangeError, match=f"rhe-server start {office.folder}"):
        perform_order(office, Order(tmp_path / "out"))
