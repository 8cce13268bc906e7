"""A SuperLink that died is started again, for as long as a machine at its limit needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import Mock

import pytest

from client.link.supervise import find_free_port
from common.errors import ExchangeError
from common.runtime.processes import Child, start_child, stop_child
from server.process import superlink, supervise
from server.process.superlink import start_superlink
from server.process.supervise import keep_superlink
from server.provision.office import Office, OfficeSettings, create_office
from tests.server.process.test_superlink import PLAN

VAIN = "the SuperLink does not come up: it does not answer"


class DoneError(Exception):
    """The test has seen enough."""


@pytest.fixture
def office(tmp_path) -> Office:
    (tmp_path / "study.toml").write_text(PLAN)
    settings = OfficeSettings(host="localhost", port=find_free_port())
    return create_office(tmp_path / "office", tmp_path / "study.toml", settings)


@contextmanager
def open_nothing(_: Office) -> Iterator:
    yield lambda: None


def keep(office, monkeypatch, starts):
    """What is said while each start ends as told: a SuperLink that soon dies, or none."""
    said, patience, left = [], [], iter(starts)

    def start(_, *, on_loopback, patience_s=120.0, meanwhile=None):
        patience.append(patience_s)
        failure = next(left)
        if failure is not None:
            raise failure
        return start_child("SuperLink", [sys.executable, "-S", "-c", ""], log=office.logs / "superlink.log")

    monkeypatch.setattr(supervise, "start_superlink", start)
    monkeypatch.setattr(supervise, "_POLL_S", 0.01)
    monkeypatch.setattr(supervise, "_PAUSE_S", 0.01, raising=False)
    with pytest.raises((DoneError, ExchangeError)) as ended:
        keep_superlink(office, said.append, open_nothing, on_loopback=True)
    return said, patience, ended.value


def test_starts_in_vain_are_repeated_and_a_loaded_machine_has_time(office, monkeypatch):
    vain = ExchangeError(VAIN)
    said, patience, end = keep(office, monkeypatch, [None, vain, vain, None, DoneError()])
    assert isinstance(end, DoneError)
    assert [line.split("; ")[-1] for line in said if VAIN in line] == [
        "start 2 of 5 follows in 0 s, Ctrl-C ends it",
        "start 3 of 5 follows in 0 s, Ctrl-C ends it",
    ]
    assert sum("hospitals reach it" in line for line in said) == 2
    assert patience[0] == 120
    assert min(patience[1:]) >= 1800


@contextmanager
def enrol_one(office, monkeypatch):
    """A hospital is enrolled; to admit it ends as a SuperLink's silence does."""
    refused = ExchangeError("center1 cannot be registered: the SuperLink does not answer")
    monkeypatch.setattr(Office, "load_cards", lambda _: ["card"])
    monkeypatch.setattr(supervise, "register_site", Mock(side_effect=refused))
    yield refused


def test_one_that_dies_while_a_site_is_admitted_is_started_again(office, monkeypatch):
    with enrol_one(office, monkeypatch):
        said, _, end = keep(office, monkeypatch, [None, None, DoneError()])
    assert isinstance(end, DoneError)
    assert sum("died and is started again" in line for line in said) == 2


def test_one_that_lives_and_refuses_a_site_ends_it(office, monkeypatch):
    monkeypatch.setattr(supervise, "_DYING_S", 0.0)
    monkeypatch.setattr(Child, "ends_within", lambda *_: False)
    with enrol_one(office, monkeypatch) as refused:
        _, _, end = keep(office, monkeypatch, [None, DoneError()])
    assert end is refused


def test_the_gateway_is_looked_after_while_the_next_one_comes_up(office, monkeypatch):
    looks = []
    monkeypatch.setattr(superlink, "is_listening", lambda _: len(looks) == 3)
    monkeypatch.setattr(superlink, "_POLL_S", 0.001)
    child = start_child(
        "SuperLink", [sys.executable, "-S", "-c", "import time; time.sleep(60)"], log=office.logs / "x.log"
    )
    monkeypatch.setattr(superlink, "start_child", lambda *_: child)
    start_superlink(office, on_loopback=True, meanwhile=lambda: looks.append(1))
    stop_child(child)
    assert len(looks) == 3


def test_in_the_end_it_says_what_to_do(office, monkeypatch):
    _, patience, end = keep(office, monkeypatch, [None, *[ExchangeError(f"{VAIN} -> see x.log")] * 9])
    assert len(patience) == 6
    assert str(end).startswith(f"started 5 times in vain: {VAIN} -> see x.log, mend what it names")
    assert "run `rhe-server start` again: nothing of the study is lost" in str(end)


def test_one_that_dies_again_and_again_ends_it_and_says_what_to_do(office, monkeypatch):
    said, _, end = keep(office, monkeypatch, [None] * 9)
    assert sum("is started again" in line for line in said) == 5
    assert "died 6 times in a row" in str(end)
    assert "run `rhe-server start` again" in str(end)


def test_the_first_one_is_not_repeated(office, monkeypatch):
    said, patience, _ = keep(office, monkeypatch, [ExchangeError(VAIN)])
    assert (said, patience) == ([], [120.0])


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import time; time.sleep(600)", "does not answer after 0 s"),
        ("raise SystemExit('no room')", "no room"),
    ],
)
def test_one_that_does_not_come_up_leaves_no_process_behind(office, monkeypatch, program, reason):
    children = []

    def start(name, _, environment, log):
        children.append(start_child(name, [sys.executable, "-S", "-c", program], environment, log))
        return children[0]

    monkeypatch.setattr(superlink, "start_child", start)
    patience_s = 0.3 if "time" in program else 60.0
    with pytest.raises(ExchangeError, match=f"does not come up: .*{reason} -> see"):
        start_superlink(office, on_loopback=True, patience_s=patience_s)
    assert not children[0].running
