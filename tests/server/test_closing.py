"""The last word of a study in the clear goes to every site at once, and holds up nobody's results."""

from __future__ import annotations

import pytest
from sites.echo_site import KEY, PLAN, site
from sites.lossy_grid import LossyGrid

from common.errors import ExchangeError
from common.messages.catalogue import Operation
from server import delivery
from server.attendance import Attendance
from server.closing import close_study
from server.exchange import Exchange


@pytest.fixture(autouse=True)
def in_haste(monkeypatch):
    for name, seconds in (("_POLL_S", 1e-4), ("_HASTE_S", 1e-4), ("_LOOK_S", 0.0)):
        monkeypatch.setattr(delivery, name, seconds)


def an_exchange(fates):
    """A study in the clear, ready to be closed, and what its sites are asked; it has patience."""
    seen = []
    engines = {name: site(name, seen=seen) for name in "ab"}
    grid = LossyGrid(engines, lambda name, number: fates(name) if 1 < number < 12 else "")
    exchange = Exchange(grid, PLAN, KEY, attendance=Attendance(wait_s=5.0))
    exchange.enrol(patience_s=0)
    seen.clear()
    return exchange, seen


def test_every_site_is_told_in_one_round():
    exchange, seen = an_exchange(lambda _: "")
    before = exchange.traffic.rounds

    close_study(exchange)

    told = [(name, request.header.operation, request.header.stage) for name, request in seen]
    assert sorted(told) == [("a", Operation.DESCRIBE, "end"), ("b", Operation.DESCRIBE, "end")]
    assert exchange.traffic.rounds == before + 1


@pytest.mark.parametrize("fate", ["away", "stalled", "other", "engine died", "answer torn"])
def test_who_cannot_be_told_is_not_waited_for(caplog, fate):
    exchange, seen = an_exchange(lambda name: fate if name == "b" else "")

    close_study(exchange)

    assert [name for name, _ in seen] == ["a"]
    (line,) = [record.getMessage() for record in caplog.records if "was not told" in record.getMessage()]
    assert line.startswith("the end of the study was not told to b (b: ")
    assert "--resume" not in line
    assert "paused" not in caplog.text
    assert exchange.attendance.absent == {}


def test_without_a_superlink_nobody_is_told_and_the_study_ends_all_the_same(monkeypatch, caplog):
    exchange, _ = an_exchange(lambda _: "")

    def refuse(_):
        raise ExchangeError("the SuperLink does not answer -> see its log")

    monkeypatch.setattr(exchange.grid, "push_messages", refuse)
    close_study(exchange)

    assert "the end of the study was not told to the sites (the SuperLink does not answer)" in caplog.text
