"""The link against Flower's own SuperLink: these tests fail when Flower changes what the link relies on."""

from __future__ import annotations

import io
import os
import shutil
import threading
import time
import zipfile
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.superlink.grid import http_grid
from flwr.superlink.main import create_app
from flwr.supernode.fleet_http_client import FleetHttpClient

from client.link.carry import Patience, Rhythm
from client.link.connection import EngineWait
from client.link.markers import LinkEvent, Trouble, find_last_event
from client.link.session_file import SessionFile
from client.link.side_by_side import SideBySide
from client.link.troubles import LineError
from common.errors import SiteError, StorageError
from common.messages.bundle import make_bundle
from common.messages.epoch_beat import read_epoch_beat
from common.messages.protocol import from_record
from server.provision.authority import create_authority


@pytest.fixture
def site(coordinator):
    """A key that the coordinator knows, and the node that it is."""
    return coordinator.enrol()


def test_bytes_go_to_the_engine_and_its_answer_back(coordinator, site, run_link, tmp_path):
    key, node = site
    with run_link(coordinator.door(key), tmp_path, lambda question: question[::-1]) as link:
        link.wait_for(f"connected node={node}")
        assert from_record(coordinator.ask(node, b"\x00abc").content) == b"cba\x00"
        assert from_record(coordinator.ask(node, b"").content) == b""
    assert link.asked == [b"\x00abc", b""]


def test_a_large_message_passes_both_ways_unchanged(coordinator, site, run_link, tmp_path):
    key, node = site
    body = os.urandom(30 * 2**20)
    with run_link(coordinator.door(key), tmp_path) as link:
        reply = coordinator.ask(node, body)
    assert from_record(reply.content) == body
    assert link.asked == [body]


def test_a_message_of_equal_pieces_passes(coordinator, site, run_link, tmp_path):
    """Flower sends a piece that occurs twice once."""
    key, node = site
    body = bytes(10 * 2**20)
    with run_link(coordinator.door(key), tmp_path):
        assert from_record(coordinator.ask(node, body).content) == body


def test_a_message_is_not_confirmed_before_its_last_object_was_uploaded(
    coordinator, site, run_link, tmp_path, monkeypatch
):
    """The coordinator would forget it under the hands of whoever is uploading it."""
    key, node = site

    def upload_slowly(objects, push_object_fn, object_ids_to_push):
        for number, thing in objects.items():
            if number in object_ids_to_push:
                time.sleep(0.2 if thing is list(objects.values())[-1] else 0.0)
                push_object_fn(number, thing.deflate())

    monkeypatch.setattr(http_grid, "push_objects", upload_slowly)
    with run_link(coordinator.door(key), tmp_path):
        assert from_record(coordinator.ask(node, b"ab").content) == b"ab"


def test_a_message_over_the_bound_is_refused_and_the_next_one_passes(coordinator, site, run_link, tmp_path):
    key, node = site
    with run_link(coordinator.door(key, largest=1000), tmp_path) as link:
        reply = coordinator.ask(node, bytes(1001))
        assert (reply.error.code, reply.error.reason) == (2, "E_CONTEXT")
        assert link.asked == []
        assert from_record(coordinator.ask(node, bytes(1000)).content) == bytes(1000)


def test_a_piece_that_is_repeated_counts_each_time(coordinator, site, run_link, tmp_path):
    """Ten megabytes of zeros travel as five: few bytes could become as many as fit into memory."""
    key, node = site
    with run_link(coordinator.door(key, largest=7 * 2**20), tmp_path) as link:
        assert coordinator.ask(node, bytes(10 * 2**20)).has_error()
    assert link.asked == []


def test_a_run_of_another_bundle_is_refused_and_nothing_of_it_reaches_the_engine(
    coordinator, site, run_link, tmp_path
):
    key, node = site
    other = replace(coordinator)
    other.begin_run(_change(make_bundle()))
    with run_link(coordinator.door(key), tmp_path) as link:
        reply = other.ask(node, b"x")
        assert (reply.error.code, reply.error.reason) == (2, "E_CONTEXT")
        assert link.asked == []
        assert "another bundle" in link.wait_for("failed message=")
        assert from_record(coordinator.ask(node, b"x").content) == b"x"
    other.leave_run()


