"""What `rhe-client start` does: keep the engine and the link to the coordinator alive, and end both together.

The engine reads patients' files and has no network; the link has the network and reads none. Started by root,
each runs as its own user, and this process only watches them: it reads no file with root's rights.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from client.link.markers import find_last_event, find_not_taken, find_stall
from client.link.site_views import ShownSite, write_line
from client.membership.link_folder import LinkFolder
from client.membership.membership import MEETING_PLACE, Membership
from client.membership.site import SITE_FILE
from client.membership.site_users import SiteUsers, refuse_closed_folder, refuse_open_files
from client.membership.vouching import refuse_unvouched_link
from common.errors import RheError, SiteError, StorageError
from common.runtime.accounts import Account, account_of, act_as
from common.runtime.processes import (
    LOOPBACK,
    Child,
    ShowLine,
    adopt_descendants,
    flower_environment,
    shares_network,
    start_child,
    stop_child,
)
from common.runtime.storage import lock_folder, make_private_folder

_POLL_S = 0.5
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
"""Before a link that ended is started again; longer each time, until one runs for `_WINDOW_S`."""
_FAILURES = 3
_WINDOW_S = 120.0
_RUNNING = "this site is running already -> rhe-client status shows where it is"
_LOWEST_PORT, _PORTS, _TRIED_PORTS = 20_000, 10_000, 50


def find_free_port() -> int:
    """A TCP port of this machine that nobody listens on now.

    It lies below those that Linux hands out to connections, so that none of these takes it meanwhile.

    Raises
    ------
    SiteError
        If every port that was tried is taken.
    """
    for _ in range(_TRIED_PORTS):
        port = _LOWEST_PORT + secrets.randbelow(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise SiteError(
        f"no free port among {_TRIED_PORTS} of {_LOWEST_PORT} to {_LOWEST_PORT + _PORTS - 1} "
        "-> end what listens on them"
    )


def find_program() -> str:
    """The path of this installation's `rhe-client`."""
    return str(Path(sys.executable).with_name("rhe-client"))


def keep_site(
    member: Membership,
    address: str | None,
    say: ShowLine,
    *,
    same_user: bool = False,
    shown: ShownSite | None = None,
) -> None:
    """Run engine and link until Ctrl-C or SIGTERM, and start again whichever dies.

    Parameters
    ----------
    member : Membership
        The site, which has joined and approved a study.
    address : str or None
        Where the coordinator is reached, if not as the invitation says (through a proxy).
    say : callable
        Shows a line to the user.
    same_user : bool
        Whether engine and link may be one user of this computer.
    shown : ShownSite, optional
        Is told what engine and link are at, and shows it.

    Raises
    ------
    RheError
        If the plan is not approved, the site's users are not as they should be, or engine or link cannot run.
    """
    users = check_users(member.users, same_user=same_user)
    find_link(member, users)
    for account in (users.engine, users.link):
        _refuse_closed_program(account)
    for path in (member.folder, member.state):
        refuse_closed_folder(path, users.engine, f"give it to {users.engine.name} (chown -R)")
    with act_as(users.engine):
        member.read_approved_plan()
        table = member.folder / member.settings.table
    refuse_open_files(users, (member.folder, member.folder / SITE_FILE, table, member.state))
    with ExitStack() as stack:
        with act_as(users.engine):
            stack.enter_context(lock_folder(make_private_folder(member.state / "start"), _RUNNING))
            room = member.socket
        if users.are_two:
            make_meeting_place(room.parent, users)
        stack.enter_context(adopt_descendants())
        supervisor = _Supervisor(member, users, room, address, say, shown or ShownSite(say))
        try:
            supervisor.begin()
            while True:
                supervisor.look_after()
                time.sleep(_POLL_S)
        finally:
            supervisor.end()


def check_users(users: SiteUsers, *, same_user: bool) -> SiteUsers:
    """Refuse to run engine and link as one user unsaid, or as users that this process cannot become.

    Raises
    ------
    SiteError
        With what to do.
    """
    own = account_of(os.geteuid())
    if users.are_two and own.uid:
        raise SiteError(
            f"the engine runs as user {users.engine.name}, the link as {users.link.name} -> start both as "
            "root, or as the services rhe-engine@ and rhe-link@ (deploy/README.md)"
        )
    if not users.are_two and not same_user:
        raise SiteError(
            f"engine and link would both run as user {users.engine.name}: whoever takes over the link, which "
            "talks to the network, could read patients' files and this site's keys -> make the site for two "
            "users (as root: rhe-client init with --engine-user and --link-user), or say --same-user: "
            "the report will name this site"
        )
    return users


