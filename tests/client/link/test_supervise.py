"""Engine and link are kept alive as their users; the programs are fakes that say who they are."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from sites.passable import make_passable_folder

from client.link import supervise
from client.link.markers import Trouble, find_stall, format_connected, format_refused
from client.link.supervise import check_users, keep_site, make_meeting_place
from client.membership.link_folder import LinkFolder, LinkSettings
from client.membership.site_users import SiteUsers
from client.watch.site_state import STATE_NAME, WATCH_FOLDER, EngineState
from common.errors import SiteError, StorageError
from common.runtime import processes
from common.runtime.accounts import account_of, act_as
from common.runtime.storage import lock_folder, write_atomically
from common.runtime.watch.plain_times import write_moment

OWN = SiteUsers(account_of(os.geteuid()), account_of(os.geteuid()))
TWO = SiteUsers(account_of(4242), account_of(4243))
CONNECTED = format_connected(7)
EXPIRED = format_refused(Trouble.EXPIRED_CERTIFICATE, "expired on 2026-01-01 -> ask the coordinator")

PATIENCE_S = 60.0
"""For a machine that is slow; what is waited for takes a hundredth of it."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of two users")

FAKE = """#!/bin/sh
echo "$(id -u) $(id -g) $(umask) $HOME $*" >> "{folder}/$1.calls"
[ -e "{folder}/$1.says" ] && cat "{folder}/$1.says"
[ -e "{folder}/$1.ends" ] && exit 11
exec sleep 60
"""


class Site:
    """As much of a membership as the supervisor needs."""

    def __init__(self, folder: Path, users: SiteUsers) -> None:
        self.folder, self.state, self.users = folder, folder / ".rhe", users
        self.link = LinkFolder(folder / ".rhe-link")
        self.log = self.state / "logs" / "engine.log"
        self.socket = folder / "run" / "engine.sock"
        self.settings = self
        self.name, self.table = "a", "table.csv"
        self.invitation = self
        self.address = "study.example.org:8443"
        for account, place in ((users.engine, self.state), (users.link, self.link.root)):
            place.mkdir(mode=0o700)
            os.chown(place, account.uid, account.gid)
        told = LinkSettings(
            site="a", study="s", address=self.address, largest_message=1, state=str(self.state),
            engine_uid=users.engine.uid,
        )  # fmt: skip
        with act_as(users.link):
            self.link.save(told)

    def read_approved_plan(self) -> None:
        """Nothing: it is approved."""


@pytest.fixture
def tmp_path():
    with make_passable_folder() as folder:
        yield folder


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "fake"
    folder.mkdir()
    folder.chmod(0o777)
    program = folder / "rhe-client"
    program.write_text(FAKE.format(folder=folder))
    program.chmod(0o755)
    monkeypatch.setattr(supervise, "find_program", lambda: str(program))
    monkeypatch.setattr(supervise, "_PAUSE_S", 0.01)
    return folder