def _change(bundle: bytes) -> bytes:
    """The bundle of a release with a ServerApp of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(buffer, "w") as new:
        new.writestr("pyproject.toml", old.read("pyproject.toml").replace(b"nothing", b"stranger"))
        new.writestr("stranger.py", "app = None")
    return buffer.getvalue()


def test_an_engine_that_fails_is_told_by_its_code_alone(coordinator, site, run_link, tmp_path):
    key, node = site

    def absent(_: bytes) -> bytes:
        raise SiteError("/data/patients/engine.sock: does not answer")

    with run_link(coordinator.door(key), tmp_path, absent) as link:
        reply = coordinator.ask(node, b"x")
        assert (reply.error.code, reply.error.reason) == (2, "E_SITE")
        assert "/data/patients" in link.wait_for("failed message=")


def test_the_heart_beats_while_the_engine_computes(coordinator, site, run_link, tmp_path, monkeypatch):
    monkeypatch.setattr("client.link.carry._BEAT_S", 0.3)
    key, node = site
    done = threading.Event()

    def slow(question: bytes) -> bytes:
        before = _info(coordinator, node).online_until
        while _info(coordinator, node).online_until <= before:
            time.sleep(0.01)
        done.set()
        return question

    with run_link(coordinator.door(key), tmp_path, slow):
        coordinator.ask(node, b"x")
    assert done.is_set()


def test_a_heart_tells_the_epoch_of_a_training_and_of_other_work_nothing(
    coordinator, site, run_link, tmp_path, monkeypatch
):
    monkeypatch.setattr("client.link.carry._BEAT_S", 0.05)
    key, node = site
    wait, seen = EngineWait(), []
    said = {
        "training, epoch 7 of 30": (7, 30),
        "training, epoch 8 of 30": (8, 30),
        "preparing patients": None,
    }

    def train(question: bytes) -> bytes:
        for wait.doing, epoch in said.items():
            while _read_epoch(coordinator, node) != epoch:
                time.sleep(0.01)
            seen.append(epoch)
        return question

    with run_link(coordinator.door(key), tmp_path, train, wait):
        coordinator.ask(node, b"x")
    assert seen == list(said.values())


def _read_epoch(coordinator, node: int):
    """As the coordinator's own process sees it."""
    (interval_s,) = (one.heartbeat_interval for one in coordinator.grid.get_nodes() if one.node_id == node)
    return read_epoch_beat(interval_s)


def _info(coordinator, node: int):
    return coordinator.state.get_node_info(node_ids=[node])[0]


def test_a_link_that_ends_signs_off_at_once(coordinator, site, run_link, tmp_path):
    key, node = site
    with run_link(coordinator.door(key), tmp_path) as link:
        link.wait_for("connected node=")
        assert _info(coordinator, node).status == "online"
    assert _info(coordinator, node).status == "offline"
    with run_link(coordinator.door(key), tmp_path) as link:
        link.wait_for(f"connected node={node}")


def test_a_killed_predecessor_does_not_stand_in_the_way(coordinator, site, run_link, tmp_path):
    key, node = site
    coordinator.state.activate_node(node, 30)
    SessionFile(tmp_path).begin(node)
    with run_link(coordinator.door(key), tmp_path) as link:
        assert link.wait_for("node=") == f"connected node={node}"


def test_a_copy_elsewhere_does_not_push_the_first_one_out(coordinator, site, run_link, tmp_path):
    key, node = site
    with run_link(coordinator.door(key), tmp_path / "first") as link:
        link.wait_for("connected node=")
        shutil.copytree(tmp_path / "first", tmp_path / "copy")
        with run_link(coordinator.door(key), tmp_path / "copy") as copy:
            assert "another link with this site's key" in copy.wait_for("refused reason=already-connected")
            assert from_record(coordinator.ask(node, b"x").content) == b"x"
        assert copy.asked == []
        assert not copy.has_said("connected node=")


def test_one_folder_runs_one_link(coordinator, site, run_link, tmp_path):
    key, _ = site
    with run_link(coordinator.door(key), tmp_path) as link:
        link.wait_for("connected node=")
        with run_link(coordinator.door(key), tmp_path) as second, pytest.raises(TimeoutError):
            second.wait_for("connected")
        assert isinstance(second.failure, StorageError)


def test_a_site_is_let_in_as_soon_as_it_is_enrolled(coordinator, run_link, tmp_path):
    key = ec.generate_private_key(ec.SECP384R1())
    with run_link(coordinator.door(key), tmp_path) as link:
        assert "send the coordinator the card" in link.wait_for("refused reason=not-enrolled")
        node = coordinator.admit(key)
        assert link.wait_for("connected node=") == f"connected node={node}"
    assert len([line for line in link.lines if "refused" in line]) == 1