def find_link(member: Membership, users: SiteUsers) -> LinkFolder:
    """The folder of the site's link.

    Raises
    ------
    SiteError
        If it cannot be told, or the link there is not this site's.
    """
    with act_as(users.engine):
        folder = member.link
    refuse_unvouched_link(users, member.state, folder.root)
    return folder


def _refuse_closed_program(account: Account) -> None:
    """Refuse an installation that one of the site's users may not run.

    Raises
    ------
    SiteError
        With the file.
    """
    with act_as(account):
        for path in (find_program(), sys.executable):
            if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
                raise SiteError(
                    f"{path}: user {account.name} may not run it -> install rhe where every user may read "
                    "it, e.g. below /opt/rhe"
                )


def make_meeting_place(folder: Path, users: SiteUsers) -> None:
    """Make the socket's folder, as root: the engine's, entered by the link's group.

    Raises
    ------
    StorageError
        If it cannot be made, or there is another's.
    """
    try:
        if not MEETING_PLACE.is_dir():
            MEETING_PLACE.mkdir()
            MEETING_PLACE.chmod(0o755)  # whatever the umask
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if status.st_uid not in {0, users.engine.uid}:
            raise StorageError(f"{folder} belongs to user {account_of(status.st_uid).name} -> remove it")
        os.chown(folder, users.engine.uid, users.link.gid, follow_symlinks=False)
        folder.chmod(0o2750)
    except OSError as failure:
        raise StorageError(
            f"{folder}: the engine's socket cannot lie there ({failure.strerror}) -> see who made it"
        ) from None


@dataclass
class _Deaths:
    """When the engine died: too often in a short time, and it is not started again."""

    _at: list[float] = field(default_factory=list)

    def count(self, dead: Child) -> None:
        """Note a death.

        Raises
        ------
        SiteError
            If there were too many.
        """
        now = time.monotonic()
        self._at = [*(at for at in self._at if now - at < _WINDOW_S), now]
        if len(self._at) > _FAILURES:
            raise SiteError(f"the engine died {len(self._at)} times in a row -> see {dead.log}")


