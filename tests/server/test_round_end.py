"""Who trains gets the sums with the next question and no model; who only adds zeros gets neither."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from secagg.world import COORDINATOR, key

from common.errors import ExchangeError
from common.secagg.coordinator.gathering import Coordinator
from common.secagg.coordinator.opened_total import ToldClose
from common.secagg.coordinator.round import Stage
from common.secagg.wire.frames import MessageKind, pack
from common.secagg.wire.messages import Close, Closed, ProtocolRefusal
from common.secagg.wire.roster import Member, Roster
from server.round_end import PendingClose

HDR = "1" * 64
CLOSE = pack(
    MessageKind.CLOSE, Close(hdr=HDR, phase="p", status="opened", result="2" * 64).body(), COORDINATOR
)


@dataclass
class ServedRound:
    """A round whose messages can be told apart."""

    stage: Stage = Stage.JOINING
    opened: Path | None = None
    asks_without: bool = False

    def tell_close(self) -> ToldClose:
        return ToldClose(CLOSE, self.opened, ((3, 5), (7, 9)))

    def make_close(self, *, is_told: bool) -> bytes:
        assert not is_told
        return CLOSE

    def leave_model_out(self) -> None:
        self.asks_without = True

    def ask_with_model(self) -> bytes:
        return b"whole question"


@pytest.fixture
def pending(tmp_path):
    opened = tmp_path / "1" / "opened"
    opened.parent.mkdir()
    opened.write_bytes(b"...su..ms")
    close = PendingClose(tmp_path / "close", frozenset("ab"))
    close.keep(ServedRound(opened=opened))
    return close


def refusal(code: str) -> bytes:
    return pack(MessageKind.REFUSAL, ProtocolRefusal(request=HDR, site=1, code=code).body(), key("site 1"))


def joined() -> bytes:
    return pack(MessageKind.JOIN, b"{}", key("site 1"))


def test_the_question_is_behind_the_sums_and_has_no_model(pending):
    sent = []

    def exchange(messages):
        sent.append(dict(messages))
        return dict.fromkeys(messages, joined())

    server = ServedRound()
    answers = pending.attach(server, exchange)(dict.fromkeys("abc", b"question"))

    assert set(answers) == set("abc")
    assert server.asks_without
    assert sent == [
        {"a": CLOSE + b"sums" + b"question", "b": CLOSE + b"sums" + b"question", "c": CLOSE + b"question"}
    ]


def refuse_link(*_):
    raise OSError(1, "Operation not permitted")


@pytest.mark.parametrize("knows_links", [True, False])
def test_the_sums_lie_on_the_disk_once_and_outlive_their_round(tmp_path, monkeypatch, knows_links):
    for number, content in enumerate((b"...st..le", b"...su..ms"), 1):
        opened = tmp_path / str(number) / "opened"
        opened.parent.mkdir()
        opened.write_bytes(content)
        close = PendingClose(tmp_path / "close", frozenset("a"))
        if not knows_links:
            monkeypatch.setattr(os, "link", refuse_link)
        # Twice, as after a restart
        for _ in range(2):
            close.keep(ServedRound(opened=opened))
        assert (tmp_path / "close.sums").samefile(opened) is knows_links
        shutil.rmtree(opened.parent)
    sent = []

    close.attach(ServedRound(), lambda messages: sent.append(messages) or {})({"a": b"question"})

    assert sent == [{"a": CLOSE + b"sums" + b"question"}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["close", "close.front", "close.sums"]


def test_what_an_earlier_release_kept_is_sent(tmp_path):
    (tmp_path / "close").write_bytes(CLOSE)
    (tmp_path / "close.sums").write_bytes(CLOSE + b"sums")
    sent = []

    def exchange(messages):
        sent.append(dict(messages))
        return {site: pack(MessageKind.CLOSED, Closed(hdr=HDR, site=1).body(), key("a")) for site in messages}

    PendingClose(tmp_path / "close", frozenset("a")).send(a_coordinator(), ("a",), exchange)

    assert sent == [{"a": CLOSE + b"sums"}]
    assert list(tmp_path.iterdir()) == []


def test_a_site_that_lacks_the_model_gets_the_whole_question(pending):
    sent = []

    def exchange(messages):
        sent.append(dict(messages))
        lost = len(sent) == 1
        return {site: refusal("E_NO_MODEL") if lost and site == "b" else joined() for site in messages}

    answers = pending.attach(ServedRound(), exchange)(dict.fromkeys("ab", b"question"))

    assert answers == dict.fromkeys("ab", joined())
    assert sent[1:] == [{"b": b"whole question"}]


def test_another_refusal_is_passed_on_and_other_stages_are_left_alone(pending):
    exchange = lambda messages: dict.fromkeys(messages, refusal("E_SUM_PROOF"))

    assert pending.attach(ServedRound(), exchange)({"a": b"whole"}) == {"a": refusal("E_SUM_PROOF")}
    later = pending.attach(ServedRound(Stage.COLLECTING), dict)
    assert later({"a": b"whole"}) == {"a": b"whole"}


def a_coordinator() -> Coordinator:
    members = tuple(
        Member(id=number, name=name, key=key(name).public_key().public_bytes_raw().hex())
        for number, name in enumerate("abc", 1)
    )
    public = COORDINATOR.public_key().public_bytes_raw().hex()
    roster = Roster(
        study="s", version=1, plan="0" * 64, minimum=2, colluders=0, sites=members, coordinator=public
    )
    return Coordinator(COORDINATOR, roster)


def test_the_last_close_goes_to_each_in_its_own_form_until_all_confirm(pending):
    sent = []

    def exchange(messages):
        sent.append(dict(messages))
        return {
            name: pack(MessageKind.CLOSED, Closed(hdr=HDR, site="abc".index(name) + 1).body(), key(name))
            for name in messages
            if name != "c" or len(sent) > 1
        }

    pending.send(a_coordinator(), ("a", "b", "c"), exchange)

    assert sent == [{"a": CLOSE + b"sums", "b": CLOSE + b"sums", "c": CLOSE}, {"c": CLOSE}]
    assert list(pending.path.parent.glob("*close*")) == []


def test_a_site_that_does_not_confirm_is_named_and_the_close_stays(pending):
    with pytest.raises(ExchangeError, match="a, b did not confirm"):
        pending.send(a_coordinator(), ("a", "b"), lambda _: {})

    assert len(list(pending.path.parent.glob("close*"))) == 3
