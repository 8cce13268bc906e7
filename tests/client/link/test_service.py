"""The engine behind a Unix-domain socket."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest

from client.link import connection, pulse_line, service
from client.link.connection import EngineGoneError, EngineWait, NoEngineError, StalledError, open_socket_link
from client.link.service import listen
from client.link.socket_frames import Pace, Word, write_message
from common.errors import StorageError
from common.runtime.pulse import Pulse, mark_progress, read_pulse

LARGEST = 64 * 2**20


def reverse(request: bytes) -> bytes:
    return request[::-1]


def test_bytes_go_in_and_come_out(tmp_path):
    with listen(reverse, tmp_path / "run" / "engine.sock", LARGEST) as address:
        assert open_socket_link(address, LARGEST)(b"abc") == b"cba"
        assert open_socket_link(address, LARGEST)(b"") == b""


def test_a_large_message_passes(tmp_path):
    message = os.urandom(20 * 2**20)
    with listen(reverse, tmp_path / "engine.sock", LARGEST) as address:
        assert open_socket_link(address, LARGEST)(message) == message[::-1]


def test_only_the_owner_can_reach_the_socket(tmp_path):
    before = os.umask(0)
    try:
        with listen(reverse, tmp_path / "run" / "engine.sock", LARGEST):
            assert stat.S_IMODE((tmp_path / "run" / "engine.sock").stat().st_mode) == 0o600
            assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_requests_are_answered_one_at_a_time_by_one_thread(tmp_path):
    busy = threading.Lock()
    threads = set()

    def slow(request: bytes) -> bytes:
        assert busy.acquire(blocking=False)
        threads.add(threading.get_ident())
        time.sleep(0.02)
        busy.release()
        return request

    with listen(slow, tmp_path / "engine.sock", LARGEST) as address, ThreadPoolExecutor(6) as pool:
        requests = [bytes([number]) for number in range(6)]
        assert list(pool.map(open_socket_link(address, LARGEST), requests)) == requests
    assert len(threads) == 1


def test_a_second_engine_at_one_socket_is_refused(tmp_path):
    path = tmp_path / "engine.sock"
    with listen(reverse, path, LARGEST) as address:
        with pytest.raises(StorageError, match="another process"), listen(reverse, path, LARGEST):
            pass
        assert open_socket_link(address, LARGEST)(b"ab") == b"ba"


def test_a_socket_that_a_killed_engine_left_is_taken_over(tmp_path):
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with listen(reverse, path, LARGEST) as address:
        assert open_socket_link(address, LARGEST)(b"ab") == b"ba"
    assert not path.exists()


def test_a_link_waits_for_an_engine_that_is_still_starting(tmp_path):
    path = tmp_path / "engine.sock"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(open_socket_link(f"unix:{path}", LARGEST), b"ab")
        time.sleep(0.3)
        with listen(reverse, path, LARGEST):
            assert answer.result(timeout=60) == b"ba"


def test_an_absent_engine_is_told_in_one_message(tmp_path):
    with pytest.raises(NoEngineError, match="rhe-client start"):
        open_socket_link(f"unix:{tmp_path / 'engine.sock'}", LARGEST, wait=EngineWait(start_s=0.2))(b"")


def test_an_engine_that_gets_on_is_waited_for_longer_than_it_may_stand_still(tmp_path, monkeypatch):
    monkeypatch.setattr(pulse_line, "_TELL_S", 0.02)

    def compute(request):
        for step in range(30):
            mark_progress(f"step {step}")
            time.sleep(0.02)
        return request

    with listen(compute, tmp_path / "engine.sock", LARGEST) as address:
        assert (
            open_socket_link(address, LARGEST, wait=EngineWait(stall_s=0.3))(b"ab" * 2**17) == b"ab" * 2**17
        )


def test_a_busy_engine_that_gets_on_is_waited_for_longer_than_it_may_stand_still(tmp_path, monkeypatch):
    """What asked first is gone, as a link that was killed: only the busy answer tells that work goes on."""
    monkeypatch.setattr(connection, "_LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(pulse_line, "_TELL_S", 60)
    path, begun, wait, told = tmp_path / "engine.sock", threading.Event(), EngineWait(stall_s=0.3), set()

    def compute(request):
        for step in range(0 if begun.is_set() else 40):
            mark_progress(f"step {step}")
            begun.set()
            time.sleep(0.03)
            told.add(wait.doing)
        return request

    with listen(compute, path, LARGEST) as address:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(str(path))
            write_message(gone, Word.ASK, b"ab")
            assert begun.wait(20)
        before = time.monotonic()
        assert open_socket_link(address, LARGEST, wait=wait)(b"cd") == b"cd"
        assert time.monotonic() - before > 2 * wait.stall_s
    assert any(doing.startswith("step") for doing in told)
    assert wait.doing == ""


def test_an_engine_that_was_asked_nothing_for_long_does_not_stand_still(tmp_path, monkeypatch):
    """A connection that only came before another holds the engine; it has not stood still as long as idle."""
    long_ago = Pulse("nothing", time.monotonic() - 3600)
    monkeypatch.setattr(service, "read_pulse", lambda: long_ago)
    path = tmp_path / "engine.sock"
    with listen(reverse, path, LARGEST) as address, ThreadPoolExecutor(1) as pool:
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(path))
            answer = pool.submit(open_socket_link(address, LARGEST, wait=EngineWait(stall_s=30)), b"ab")
            time.sleep(0.2)
        assert answer.result(timeout=20) == b"ba"


def test_loading_libraries_is_progress_and_standing_still_in_it_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(pulse_line, "_TELL_S", 0.02)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for number in range(30):
        (tmp_path / f"slow_part{number}.py").write_text("import time\ntime.sleep(0.03)\n")
    (tmp_path / "slow_whole.py").write_text("\n".join(f"import slow_part{n}" for n in range(30)))
    (tmp_path / "stuck.py").write_text("import time\ntime.sleep(2)\n")

    def load(request):
        import_module(request.decode())
        return read_pulse().doing.encode()

    with listen(load, tmp_path / "engine.sock", LARGEST) as address:
        ask = open_socket_link(address, LARGEST, wait=EngineWait(stall_s=0.4))
        assert ask(b"slow_whole") == b"loading libraries"
        with pytest.raises(StalledError, match="loading libraries"):
            ask(b"stuck")


def test_what_an_engine_computes_is_known_until_it_has_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(pulse_line, "_TELL_S", 0.01)
    wait, told = EngineWait(), []

    def compute(request):
        for doing in ("training, epoch 1 of 2", "training, epoch 2 of 2"):
            mark_progress(doing)
            while wait.doing != doing:
                time.sleep(0.01)
            told.append(doing)
        return request

    with listen(compute, tmp_path / "engine.sock", LARGEST) as address:
        assert open_socket_link(address, LARGEST, wait=wait)(b"ab") == b"ab"
    assert len(told) == 2
    assert wait.doing == ""


@pytest.mark.parametrize("told_every_s", [0.02, 60])
def test_an_engine_that_stands_still_is_told_from_one_that_is_slow(tmp_path, monkeypatch, told_every_s):
    monkeypatch.setattr(pulse_line, "_TELL_S", told_every_s)
    end = threading.Event()

    def hang(request):
        end.wait(20)
        return request

    try:
        with listen(hang, tmp_path / "engine.sock", LARGEST) as address:
            ask = open_socket_link(address, LARGEST, wait=EngineWait(stall_s=0.2))
            with pytest.raises(StalledError, match="has not got on for"):
                ask(b"ab")
            with pytest.raises(StalledError, match="busy with an earlier question"):
                ask(b"ab")
            end.set()
            assert ask(b"ab") == b"ab"
    finally:
        end.set()


def test_an_engine_that_stands_still_before_it_takes_a_long_question_is_told_as_that(tmp_path):
    """A stopped process: the system takes its connections and the first bytes, nobody the rest."""
    path, pace = tmp_path / "engine.sock", Pace(grace_s=0.05, bytes_per_s=2.0**30)
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(path))
        stopped.listen()
        ask = open_socket_link(f"unix:{path}", LARGEST, pace=pace, wait=EngineWait(stall_s=0.4))
        before = time.monotonic()
        with pytest.raises(StalledError, match="takes no question .* start the site again"):
            ask(bytes(4 * 2**20))
        assert time.monotonic() - before >= 0.4


def test_an_engine_that_ends_while_it_answers_is_told_as_that(tmp_path):
    path = tmp_path / "engine.sock"

    def die(listener):
        guest, _ = listener.accept()
        guest.close()

    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(str(path))
        listener.listen()
        pool.submit(die, listener)
        with pytest.raises(EngineGoneError, match="gave no answer"):
            open_socket_link(f"unix:{path}", LARGEST)(b"ab")


def test_a_socket_in_another_users_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with (
        pytest.raises(StorageError, match="another user"),
        listen(reverse, tmp_path / "engine.sock", LARGEST),
    ):
        pass


def test_an_impossible_path_is_refused(tmp_path):
    path = Path(str(tmp_path)) / ("x" * 120) / "engine.sock"
    with pytest.raises(StorageError, match="cannot listen"), listen(reverse, path, LARGEST):
        pass
