"""What a link that was taken over, or another user, can do at the engine's socket: nothing that costs it."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil
import pytest
from sites.passable import make_passable_folder

from client.link.connection import open_socket_link
from client.link.service import listen
from client.link.socket_frames import Pace, PacedReader, Word, write_message
from common.errors import ProtocolError, SiteError, StorageError
from common.runtime.accounts import Account, account_of, act_as

LARGEST = 2**20
BRISK = Pace(grace_s=0.2, bytes_per_s=2**20)
"""Of the engine: whoever is slower is cut off within a test's time."""
STRANGER = Account("stranger", 4242, 4242, (4242,))

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")


@pytest.fixture
def tmp_path():
    with make_passable_folder() as folder:
        yield folder


def reverse(request: bytes) -> bytes:
    return request[::-1]


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    connection.settimeout(10)
    return connection


def header(word: bytes, length: int) -> bytes:
    return word + struct.pack(">Q", length)


def read_to_end(connection: socket.socket) -> bytes:
    """What comes until the other side closes; a reset after it is an end, too."""
    received = b""
    try:
        while part := connection.recv(2**16):
            received += part
    except ConnectionResetError:
        pass
    return received


@contextmanager
def engine(tmp_path, answer=reverse, **options):
    path = tmp_path / "run" / "engine.sock"
    with listen(answer, path, LARGEST, pace=BRISK, **options):
        yield path


def ask(path: Path, question: bytes = b"ab") -> bytes:
    return open_socket_link(f"unix:{path}", LARGEST)(question)


def test_ten_gigabytes_are_refused_by_their_header(tmp_path, caplog):
    asked = []
    with engine(tmp_path, asked.append) as path, connect(path) as link:
        link.sendall(header(Word.ASK.value, 10 * 2**30))
        assert read_to_end(link) == header(Word.TOO_LONG.value, 0)
    assert not asked
    assert "10737418240 bytes" in caplog.text


def test_a_length_that_is_only_announced_costs_no_memory(tmp_path):
    path, largest = tmp_path / "engine.sock", 2**32
    with listen(reverse, path, largest, pace=Pace(grace_s=0.5)), connect(path) as link:
        before = psutil.Process().memory_info().rss
        link.sendall(header(Word.ASK.value, largest) + b"x" * 1000)
        time.sleep(0.2)
        assert psutil.Process().memory_info().rss - before < 64 * 2**20
        assert read_to_end(link) == b""


def test_a_message_is_held_once():
    """The reader's own memory is the message; a copy of it would show in the peak."""
    size, (near, far) = 64 * 2**20, socket.socketpair()
    with near, far, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(write_message, far, Word.ASK, bytes(size))
        tracemalloc.start()
        word, body = PacedReader(near, Pace()).read(size)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        sent.result()
    assert (word, len(body)) == (Word.ASK, size)
    assert peak < 1.1 * size


@pytest.mark.parametrize(
    "sent", [b"", b"rh", header(Word.ASK.value, 100), header(Word.ASK.value, 100) + b"x"]
)
def test_who_falls_silent_is_cut_off_and_the_next_is_answered(tmp_path, sent):
    with engine(tmp_path) as path:
        with connect(path) as link:
            link.sendall(sent)
            start = time.monotonic()
            assert read_to_end(link) == b""
            assert time.monotonic() - start < 20
        assert ask(path) == b"ba"


def test_a_byte_now_and_then_buys_no_time(tmp_path):
    """Each byte arrives long before any silence would be too long; the rate is what is demanded."""
    with engine(tmp_path) as path, connect(path) as link:
        link.sendall(header(Word.ASK.value, 10_000))
        start = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - start < 5:
                link.sendall(b"x")
                time.sleep(0.01)
        assert time.monotonic() - start < 5


def test_an_answer_that_nobody_takes_is_dropped(tmp_path):
    with engine(tmp_path, lambda _: bytes(LARGEST)) as path, connect(path) as link:
        link.sendall(header(Word.ASK.value, 0))
        assert len(ask(path)) == LARGEST  # the next one waits until the first is dropped


