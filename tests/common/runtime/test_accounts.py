"""Users as whom files are written and processes run; with real users, which only root can become."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sites.passable import make_passable_folder

from common.errors import SiteError
from common.runtime.accounts import (
    Account,
    account_of,
    act_as,
    become,
    close_to_others,
    find_account,
    has_account,
    read_peer,
)

USER = account_of(4242)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux' own")


@pytest.fixture
def tmp_path():
    with make_passable_folder() as folder:
        yield folder


def run_in_child(act: Callable[[], object]) -> int:
    """The exit status of a child of this process: 0 if the act was true."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        status = 0 if act() else 1
    finally:
        os._exit(status)


def test_a_user_is_found_by_name_and_by_number():
    assert find_account("root").uid == 0
    assert find_account("0").name == "root"
    assert find_account("4242") == USER == Account("4242", 4242, 4242, (4242,))
    assert has_account("root")
    assert not has_account("no-such-user")
    with pytest.raises(SiteError, match="no user 'no-such-user'"):
        find_account("no-such-user")


@as_root
def test_files_are_made_and_refused_with_the_other_users_rights(tmp_path):
    (tmp_path / "roots").write_text("x")
    (tmp_path / "roots").chmod(0o600)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with act_as(USER):
        (tmp_path / "open" / "mine").write_text("y")
        with pytest.raises(PermissionError):
            (tmp_path / "roots").read_text()
    assert (tmp_path / "open" / "mine").stat().st_uid == USER.uid
    assert (os.geteuid(), os.getegid()) == (0, 0)
    assert (tmp_path / "roots").read_text() == "x"


@as_root
def test_who_became_another_user_cannot_come_back():
    def try_to_return() -> bool:
        with act_as(USER):
            become(USER)
            return_to_root: list[bool] = []
            for call in (lambda: os.seteuid(0), lambda: os.setuid(0), lambda: os.setgid(0)):
                try:
                    call()
                except PermissionError:
                    return_to_root.append(False)
            done = os.getresuid() == (4242,) * 3 and os.getgroups() == [4242] and len(return_to_root) == 3
            os._exit(0 if done else 1)

    assert run_in_child(try_to_return) == 0


@on_linux
def test_a_closed_process_shows_nothing_to_its_own_user_either(tmp_path):
    """Without it, whoever is the same user reads a process' memory and environment."""
    # Who became another user is closed until it is another program: made open as after exec
    script = (
        "import ctypes, os, sys; from common.runtime.accounts import *\n"
        "if not os.geteuid(): become(account_of(4242)); ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
        "if sys.argv[1] == 'closed': close_to_others()\n"
        "print('ready', flush=True); sys.stdin.read()"
    )

    def readable(pid: int) -> set[str]:
        """What the same user can open of a process, and whether it can trace it."""
        found = set()
        for name in ("environ", "mem", "maps"):
            try:
                Path(f"/proc/{pid}/{name}").open("rb").close()
                found.add(name)
            except PermissionError:
                pass
        if ctypes.CDLL(None, use_errno=True).ptrace(0x4206, pid, 0, 0) == 0:
            found.add("ptrace")
        return found

    def attack(pid: int) -> bool:
        if os.geteuid() == 0:
            become(USER)
        return not readable(pid)

    for mode, refused in (("closed", 0), ("open", 1)):
        with subprocess.Popen(
            [sys.executable, "-c", script, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            assert run_in_child(lambda pid=child.pid: attack(pid)) == refused
            child.kill()


def test_a_closed_process_dumps_no_core_and_makes_private_files(tmp_path):
    def act() -> bool:
        close_to_others()
        (tmp_path / "made").touch()
        return resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)

    assert run_in_child(act) == 0
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600


@on_linux
def test_a_sockets_other_side_is_known():
    near, far = socket.socketpair()
    with near, far:
        assert read_peer(near) == (os.getpid(), os.geteuid())


def test_a_system_that_does_not_tell_is_refused(monkeypatch):
    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    near, far = socket.socketpair()
    with near, far, pytest.raises(SiteError, match="Linux"):
        read_peer(near)
