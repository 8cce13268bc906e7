"""What is lost between coordinator and sites is asked again; what cannot be is told with its cause."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
from rich.progress import Progress
from sites.echo_site import KEY, PLAN, site
from sites.lossy_grid import FATES, LossyGrid

from common.errors import ExchangeError
from common.messages.catalogue import Operation
from common.messages.epoch_beat import write_epoch_beat
from common.messages.stall_limit import read_stall_limit
from server import attendance, conduct, delivery
from server.attendance import Attendance
from server.exchange import Exchange
from server.run import StudyRun
from simulations.backends.parties import derive_simulated_key, derive_simulated_roster


@pytest.fixture(autouse=True)
def in_haste(monkeypatch):
    for name, seconds in (("_POLL_S", 1e-4), ("_HASTE_S", 1e-4), ("_LOOK_S", 0.0)):
        monkeypatch.setattr(delivery, name, seconds)


def an_exchange(fates, wait_s=60.0, stall_s=3600.0, **sites):
    """An exchange with sites a and b, whose messages of the enrolment are not lost."""
    engines = {"a": site("a", 1), "b": site("b", 2), **sites}
    grid = LossyGrid(engines, lambda name, number: "" if number == 1 else fates(name, number - 1))
    exchange = Exchange(grid, PLAN, KEY, attendance=Attendance(wait_s), stall_s=stall_s)
    exchange.enrol(patience_s=0)
    return exchange


def ask(exchange):
    return exchange.ask(
        Operation.TRAIN, ["a", "b"], np.ones(2, np.float32), model="m", arm="federated", round=4
    )


@pytest.mark.parametrize("fate", FATES)
def test_a_message_that_is_lost_is_sent_again_as_it_was(fate):
    seen = []
    exchange = an_exchange(
        lambda name, number: fate if (name, number) == ("b", 1) else "", b=site("b", 2, seen=seen)
    )

    answers = ask(exchange)

    assert exchange.grid.lost == [fate]
    assert [int(reply.summary.counts["n"]) for reply in answers.values()] == [1, 2]
    asked = [request for _, request in seen if request.header.operation is Operation.TRAIN]
    assert len(asked) == (2 if fate == "answer lost" else 1)
    assert len({request.header.model_dump_json() for request in asked}) == 1
    assert exchange.attendance.absent == {}
    assert exchange.attendance.asked == {}


def test_the_epoch_of_a_site_is_known_as_long_as_it_is_asked(monkeypatch):
    exchange, seen = an_exchange(lambda *_: ""), []
    grid = exchange.grid
    list_nodes, take = grid.get_nodes, grid.pull_messages
    doing = ["training, epoch 1 of 3", "training, epoch 2 of 3", "nothing", "training, epoch 3 of 3"]

    def get_nodes():
        nodes = list(list_nodes())
        nodes[1].heartbeat_interval = write_epoch_beat(30.0, doing[min(len(seen), 3)])
        return nodes

    def pull_messages(numbers):
        if len(seen) == 5:
            return take(numbers)
        seen.append(exchange.attendance.epochs.get("b"))
        assert "a" not in exchange.attendance.epochs
        return []

    monkeypatch.setattr(grid, "get_nodes", get_nodes)
    monkeypatch.setattr(grid, "pull_messages", pull_messages)
    ask(exchange)

    assert seen == [None, (2, 3), None, (3, 3), (3, 3)]
    assert exchange.attendance.epochs == {}


def test_a_study_with_random_losses_has_the_answers_of_one_without():
    source = random.Random(3)
    exchange = an_exchange(lambda *_: source.choice([*FATES, *[""] * 9]))
    for _ in range(40):
        assert [int(reply.summary.counts["n"]) for reply in ask(exchange).values()] == [1, 2]
    assert set(exchange.grid.lost) == set(FATES)


def test_who_is_waited_for_is_said_once_with_time_reason_and_remedy(caplog):
    caplog.set_level(logging.INFO)
    ask(an_exchange(lambda name, number: "away" if (name, number) == ("b", 1) else ""))

    told = [record.getMessage() for record in caplog.records if "paused" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("paused, waiting for b since ")
    assert "(node not connected) -> see that `rhe-client start` runs there" in told[0]
    assert "goes on by itself, waits until " in told[0]
    assert "Ctrl-C ends it" in told[0]
    assert [record.getMessage() for record in caplog.records if "b is back after" in record.getMessage()]


def test_a_long_pause_is_said_again_now_and_then(caplog, monkeypatch):
    now = [1e9]
    monkeypatch.setattr(attendance.time, "time", lambda: now[0])
    waited = Attendance(wait_s=5000)
    for now[0] in range(10**9, 10**9 + 2000, 10):
        waited.miss("b", "node not connected", "start it")
    assert len(caplog.records) == 4
    assert waited.has_patience("b")
    now[0] = 1e9 + 5000
    assert not waited.has_patience("b")


def test_a_site_that_comes_back_is_asked_first_who_it_is(monkeypatch):
    returned = []
    exchange = an_exchange(lambda name, number: "away" if (name, number) == ("b", 1) else "")
    exchange.on_return = lambda name, reply: returned.append((name, reply.header.site))
    ask(exchange)
    assert returned == [("b", "b")]


def test_another_site_that_comes_back_in_its_place_is_refused():
    names = iter(["b", "a", "b", "b"])

    def answer_in_turn(message):
        return site(next(names))(message)

    exchange = an_exchange(
        lambda name, number: "away" if (name, number) == ("b", 1) else "",
        b=answer_in_turn,
    )
    with pytest.raises(ExchangeError, match="b came back and calls itself 'a'"):
        ask(exchange)


@pytest.mark.parametrize(
    ("fate", "told"),
    [
        ("away", "b: node not connected, since .* -> see that `rhe-client start` runs there .*--resume"),
        ("stalled", "b: its engine makes no progress, since .* -> see the log of the engine there"),
        ("other", "b: its link takes nothing of this run -> .*install the same rhe at both ends"),
    ],
)
def test_without_patience_the_run_ends_with_the_cause(fate, told):
    exchange = an_exchange(lambda name, _: fate if name == "b" else "", wait_s=0)
    with pytest.raises(ExchangeError, match=told):
        ask(exchange)


@pytest.mark.parametrize(
    ("fate", "told"), [("engine died", "again and again over"), ("answer torn", "on the way")]
)
def test_what_fails_again_and_again_is_given_up(fate, told):
    exchange = an_exchange(lambda name, _: fate if name == "b" else "")
    with pytest.raises(ExchangeError, match=f"b: .*{told}"):
        ask(exchange)
    assert len(exchange.grid.lost) == 6


def test_an_engine_that_stands_still_is_asked_again_when_it_was_started_anew(monkeypatch):
    fates = iter(["stalled", "link restarted"])
    exchange = an_exchange(lambda name, _: next(fates, "") if name == "b" else "")
    monkeypatch.setattr(delivery, "_ASK_STALLED_S", 0.01)
    assert [int(reply.summary.counts["n"]) for reply in ask(exchange).values()] == [1, 2]


def test_an_engine_that_only_took_long_is_asked_again_after_a_limit_that_is_short():
    """It may be at work: a study with less patience than ten minutes would end without having asked."""
    fates = iter(["stalled"])
    exchange = an_exchange(lambda name, _: next(fates, "") if name == "b" else "", wait_s=0.5, stall_s=0.01)
    assert [int(reply.summary.counts["n"]) for reply in ask(exchange).values()] == [1, 2]


def test_hidden_sums_wait_too_and_then_go_on_without_the_site(caplog):
    exchange = an_exchange(lambda name, _: "away" if name == "b" else "", wait_s=0.01)
    asked = dict.fromkeys(exchange._nodes.values(), exchange._courier.greeting)
    assert list(exchange._post(asked, insist=False)) == [exchange._nodes["a"]]
    assert "left out: b: node not connected, since " in caplog.text


def test_every_message_tells_the_link_how_long_its_engine_may_stand_still():
    groups = []

    class Reading(LossyGrid):
        def push_messages(self, messages):
            listed = list(messages)
            groups.extend(message.metadata.group_id for message in listed)
            return super().push_messages(listed)

    exchange = Exchange(Reading({"a": site("a"), "b": site("b")}, lambda *_: ""), PLAN, KEY, stall_s=90.2)
    exchange.enrol(patience_s=0)
    assert {read_stall_limit(group) for group in groups} == {90.0}
    assert read_stall_limit("") is None


def test_whoever_watches_a_study_sees_who_is_missed_and_at_which_epoch_sites_are(tmp_path, monkeypatch):
    monkeypatch.setattr(conduct, "_carry_through", lambda exchange, *_: exchange)
    key, roster = derive_simulated_key(PLAN), derive_simulated_roster(PLAN)
    run = StudyRun(PLAN, tmp_path, key, roster, resume=False)

    exchange = conduct.conduct(LossyGrid({"a": site("a", 1)}, lambda *_: ""), run, Progress(disable=True))
    exchange.attendance.epochs["a"] = (7, 30)
    exchange.attendance.miss("b", "node not connected", "start it")

    assert (run.watch.epochs, set(run.watch.missed)) == ({"a": (7, 30)}, {"b"})