def test_a_coordinator_that_is_started_anew_finds_the_site_again(run_server, run_link, tmp_path):
    """Its state is in memory: the site becomes another node."""
    authority = create_authority("restart")
    key = ec.generate_private_key(ec.SECP256R1())
    with ExitStack() as stack:
        with run_server(create_app(), tmp_path, authority) as first:
            first.admit(key)
            link = stack.enter_context(run_link(first.door(key), tmp_path / "link"))
            link.wait_for("connected node=")
        link.wait_for("refused reason=unreachable")
        second = stack.enter_context(run_server(create_app(), tmp_path, authority, first.port))
        node = second.admit(key)
        link.wait_for(f"connected node={node}")


def test_what_is_wrong_is_said_once_and_that_it_is_back_once():
    lines: list[str] = []
    patience = Patience(lines.append, _Impatient())
    patience.connect(7)
    patience.endure(LineError(Trouble.UNREACHABLE, "a is silent"))
    patience.relieve()
    assert lines == ["connected node=7"]
    for _ in range(5):
        patience.endure(LineError(Trouble.UNREACHABLE, "a is\nsilent"))
    patience.relieve()
    patience.relieve()
    assert lines[1:] == ["refused reason=unreachable: a is silent", "connected node=7"]


class _Impatient(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        assert 0 < timeout < 10
        return False


def test_questions_are_frequent_after_a_message_and_soon_rare_when_nothing_comes():
    now = time.monotonic()
    assert [round(Rhythm(now - quiet).pause_s(), 2) for quiet in (0, 2, 10, 200)] == [0.02, 0.2, 1.0, 2.0]


def test_of_quiet_a_link_asks_64_times_in_half_a_minute_and_15_in_the_next(monkeypatch):
    """At 5 ms of a processor for each, as where caches are cold: 1 % of it, then a quarter."""
    now, asked, rhythm = 0.0, [0, 0], Rhythm(0.0)
    monkeypatch.setattr("client.link.carry.time.monotonic", lambda: now)
    while now < 60.0:
        asked[now >= 30.0] += 1
        now += rhythm.pause_s()
    assert asked[0] <= 64
    assert asked[1] <= 15


def test_a_question_that_is_lost_on_the_line_is_not_waited_for_without_end(
    coordinator, site, run_link, tmp_path, monkeypatch
):
    """Flower holds it for delivered, and the coordinator waits for whoever does not sign in anew."""
    pull, lost = FleetHttpClient.PullMessages, []

    def lose_one(self, request):
        answer = pull(self, request)
        if answer.messages_list and not lost:
            lost.append(request)
            raise httpx.ReadError("cut")
        return answer

    monkeypatch.setattr(FleetHttpClient, "PullMessages", lose_one)
    await_new_sign_in(coordinator, site, run_link, tmp_path, lost)


def test_a_question_that_a_fault_of_ours_lost_is_not_waited_for_without_end(
    coordinator, site, run_link, tmp_path, monkeypatch
):
    begin, lost = SideBySide.begin, []

    def fail_once(self, work):
        if not lost:
            lost.append(work)
            raise RuntimeError("can't start new thread")
        return begin(self, work)

    monkeypatch.setattr(SideBySide, "begin", fail_once)
    await_new_sign_in(coordinator, site, run_link, tmp_path, lost)


def await_new_sign_in(coordinator, site, run_link, tmp_path, lost):
    key, node = site
    with run_link(coordinator.door(key), tmp_path) as link:
        link.wait_for(f"connected node={node}")
        before = _info(coordinator, node).last_activated_at
        coordinator.send(node, b"first")
        deadline = time.monotonic() + 60
        while _info(coordinator, node).last_activated_at == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lost
        assert _info(coordinator, node).last_activated_at > before
        assert from_record(coordinator.ask(node, b"again").content) == b"again"


def test_a_supervisor_reads_the_last_event():
    log = "2026-11-29T10:00:00Z connected node=5\n2026-11-29T10:00:01Z answered message=1\n"
    assert find_last_event(log) == LinkEvent(None, "5")
    log += "2026-11-29T10:00:02Z refused reason=clock: 10 minutes ahead -> NTP\n"
    assert find_last_event(log) == LinkEvent(Trouble.CLOCK, "10 minutes ahead -> NTP")
    assert find_last_event("2026-11-29T10:00:00Z it was connected node=5\n") is None
