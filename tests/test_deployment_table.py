"""The quick half of `make deployment`: what it says and counts, and that its attacks can tell success."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from client.link.socket_frames import Word
from server.gateway.fleet_paths import FLEET_CALLS
from tests.deployment import engine_socket, stage
from tests.deployment.__main__ import ATTACKS
from tests.deployment.link_user import read_files, read_process, signal_process, trace_process, write_into
from tests.deployment.superlink_paths import CALLS, is_for_hospitals, list_routes
from tests.deployment.table import Attack, Row, Seen, format_row, summarize, try_attack
from tests.deployment.wire import Answer

NOTHING = object()


def make_attack(attempt, control=None):
    return Attack("somebody does something", "succeeded", attempt, control)


def refuse(_):
    return Seen(False, "permission denied")


def succeed(_):
    return Seen(True, "all of it")


def fail(_):
    raise OSError("the host is gone")


@pytest.mark.parametrize(
    ("attempt", "control", "state"),
    [
        (refuse, None, "refused"),
        (succeed, None, "SUCCEEDED"),
        (refuse, succeed, "refused"),
        (refuse, refuse, "BLIND"),
        (fail, None, "NOT RUN"),
        (refuse, fail, "NOT RUN"),
    ],
)
def test_only_an_attack_that_was_tried_and_can_tell_success_counts_as_refused(attempt, control, state):
    row = try_attack(make_attack(attempt, control), NOTHING)
    assert row.state == state
    said, status = summarize([row], [], 1)
    assert status == (0 if state == "refused" else 1)
    assert said.startswith("1 of 1" if state == "refused" else "0 of 1")
    assert ("BLIND" in said, "NOT RUN" in said) == (state == "BLIND", state == "NOT RUN")
    assert f"{state}: " in format_row(row)


def test_what_is_not_run_is_counted_and_says_why():
    row = Row(make_attack(refuse), "refused", "")
    assert summarize([row], [], 3) == ("1 of 3 attacks refused, 0 succeeded, 2 NOT RUN", 1)
    said, status = summarize([], ["no program nginx on this machine"], 3)
    assert said == (
        "0 of 3 attacks refused, 0 succeeded, 3 NOT RUN; NOT RUN because: no program nginx on this machine"
    )
    assert status == 0


def test_each_attack_says_what_the_code_before_did():
    assert len({attack.title for attack in ATTACKS}) == len(ATTACKS) > 30
    assert all(attack.before.startswith(("succeeded", "refused", "no ")) for attack in ATTACKS)
    assert sum(attack.before.startswith("succeeded") for attack in ATTACKS) > 20


def test_a_machine_without_the_tools_is_told(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "nginx" else f"/usr/bin/{name}")
    assert stage.find_hindrances() == [
        "only root may make hosts and users, this is user 1000",
        "no program nginx on this machine",
    ]
    assert stage.provide_nginx() == ""


@pytest.mark.parametrize(
    ("head", "body", "reached"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/protobuf", b"", True),
        (b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json", b'{"detail":"Not Found"}', True),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json", b'{"openapi":"3.1.0"}', True),
        (b"HTTP/1.1 404 Not Found\r\nServer: nginx", b"", False),
        (b"", b"", False),
    ],
)
def test_an_answer_of_the_superlink_is_recognized(head, body, reached):
    assert Answer(0, head, body).came_from_superlink is reached


def test_the_attacks_know_what_flower_serves_and_what_hospitals_need():
    assert set(CALLS) == set(FLEET_CALLS)
    foreign = {path for _, path in list_routes() if not is_for_hospitals(path)}
    assert len(foreign) > 60
    assert {"/v1/control/start-run", "/v1/runtime/acquire-task", "/v1/fleet/get-fab"} <= foreign


def test_the_attacks_speak_to_the_engine_as_the_link_does():
    speech = engine_socket.FrameSpeech()
    assert (engine_socket.ASK, engine_socket.ANSWER) == (Word.ASK, Word.ANSWER)
    assert speech.is_answer(b"rhe!")
    assert not speech.is_answer(b"rhe~")


def test_who_may_read_and_write_is_told_by_trying(tmp_path):
    (tmp_path / "key").write_text("secret")
    assert read_files([tmp_path / "key", tmp_path / "nothing"]) == [tmp_path / "key"]
    assert write_into([tmp_path, tmp_path / "nowhere"]) == [tmp_path]
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_who_may_touch_a_process_is_told_by_trying():
    with subprocess.Popen(["sleep", "20"]) as victim:
        try:
            assert {"environ", "maps", "fd"} <= set(read_process(victim.pid))
            assert "signals" in signal_process(victim.pid)
            assert "process_vm_readv" in trace_process(victim.pid)
        finally:
            victim.kill()
    assert read_process(victim.pid) == signal_process(victim.pid) == trace_process(victim.pid) == []


def test_rows_are_told_apart_by_their_state():
    row = Row(make_attack(refuse), "refused", "x" * 100)
    assert replace(row, state="SUCCEEDED") != row
    assert all(len(line) <= 140 for line in format_row(row).splitlines())