@dataclass
class _Pauses:
    """When the link, which whoever took it over can end at will, is started again."""

    _pause_s: float = 0.0
    _begun: float = 0.0
    _due: float = 0.0
    _told: str = ""

    def begin(self) -> None:
        """It is started."""
        self._begun = time.monotonic()

    def end(self, reason: str) -> bool:
        """It has ended, or could not be started; whether this reason was not yet told."""
        now = time.monotonic()
        if now - self._begun > _WINDOW_S:
            self._pause_s, self._told = 0.0, ""
        self._pause_s = min(max(_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
        self._due = now + self._pause_s
        is_new, self._told = reason != self._told, reason
        return is_new

    @property
    def are_over(self) -> bool:
        """Whether it may be started again."""
        return time.monotonic() >= self._due


@dataclass
class _Supervisor:
    """Engine and link of one site."""

    member: Membership
    users: SiteUsers
    room: Path
    address: str | None
    say: ShowLine
    shown: ShownSite = field(default_factory=lambda: ShownSite(write_line))
    _engine: Child | None = None
    _link: Child | None = None
    _site: str = ""
    _called: str = ""
    _said: str = ""
    _shown_log: tuple[int, ...] = ()
    _not_taken: str = ""
    _stands_still: bool = False
    _deaths: _Deaths = field(default_factory=_Deaths)
    _pauses: _Pauses = field(default_factory=_Pauses)
    _link_has_begun: bool = False

    def begin(self) -> None:
        """Start engine and link."""
        with act_as(self.users.engine):
            self._site = self.member.settings.name
            self._called = self.address or self.member.invitation.address
        self._engine = self._start_engine()
        self._link = self._start_link(find_link(self.member, self.users))
        users = (
            f"users {self.users.engine.name} and {self.users.link.name}"
            if self.users.are_two
            else f"one user ({self.users.engine.name})"
        )
        self.say(f"{self._site}: engine and link to {self._called} are started as {users}; Ctrl-C ends both")

    def look_after(self) -> None:
        """Start again what has died, and show whether the coordinator has let the link in."""
        if self._engine is not None and not self._engine.running:
            self._refuse_to_repeat(self._engine)
            self._deaths.count(self._engine)
            self._engine = self._start_engine()
        if self._link is not None and not self._link.running:
            reason = self._explain_end(self._link)
            self._link = None
            self._tell_end(reason)
        if self._link is None and self._pauses.are_over:
            self._start_link_again()
        self._show_event()
        self._show_engine()

    def end(self) -> None:
        """End the link first, so that it signs off, then the engine."""
        for child in (self._link, self._engine):
            if child is not None:
                stop_child(child)

    def _start_engine(self) -> Child:
        member = self.member
        command = ["engine", str(member.folder), "--state", str(member.state), "--socket", str(self.room)]
        takes_network_away = not self.users.engine.is_this_process
        places = (member.state, member.log)
        engine = self._start("engine", command, self.users.engine, places, network=not takes_network_away)
        if takes_network_away and shares_network(engine):
            self.say(
                f"{self._site}: this machine lets the engine keep its network -> run it as the service "
                "rhe-engine@, which has none"
            )
        return engine

    def _start_link_again(self) -> None:
        """Start the link once more; what hinders it costs the engine nothing."""
        try:
            self._link = self._start_link(find_link(self.member, self.users))
        except RheError as failure:
            self._pauses.begin()
            self._tell_end(str(failure))

    def _start_link(self, folder: LinkFolder) -> Child:
        self._pauses.begin()
        command = ["link", str(folder.root), "--engine", str(self.room)]
        command += ["--address", self.address] if self.address else []
        return self._start("link", command, self.users.link, (folder.root, folder.log))

    def _start(
        self,
        name: str,
        command: Sequence[str],
        account: Account,
        places: tuple[Path, Path],
        *,
        network: bool = True,
    ) -> Child:
        home, log = places
        environment = flower_environment(home / "flower")
        if not account.is_this_process:
            environment |= {"HOME": str(home), "USER": account.name, "LOGNAME": account.name}
        return start_child(name, [find_program(), *command], environment, log, account, network=network)

    def _refuse_to_repeat(self, dead: Child) -> None:
        """Tell that the engine was killed; one that ended by itself would only end again.

        Raises
        ------
        SiteError
            With the engine's last words, if it ended by itself.
        """
        status = dead.process.returncode
        if status > 0:
            raise SiteError(f"the engine cannot run: {self._read_last_line(dead, self.users.engine)}")
        self.say(f"{self._site}: the engine was killed (signal {-status}) and is started again")

    def _explain_end(self, dead: Child) -> str:
        """Why the link ended.

        Raises
        ------
        SiteError
            If it never came so far as to call the coordinator: what is wrong was so when all was started.
        """
        self._show_event()
        status = dead.process.returncode
        if status < 0:
            return f"the link was killed (signal {-status})"
        last = self._read_last_line(dead, self.users.link)
        if not self._link_has_begun:
            raise SiteError(f"the link cannot run: {last}")
        return f"the link ended: {last}"

    def _tell_end(self, reason: str) -> None:
        self._link_has_begun = True
        if self._pauses.end(reason):
            self._said, self._shown_log = "", ()
            self.say(f"{self._site}: {reason}; it is started again until it runs, the engine goes on")

    def _read_last_line(self, dead: Child, account: Account) -> str:
        lines = self._read_tail(dead, account).strip().splitlines()
        return lines[-1] if lines else f"exit code {dead.process.returncode}"

    def _show_event(self) -> None:
        if self._link is None:
            return
        stamp = self._read_stamp(self._link)
        if stamp == self._shown_log and self._link.running:
            return
        # Read after the stamp: what is written meanwhile is looked at again
        log = self._read_tail(self._link, self.users.link)
        self._shown_log = stamp
        event = find_last_event(log)
        if event is None:
            return
        self._link_has_begun = True
        line = f"connected to {self._called}" if event.trouble is None else f"not connected: {event.text}"
        self.shown.view.connection = line
        if line != self._said:
            self._said = line
            self.say(f"{self._site}: {line}")
        not_taken = find_not_taken(log)
        if not_taken not in {"", self._not_taken}:
            self._not_taken = not_taken
            self.say(f"{self._site}: nothing of the study's run is taken: {not_taken}")
        stall = find_stall(log)
        if stall and not self._stands_still:
            self.say(f"{self._site}: {stall}")
        self._stands_still = bool(stall)

    def _show_engine(self) -> None:
        """Show what the engine is at: its file is read with its user's rights, and shown with one's own."""
        self.shown.view.is_running = self._engine is not None and self._engine.running
        with act_as(self.users.engine):
            lines = self.shown.view.look(self.member.state)
        for line in lines:
            self.say(line)
        self.shown.refresh()

    def _read_stamp(self, link: Child) -> tuple[int, ...]:
        """What is another as soon as something else is in the link's log; never that of no log."""
        with act_as(self.users.link), suppress(OSError):
            if link.log is not None:
                status = link.log.stat()
                return status.st_ino, status.st_size, status.st_mtime_ns, link.process.pid
        return (time.monotonic_ns(),)

    @staticmethod
    def _read_tail(child: Child, account: Account) -> str:
        """The end of a child's log, which its own user may have replaced: read with that user's rights."""
        with act_as(account):
            text = child.tail()
        # Else it could command the terminal of whoever started the site
        return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
