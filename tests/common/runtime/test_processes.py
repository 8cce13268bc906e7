"""Children that end with their parent, in every way in which either can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from common.runtime.accounts import Account
from common.runtime.log_lines import remove_times
from common.runtime.processes import (
    _choose_environment,
    end_with_parent,
    shares_network,
    start_child,
    stop_child,
)

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]
ABANDONING = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
"""
PARENT = ABANDONING + "time.sleep(60)"


def wait_for(child, word):
    while word not in child.tail():
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_child_writes_to_its_log_and_tells_only_its_own_words(tmp_path):
    log = tmp_path / "logs" / "a.log"
    for word in ("first", "second"):
        child = start_child("a", [sys.executable, "-c", f"print('{word}')"], log=log)
        assert child.process.wait(60) == 0
        child.await_log()
    assert remove_times(log.read_text()) == "first\nsecond\n"
    assert child.tail() == "second\n"
    assert not child.running


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_who_keeps_a_log_holds_no_terminal_of_this_process(tmp_path):
    child = start_child("a", SLEEP, log=tmp_path / "a.log")
    try:
        folder = Path("/proc") / str(child.keeper.pid) / "fd"
        assert {str((folder / number).readlink()) for number in "12"} == {os.devnull}
    finally:
        stop_child(child)


def test_a_killed_keeper_of_a_log_costs_the_child_nothing(tmp_path):
    words = (
        "import itertools, time\nfor n in itertools.count(): print('word', n, flush=True); time.sleep(0.01)"
    )
    child = start_child("a", [sys.executable, "-c", words], log=tmp_path / "a.log")
    try:
        for _ in range(2):
            wait_for(child, "word")
            killed = child.keeper.pid
            os.kill(killed, signal.SIGKILL)
            deadline = time.monotonic() + 60
            while child.keeper.pid == killed and child.running and time.monotonic() < deadline:
                time.sleep(0.02)
            assert child.running
            before = child.tail().count("\n")
            while child.tail().count("\n") <= before and time.monotonic() < deadline:
                time.sleep(0.02)
            assert child.tail().count("\n") > before
        assert child.running
    finally:
        stop_child(child)
    assert child.keeper.is_complete


def test_last_words_outlive_a_keeper_that_dies_before(tmp_path):
    child = start_child("a", [sys.executable, "-c", "input(); print('last')"], log=tmp_path / "a.log")
    os.kill(child.keeper.pid, signal.SIGKILL)
    child.process.wait(60)
    assert "EOFError" in child.tail()
    assert child.keeper.is_complete


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_who_keeps_a_log_gains_no_rights(tmp_path):
    child = start_child("a", SLEEP, log=tmp_path / "a.log")
    try:
        assert "NoNewPrivs:\t1" in (Path("/proc") / str(child.keeper.pid) / "status").read_text()
    finally:
        stop_child(child)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0,
    reason="only Linux takes a network away, for root",
)
def test_a_child_has_a_network_unless_it_is_taken_away(tmp_path):
    for network in (True, False):
        child = start_child("a", SLEEP, log=tmp_path / "a.log", network=network)
        try:
            assert shares_network(child) is network
        finally:
            stop_child(child)


def test_stop_ends_a_child_that_ignores_requests(tmp_path):
    child = start_child("stubborn", STUBBORN, log=tmp_path / "log")
    wait_for(child, "up")
    stop_child(child, grace_s=0.3)
    assert child.process.returncode == -signal.SIGKILL


def test_stop_ends_a_grandchild_with_a_session_of_its_own(tmp_path):
    child = start_child("parent", [sys.executable, "-c", PARENT], log=tmp_path / "log")
    wait_for(child, "\n")
    grandchild = int(child.tail())
    assert not gone(grandchild)
    stop_child(child)
    assert gone(grandchild)
    stop_child(child)


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path):
    code = (
        "import sys, time; from common.runtime.processes import _choose_environment, start_child; "
        f"print(start_child('c', {SLEEP!r}).process.pid, flush=True); time.sleep(60)"
    )
    parent = start_child("parent", [sys.executable, "-c", code], log=tmp_path / "log")
    wait_for(parent, "\n")
    child = int(parent.tail())
    assert not gone(child)
    os.kill(parent.process.pid, signal.SIGKILL)
    parent.process.wait()
    deadline = time.monotonic() + 60
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone(child)


def test_a_supervisor_ends_what_its_children_left_behind_and_nobody_of_before(tmp_path):
    code = f"""
import pathlib, subprocess, sys
from common.runtime.processes import adopt_descendants, start_child
earlier = subprocess.Popen(["sleep", "60"])
with adopt_descendants():
    log = pathlib.Path({str(tmp_path / "log")!r})
    start_child("parent", [sys.executable, "-c", {ABANDONING!r}], log=log).process.wait()
alive = earlier.poll() is None
earlier.kill()
sys.exit(0 if alive else 7)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 0
    assert gone(int(remove_times((tmp_path / "log").read_text())))


@pytest.mark.parametrize(
    ("name", "handed_on"),
    [
        *((name, True) for name in ("PATH", "HTTPS_PROXY", "no_proxy", "LC_ALL", "OMP_NUM_THREADS", "TZ")),
        *((name, True) for name in ("CUDA_VISIBLE_DEVICES", "OPENBLAS_CORETYPE", "RHE_LOG_IS_KEPT")),
        *(
            (name, False)
            for name in ("SSH_AUTH_SOCK", "HOME", "DB_PASSWORD", "API_TOKEN", "SUDO_USER", "PATHS")
        ),
    ],
)
def test_another_user_s_process_gets_no_secret_of_who_started_it(name, handed_on, monkeypatch):
    monkeypatch.setattr(os, "environ", {name: "secret"})
    stranger = Account("stranger", os.geteuid() + 1, 1, ())
    assert _choose_environment(stranger) == ({name: "secret"} if handed_on else {})
    assert _choose_environment(None) == {name: "secret"}


def test_the_environment_is_added_to(tmp_path):
    child = start_child(
        "e",
        [sys.executable, "-c", "import os; print(os.environ['X'], os.environ['PATH'])"],
        {"X": "7"},
        tmp_path / "log",
    )
    child.process.wait()
    assert child.tail().split() == ["7", os.environ["PATH"]]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux to tell of a parent's death")
@pytest.mark.parametrize("is_alive", [True, False])
def test_a_child_whose_parent_died_before_it_could_ask_ends_too(is_alive):
    """A worker of a killed run, which was still loading its libraries, stayed for ever."""
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        parent = os.getpid()
        if os.fork() == 0:
            while not is_alive and os.getppid() == parent:
                time.sleep(0.001)
            end_with_parent(parent)
            os.write(writing, b"lives on")
            os._exit(0)
        if is_alive:
            os.wait()
        os._exit(0)
    os.close(writing)
    os.waitpid(middle, 0)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == (b"lives on" if is_alive else b"")
