import numpy as np
import pytest
from pydantic import ValidationError
from sites.echo_site import KEY, PLAN, site

from common.errors import ExchangeError
from common.messages.catalogue import Operation
from common.messages.headers import ReplyHeader
from server.exchange import Exchange
from server.reasons import SiteFailureError, reason_of
from simulations.backends.local_grid import LocalGrid


def an_exchange(engines, plan=PLAN):
    exchange = Exchange(LocalGrid(engines), plan, KEY)
    exchange.enrol(patience_s=0)
    return exchange


def test_answers_come_sorted_by_site_whatever_the_order_of_asking():
    exchange = an_exchange({"b": site("b", 2), "a": site("a", 1)})

    answers = exchange.ask(Operation.PREPARE, ["b", "a"])

    assert list(answers) == ["a", "b"]
    assert [int(reply.summary.counts["n"]) for reply in answers.values()] == [1, 2]


def test_a_site_at_a_later_round_is_told_with_what_starts_anew():
    assert "or to start anew: a plan with another name, approved anew" in reason_of("E_ROUND_OLD")


def test_every_request_names_site_plan_and_context():
    seen = []
    exchange = an_exchange({"a": site("a", seen=seen), "b": site("b")})

    exchange.ask(Operation.TRAIN, ["a"], np.ones(2, np.float32), model="m", arm="federated", round=4)

    name, request = seen[-1]
    assert name == "a"
    assert request.header.site == "a"
    assert request.header.plan_hash == PLAN.digest()
    assert (request.header.model, request.header.arm, request.header.round) == ("m", "federated", 4)
    np.testing.assert_array_equal(request.weights, [1, 1])


def test_a_site_that_stays_away_is_named():
    exchange = Exchange(LocalGrid({"a": site("a")}), PLAN, KEY)

    with pytest.raises(ExchangeError, match="not connected: b"):
        exchange.enrol(patience_s=0)


@pytest.mark.parametrize("name", ["a", "stranger"])
def test_a_node_that_answers_in_another_name_than_its_key_s_is_refused(name):
    exchange = Exchange(LocalGrid({"a": site("a"), "b": site(name)}), PLAN, KEY)

    with pytest.raises(ExchangeError, match=f"enrolled as 'b' calls itself '{name}'"):
        exchange.enrol(patience_s=0)


def test_a_node_that_the_plan_does_not_have_is_refused():
    exchange = Exchange(LocalGrid({"a": site("a"), "stranger": site("stranger")}), PLAN, KEY)

    with pytest.raises(ExchangeError, match="'stranger', which the plan does not have"):
        exchange.enrol(patience_s=0)


def test_two_nodes_of_one_name_are_refused(monkeypatch):
    grid = LocalGrid({"a": site("a"), "b": site("a")})
    monkeypatch.setattr(grid, "_names", {2: "a", 3: "a"})

    with pytest.raises(ExchangeError, match="two nodes call themselves 'a'"):
        Exchange(grid, PLAN, KEY).enrol(patience_s=0)


@pytest.mark.parametrize("code", ["E\n\x1b[2J", "", "e_small"])
def test_a_code_that_is_none_cannot_be_sent(code):
    with pytest.raises(ValidationError):
        ReplyHeader(site="a", code=code)


def test_a_site_s_refusal_is_told_with_site_operation_and_remedy():
    exchange = an_exchange({"a": site("a"), "b": site("b", code="E_SMALL_N")})

    with pytest.raises(
        ExchangeError, match="b: prepare failed with E_SMALL_N: the site has too few patients"
    ):
        exchange.ask(Operation.PREPARE, ["a", "b"])


def test_every_site_that_refuses_is_told_not_the_first_alone():
    exchange = an_exchange({"a": site("a", code="E_COHORT"), "b": site("b", code="E_STORAGE")})

    with pytest.raises(SiteFailureError) as caught:
        exchange.ask(Operation.PREPARE, ["a", "b"])

    told = str(caught.value)
    assert "a: prepare failed with E_COHORT" in told
    assert (
        "b: prepare failed with E_STORAGE: the site's disk is full or cannot be written -> free space there"
        in told
    )
    assert "E_COHORT at a: " in caught.value.standing.reason
    assert "E_STORAGE at b: " in caught.value.standing.reason


def test_a_model_is_given_up_only_if_that_helps_every_site_that_failed():
    asked = {"a": "E_CLIP", "b": "E_MEMORY"}
    for second, costs_one_model in (("E_MEMORY", True), ("E_STORAGE", False)):
        codes = asked | {"b": second}
        exchange = an_exchange({name: site(name, code=code) for name, code in codes.items()})
        with pytest.raises(SiteFailureError) as caught:
            exchange.ask(Operation.TRAIN, ["a", "b"])
        assert caught.value.costs_one_model == costs_one_model


def test_an_answer_in_another_site_s_name_is_refused():
    names = iter(["b", "a"])

    def impostor(message):
        return site(next(names))(message)

    exchange = an_exchange({"a": site("a"), "b": impostor})

    with pytest.raises(ExchangeError, match="b: the answer to prepare claims to be from 'a'"):
        exchange.ask(Operation.PREPARE, ["b"])


def test_an_answer_that_is_cut_short_is_told_with_its_site():
    answers = iter([lambda reply: reply, lambda reply: reply[:-5]])
    whole = site("b")
    exchange = an_exchange({"a": site("a"), "b": lambda message: next(answers)(whole(message))})

    with pytest.raises(ExchangeError, match="b: a message is truncated"):
        exchange.ask(Operation.PREPARE, ["b"])


def test_traffic_is_counted():
    exchange = an_exchange({"a": site("a"), "b": site("b")})
    before = exchange.traffic.bytes_sent

    exchange.ask(Operation.PREPARE, ["a", "b"])

    assert (exchange.traffic.rounds, exchange.traffic.messages) == (2, 4)
    assert exchange.traffic.bytes_sent > before
    assert exchange.traffic.bytes_received > 0