def test_an_engine_that_computes_long_is_waited_for(tmp_path):
    def compute(request: bytes) -> bytes:
        time.sleep(3 * BRISK.grace_s)
        return request

    with engine(tmp_path, compute) as path:
        assert open_socket_link(f"unix:{path}", LARGEST, pace=BRISK)(b"ab") == b"ab"


def test_a_second_connection_is_refused_at_once_and_told(tmp_path, caplog):
    with engine(tmp_path) as path, connect(path), connect(path) as second:
        assert read_to_end(second).startswith(Word.BUSY.value)
        assert "a second connection" in caplog.text
        assert f"pid={os.getpid()}" in caplog.text


def test_a_flood_costs_neither_the_question_nor_memory_nor_the_log(tmp_path, caplog):
    begun, end = threading.Event(), threading.Event()

    def compute(request: bytes) -> bytes:
        begun.set()
        end.wait(60)
        return request

    with engine(tmp_path, compute) as path, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, path)
        assert begun.wait(60)
        threads, before = threading.active_count(), psutil.Process().memory_info().rss
        connections = [connect(path) for _ in range(100)]
        assert {read_to_end(connection)[:4] for connection in connections} == {Word.BUSY.value}
        assert threading.active_count() <= threads  # others may end meanwhile
        assert psutil.Process().memory_info().rss - before < 16 * 2**20
        for connection in connections:
            connection.close()
        end.set()
        assert answer.result(10) == b"ab"
    assert sum("a second connection" in line.message for line in caplog.records) <= 2


def count_processor_s(path: Path, hold: bool) -> float:  # noqa: FBT001
    """What a second of connections that ask nothing costs this process, beside their own making."""
    with ThreadPoolExecutor(1) as pool:
        stop = threading.Event()

        def knock() -> float:
            while not stop.is_set():
                with socket.socket(socket.AF_UNIX) as guest, suppress(OSError):
                    guest.settimeout(0.2)
                    guest.connect(str(path))
            return time.thread_time()

        with connect(path) if hold else nullcontext():
            knocking, before = pool.submit(knock), time.process_time()
            time.sleep(1.0)
            stop.set()
            return time.process_time() - before - knocking.result()


@pytest.mark.parametrize("hold", [True, False])
def test_connections_that_ask_nothing_cost_no_processor(tmp_path, caplog, hold):
    path = tmp_path / "run" / "engine.sock"
    with listen(reverse, path, LARGEST):
        assert count_processor_s(path, hold) < 0.08
        assert ask(path) == b"ba"
    assert len(caplog.records) <= 3


def test_an_engine_that_answers_two_at_once_never_exists(tmp_path):
    """A link that was killed while its question was computed leaves the engine busy; its successor waits."""
    begun, end = threading.Event(), threading.Event()

    def compute(request: bytes) -> bytes:
        begun.set()
        end.wait(60)
        return request

    with engine(tmp_path, compute) as path, ThreadPoolExecutor(1) as pool:
        with connect(path) as killed:
            killed.sendall(header(Word.ASK.value, 2) + b"ab")
            assert begun.wait(60)
        successor = pool.submit(ask, path, b"cd")
        time.sleep(0.1)
        assert not successor.done()
        end.set()
        assert successor.result(60) == b"cd"


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", header(Word.ANSWER.value, 0), header(b"rhe*", 0)]
)
def test_what_is_no_question_is_refused(tmp_path, sent, caplog):
    with engine(tmp_path) as path:
        with connect(path) as link:
            link.sendall(sent)
            assert read_to_end(link) == b""
        assert "without an answer" in caplog.text
        assert ask(path) == b"ba"


def test_an_engine_outlives_a_question_that_fails(tmp_path, caplog):
    questions = iter([ValueError("patient 7"), b"ok"])

    def answer(_: bytes) -> bytes:
        result = next(questions)
        if isinstance(result, Exception):
            raise result
        return result

    with engine(tmp_path, answer) as path:
        with pytest.raises(SiteError, match="gave no answer") as refusal:
            ask(path)
        assert "patient" not in str(refusal.value)
        assert ask(path) == b"ok"


