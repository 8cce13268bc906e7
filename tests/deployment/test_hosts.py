"""The hosts of `make deployment`: apart from each other and this machine, and gone however the test ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deployment import stage

HINDRANCES = stage.find_hindrances()
pytestmark = pytest.mark.skipif(bool(HINDRANCES), reason=f"NOT RUN: {'; '.join(HINDRANCES)}")

PREPARE = """
import os, socket, sys, time
from pathlib import Path
from tests.deployment.hosts import LateError, World, WorkError, list_processes
from tests.deployment.stage import list_visible, work_apart
def listen():
    server = socket.create_server(("0.0.0.0", 7000))
    server.accept()
def call(address):
    socket.create_connection((address, 7000), timeout=3).close()
    return True
def work():
    world = World()
    world.open_switch()
    a, b = (world.add_host(name, ("one", "two"), list_visible(Path({root!r})), {{}}) for name in "ab")
    {work}
    return 0
sys.exit(work_apart(work))
"""


def write_script(work: str) -> list[str]:
    root = str(Path(__file__).parents[2])
    return [sys.executable, "-c", PREPARE.format(root=root, work=work.replace("\n", "\n    "))]


def run_script(work: str) -> str:
    done = subprocess.run(write_script(work), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_hosts_see_neither_each_others_files_nor_processes_and_meet_on_the_network_alone():
    said = run_script("""\
a.write("one", Path("/tmp/mine"), b"x")
print(a.perform("one", Path.exists, Path("/tmp/mine")), b.perform("root", Path.exists, Path("/tmp/mine")))
print(a.run("one", "id", "-u", "-n").strip(), a.run("two", "id", "-G").strip() == str(a.users["two"]))
b.begin("one", listen)
time.sleep(0.5)
print(a.perform("two", call, b.address), len(a.perform("one", list_processes)) <= 2)
try:
    a.perform("two", Path.read_bytes, Path("/tmp/mine"))
except WorkError as failure:
    print("PermissionError" in str(failure))
try:
    a.perform("two", time.sleep, 60, timeout_s=0.2)
except LateError:
    print("late")
try:
    a.run("one", "false")
except WorkError as failure:
    print(str(failure))""")
    assert said.split("\n") == [
        "True False",
        "one True",
        "True True",
        "True",
        "late",
        "false ended with 1:",
        "",
        "",
    ]


def list_kept() -> tuple[str, str, set[str]]:
    """Mounts, network interfaces and folders for temporary files of this machine."""
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    return Path("/proc/mounts").read_text(), links, {path.name for path in Path("/mnt").iterdir()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_test_takes_everything_away(number, tmp_path):
    before = list_kept()
    mark = f"86400.{os.getpid()}{int(number)}"
    work = f"a.start('one', ['sleep', '{mark}'])\nb.start('root', ['sleep', '{mark}'])\n"
    script = write_script(f"{work}print('ready', flush=True)\ntime.sleep(60)")
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 10
        while len(find_processes(mark)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(find_processes(mark)) == 2
        process.send_signal(number)
        assert process.wait(20) in (130, 143, -int(number))
    deadline = time.monotonic() + 10
    while find_processes(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert find_processes(mark) == []
    while list_kept() != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list_kept() == before


def find_processes(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", mark.encode()]:
                found.append(int(folder.name))
    return found