@contextmanager
def keep_log(log: Path, _):
    """Stands in for the process that keeps a log, because this Python may lie where only root reads it."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    yield handle, None
    os.close(handle)


def opened(folder: Path, users: SiteUsers = OWN):
    home = folder.parent / "site"
    home.mkdir()
    home.chmod(0o711)
    lines: list[str] = []
    site = Site(home, users)
    return supervise._Supervisor(site, users, site.socket, None, lines.append), lines


def calls(folder: Path, name: str, number: int) -> list[str]:
    """What the fake wrote, once it was called so often."""
    path = folder / f"{name}.calls"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if path.exists() and len(path.read_text().splitlines()) >= number:
            return path.read_text().splitlines()
        time.sleep(0.02)
    raise TimeoutError(f"{name} was not called {number} times")


def look_until(supervisor, true) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        supervisor.look_after()
        if true():
            return
        time.sleep(0.02)
    raise TimeoutError("what was waited for did not come")


def test_what_the_engine_tells_of_itself_is_said_once(folder, monkeypatch):
    monkeypatch.setattr("client.watch.engine_view._PERIOD_S", 0.0)
    supervisor, lines = opened(folder)
    told = EngineState(site="a", pid=1, started=write_moment(), told=1, lines=("14:03:00 asked: cohort",))
    try:
        supervisor.begin()
        place = supervisor.member.state / WATCH_FOLDER / STATE_NAME
        write_atomically(place, json.dumps({"version": 1, **told.write_json()}).encode(), private=True)
        look_until(supervisor, lambda: told.lines[0] in lines)
        supervisor.look_after()
    finally:
        supervisor.end()

    assert lines.count(told.lines[0]) == 1
    assert supervisor.shown.view.describe().title == "a"


def test_engine_and_link_get_their_make_folder_fors_and_one_socket(folder):
    supervisor, lines = opened(folder)
    try:
        supervisor.begin()
        site = supervisor.member
        assert calls(folder, "engine", 1)[0].endswith(
            f"engine {site.folder} --state {site.state} --socket {site.socket}"
        )
        assert calls(folder, "link", 1)[0].endswith(f"link {site.link.root} --engine {site.socket}")
        assert "one user" in lines[0]
    finally:
        supervisor.end()


@as_root
def test_root_starts_each_as_its_user_and_keeps_nothing_itself(folder, monkeypatch):
    monkeypatch.setattr(processes, "_open_pipe_to", keep_log)
    supervisor, lines = opened(folder, TWO)
    try:
        supervisor.begin()
        for name, account, home in (
            ("engine", TWO.engine, supervisor.member.state),
            ("link", TWO.link, supervisor.member.link.root),
        ):
            assert calls(folder, name, 1)[0].startswith(f"{account.uid} {account.gid} ")
            assert f" {home} " in calls(folder, name, 1)[0]
            log = home / "logs" / f"{name}.log"
            assert (log.stat().st_uid, log.stat().st_mode & 0o777) == (account.uid, 0o600)
        assert "users 4242 and 4243" in lines[0]
    finally:
        supervisor.end()


def test_an_engine_that_was_killed_is_started_again_and_too_often_is_told(folder):
    supervisor, lines = opened(folder)
    try:
        supervisor.begin()
        for number in range(1, 4):
            calls(folder, "engine", number)
            supervisor._engine.process.kill()
            look_until(supervisor, lambda n=number: len(calls(folder, "engine", 1)) > n)
        supervisor._engine.process.kill()
        with pytest.raises(SiteError, match="the engine died 4 times"):
            look_until(supervisor, lambda: False)
        assert sum("the engine was killed (signal 9)" in line for line in lines) == 4
    finally:
        supervisor.end()


def test_a_link_that_is_killed_again_and_again_leaves_the_engine_alone(folder):
    supervisor, lines = opened(folder)
    try:
        supervisor.begin()
        for number in range(1, 7):
            calls(folder, "link", number)
            look_until(supervisor, lambda: supervisor._link is not None)
            supervisor._link.process.kill()
            look_until(supervisor, lambda n=number: len(calls(folder, "link", 1)) > n)
        assert sum("the link was killed (signal 9)" in line for line in lines) == 1
        assert len(calls(folder, "engine", 1)) == 1
        assert supervisor._engine.running
    finally:
        supervisor.end()


@pytest.mark.parametrize("began", ["called", "killed"])
def test_a_link_that_ends_by_itself_later_leaves_the_engine_alone(folder, began):
    """Whoever has taken it over can end it with any status; each time it waits longer."""
    supervisor, lines = opened(folder)
    if began == "called":
        (folder / "link.says").write_text(f"{EXPIRED}\n")
    try:
        supervisor.begin()
        calls(folder, "link", 1)
        if began == "called":
            look_until(supervisor, lambda: "not connected" in lines[-1])
        supervisor._link.process.kill()
        supervisor._link.process.wait()
        (folder / "link.says").write_text("out of memory\n")
        (folder / "link.ends").touch()
        look_until(supervisor, lambda: len(calls(folder, "link", 1)) >= 5)
        assert sum("the link ended: out of memory" in line for line in lines) == 1
        assert supervisor._pauses._pause_s >= 8 * supervise._PAUSE_S
        assert len(calls(folder, "engine", 1)) == 1
        assert supervisor._engine.running
        (folder / "link.ends").unlink()
        look_until(supervisor, lambda: supervisor._link is not None and supervisor._link.running)
    finally:
        supervisor.end()


@as_root
def test_a_link_that_the_engines_user_names_is_not_started(folder, monkeypatch):
    """At the start nothing begins; at a restart the engine goes on, and the link waits for its own folder."""
    monkeypatch.setattr(processes, "_open_pipe_to", keep_log)
    supervisor, lines = opened(folder, TWO)
    site = supervisor.member
    own, planted = site.link, LinkFolder(site.folder / "planted")
    planted.root.mkdir(mode=0o755)
    os.chown(planted.root, TWO.engine.uid, TWO.engine.gid)
    try:
        site.link = planted
        with pytest.raises(SiteError, match="planted.*nothing was started"):
            keep_site(site, None, lines.append)
        assert not list(folder.glob("*.calls"))
        site.link = own
        supervisor.begin()
        calls(folder, "link", 1)
        site.link = planted
        supervisor._link.process.kill()
        look_until(supervisor, lambda: "planted" in lines[-1])
        site.link = own
        look_until(supervisor, lambda: len(calls(folder, "link", 1)) == 2)
        assert len(calls(folder, "engine", 1)) == 1
        assert not list(planted.root.iterdir())
    finally:
        supervisor.end()


@pytest.mark.parametrize("name", ["engine", "link"])
def test_what_cannot_begin_ends_the_site_with_its_last_words(folder, name):
    (folder / f"{name}.says").write_text("one\nno such study -> init again\n")
    (folder / f"{name}.ends").touch()
    supervisor, _ = opened(folder)
    try:
        supervisor.begin()
        with pytest.raises(SiteError, match=f"the {name} cannot run: no such study -> init again"):
            look_until(supervisor, lambda: False)
    finally:
        supervisor.end()


def test_what_the_link_says_of_its_connection_is_shown_once(folder):
    supervisor, lines = opened(folder)
    (folder / "link.says").write_text(f"{EXPIRED}\n")
    try:
        supervisor.begin()
        look_until(supervisor, lambda: "not connected" in lines[-1])
        for _ in range(3):
            supervisor.look_after()
        assert lines[-1] == "a: not connected: expired on 2026-01-01 -> ask the coordinator"
        (folder / "link.says").write_text(f"{CONNECTED}\n")
        supervisor._link.process.kill()
        look_until(supervisor, lambda: lines[-1] == "a: connected to study.example.org:8443")
        assert len([line for line in lines if "connected" in line]) == 2
    finally:
        supervisor.end()


def test_a_log_to_which_nothing_was_added_is_not_read_again(folder, monkeypatch):
    supervisor, lines = opened(folder)
    says = folder / "link.says"
    says.write_text(f"{CONNECTED}\n")
    try:
        supervisor.begin()
        look_until(supervisor, lambda: lines[-1].startswith("a: connected"))
        supervisor.look_after()
        read = []
        monkeypatch.setattr(
            type(supervisor), "_read_tail", lambda _, child, account: read.append(child) or ""
        )
        for _ in range(3):
            supervisor.look_after()
        assert read == []
        with supervisor._link.log.open("a") as log:
            log.write("more\n")
        supervisor.look_after()
        assert read == [supervisor._link]
    finally:
        supervisor.end()


def test_an_engine_that_stands_still_is_told_at_the_hospital_once_each_time(folder):
    supervisor, lines = opened(folder)
    answered = "2026-11-29T10:02:00Z answered message=ab run=7 received=1 sent=2 seconds=0.1"
    stalled, again = (
        f"2026-11-29T10:0{number}:00Z failed message=ab run=7 code=E_STALLED: the engine has not got on for "
        f"6{number} s (training) -> start the site again"
        for number in range(2)
    )
    says = folder / "link.says"
    says.write_text(f"{CONNECTED}\n{stalled}\n{again}\n")
    try:
        supervisor.begin()
        look_until(supervisor, lambda: "has not got on" in lines[-1])
        for _ in range(3):
            supervisor.look_after()
        assert [line for line in lines if "has not got on" in line] == [lines[-1]]
        assert lines[-1].endswith(" s (training) -> start the site again")
        says.write_text(f"{CONNECTED}\n{answered}\n")
        supervisor._link.process.kill()
        look_until(supervisor, lambda: lines[-1].startswith("a: connected"))
        says.write_text(f"{CONNECTED}\n{stalled}\n")
        supervisor._link.process.kill()
        look_until(supervisor, lambda: "60 s" in lines[-1])
        assert find_stall(f"{stalled}\n{answered}\n") == ""
        assert len([line for line in lines if "has not got on" in line]) == 2
    finally:
        supervisor.end()


def test_a_run_of_another_release_is_told_at_the_hospital_once(folder):
    supervisor, lines = opened(folder)
    why = "run 7 carries another bundle: the coordinator runs another release -> install the same rhe"
    told = f"2026-11-29T10:00:00Z failed message=ab run=7 code=E_CONTEXT: {why}"
    (folder / "link.says").write_text(f"{CONNECTED}\n{told}\n{told}\n")
    try:
        supervisor.begin()
        look_until(supervisor, lambda: "another bundle" in lines[-1])
        for _ in range(3):
            supervisor.look_after()
        assert lines[-1] == f"a: nothing of the study's run is taken: {why}"
        assert len([line for line in lines if why in line]) == 1
    finally:
        supervisor.end()


def test_what_the_links_user_writes_into_its_log_commands_no_terminal(folder):
    supervisor, lines = opened(folder)
    try:
        supervisor.begin()
        look_until(supervisor, supervisor.member.link.log.exists)
        with supervisor.member.link.log.open("a", encoding="utf-8") as log:
            log.write(f"now {format_refused(Trouble.CLOCK, 'planted')}\x1b]0;title\x07\x9b31m\n")
        look_until(supervisor, lambda: "planted" in lines[-1])
        assert lines[-1].isprintable()
    finally:
        supervisor.end()


def test_one_user_is_refused_unless_it_is_said(folder):
    site = Site(folder.parent, OWN)
    with pytest.raises(SiteError, match="patients' files.*--same-user"):
        keep_site(site, None, [].append)
    assert check_users(OWN, same_user=True) is OWN
    assert not list(folder.glob("*.calls"))


def test_a_second_start_is_told_that_the_site_runs(folder):
    site = Site(folder.parent, OWN)
    (folder.parent / "site.toml").touch()
    (folder.parent / "table.csv").touch()
    with (
        lock_folder(site.state / "start"),
        pytest.raises(StorageError, match="this site is running already -> rhe-client status shows where"),
    ):
        keep_site(site, None, [].append, same_user=True)
    assert not list(folder.glob("*.calls"))


def test_two_users_are_refused_to_who_cannot_become_them(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(SiteError, match="as root"):
        check_users(TWO, same_user=True)


@as_root
def test_a_program_that_a_user_may_not_run_is_refused(folder):
    (folder / "rhe-client").chmod(0o700)
    with pytest.raises(SiteError, match="rhe-client: user 4242 may not run it"):
        keep_site(Site(folder.parent, TWO), None, [].append)


@as_root
def test_a_site_whose_files_the_link_can_read_is_not_started(folder, monkeypatch):
    monkeypatch.setattr(supervise.sys, "executable", supervise.find_program())
    site = Site(folder.parent, TWO)
    os.chown(site.folder, TWO.engine.uid, TWO.engine.gid)
    (site.folder / "site.toml").write_text("")
    (site.folder / "site.toml").chmod(0o644)
    with pytest.raises(SiteError, match=r"site.toml: the link's user 4243 can read it"):
        keep_site(site, None, [].append)


@as_root
def test_the_meeting_place_is_the_engines_and_lets_the_links_group_in(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "MEETING_PLACE", tmp_path / "rhe")
    room = tmp_path / "rhe" / "a"
    for _ in range(2):
        make_meeting_place(room, TWO)
    status = room.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (4242, 4243, 0o2750)
    assert (tmp_path / "rhe").stat().st_mode & 0o777 == 0o755