def test_neither_side_sends_more_than_the_plan_can_need(tmp_path):
    with engine(tmp_path, lambda _: bytes(LARGEST + 1)) as path:
        with pytest.raises(SiteError, match="longer than the plan can need"):
            ask(path)
        with pytest.raises(SiteError, match="can need"):
            ask(path, bytes(LARGEST + 1))


def test_the_link_reads_no_more_than_the_plan_can_need(tmp_path):
    """An engine that was taken over cannot fill the link's memory either."""
    with listen(lambda _: bytes(5000), tmp_path / "engine.sock", 10_000) as address:
        link = open_socket_link(address, 4000)
        with pytest.raises(SiteError, match="gave no answer"):
            link(b"")


def test_another_users_connection_is_closed_without_a_byte(tmp_path, caplog, monkeypatch):
    with engine(tmp_path) as path:
        monkeypatch.setattr("client.link.service.read_peer", lambda _: (77, 4242))
        with connect(path) as link:
            assert read_to_end(link) == b""
        monkeypatch.undo()
        assert ask(path) == b"ba"
    assert "uid=4242" in caplog.text


def test_a_stranger_who_listens_in_the_engines_place_gets_no_byte(tmp_path):
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as impostor:
        impostor.bind(str(path))
        impostor.listen()
        with pytest.raises(SiteError, match="nothing was sent"):
            open_socket_link(f"unix:{path}", LARGEST, engine_uid=4242)(b"secret")
        with impostor.accept()[0] as visitor:
            assert read_to_end(visitor) == b""


@as_root
def test_only_the_links_user_is_answered(tmp_path, caplog):
    """Real users: each child changes its user for good before it connects."""
    caplog.set_level(logging.WARNING)
    with engine(tmp_path, link=STRANGER) as path:
        path.parent.chmod(0o755)
        path.chmod(0o666)
        assert _ask_as(4242, path) == 0
        assert _ask_as(4243, path) == 1
        assert _ask_as(0, path) == 1
    assert "uid=4243" in caplog.text


@as_root
def test_socket_and_folder_are_the_engines_and_the_links_groups(tmp_path):
    with engine(tmp_path, link=STRANGER) as path:
        for entry, mode in ((path, 0o660), (path.parent, 0o750)):
            status = entry.stat()
            assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, STRANGER.gid, mode)


@as_root
def test_an_engine_in_the_links_group_opens_its_own_folder_to_it(tmp_path):
    """As a service: the system made the folder for the engine's user alone."""
    os.chown(tmp_path, 4243, 4243)
    member = Account("4243", 4243, 4243, (4243, STRANGER.gid))
    with act_as(member), engine(tmp_path, link=STRANGER) as path:
        for entry, mode in ((path, 0o660), (path.parent, 0o750)):
            status = entry.stat()
            assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (4243, STRANGER.gid, mode)


@as_root
def test_an_engine_outside_the_links_group_says_what_to_do(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 4243, 4243)
    server = listen(reverse, home / "run" / "engine.sock", LARGEST, STRANGER)
    with act_as(account_of(4243)), pytest.raises(StorageError, match="usermod"):
        server.__enter__()


def _ask_as(uid: int, path: Path) -> int:
    """The exit status of a child that asks as this user: 0 if it was answered."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 2
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        link = open_socket_link(f"unix:{path}", LARGEST, engine_uid=0)
        status = 0 if link(b"ab") == b"ba" else 3
    except SiteError:
        status = 1
    finally:
        os._exit(status)


def test_a_reader_says_what_was_wrong():
    near, far = socket.socketpair()
    with near, far:
        write_message(far, Word.ASK, b"abc", BRISK)
        reader = PacedReader(near, BRISK)
        assert reader.read(3) == (Word.ASK, b"abc")
        with pytest.raises(ProtocolError, match="too slow"):
            reader.read(3)
