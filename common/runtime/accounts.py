"""Users of this computer as whom files are written and processes run, and who is on a socket's other side."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from common.errors import SiteError

_PR_SET_DUMPABLE = 4
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Account:
    """A user of this computer.

    Attributes
    ----------
    name : str
        As in the list of users, or the number in digits where it lists none.
    uid : int
        The user's number.
    gid : int
        Number of the user's own group.
    groups : tuple of int
        Numbers of all its groups.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    @property
    def is_this_process(self) -> bool:
        """Whether this process runs as the user."""
        return self.uid == os.geteuid()


def find_account(name: str) -> Account:
    """The user of that name, or of that number in digits.

    Raises
    ------
    SiteError
        If there is none.
    """
    if name.isascii() and name.isdigit():
        return account_of(int(name))
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise SiteError(f"this computer has no user {name!r} -> useradd --system {name}") from None
    return _make_account(entry)


def has_account(name: str) -> bool:
    """Whether this computer has a user of that name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def account_of(uid: int) -> Account:
    """The user of that number, also where the list of users has none."""
    try:
        return _make_account(pwd.getpwuid(uid))
    except KeyError:
        return Account(str(uid), uid, uid, (uid,))


@contextmanager
def act_as(account: Account | None) -> Iterator[None]:
    """A context in which files are reached with this user's rights; None, or the process' own: as before.

    Only root may change to another user, and only while no second thread touches files.

    Raises
    ------
    SiteError
        If this process may not act as that user.
    """
    if account is None or account.is_this_process:
        yield
        return
    if os.geteuid():
        raise SiteError(
            f"what belongs to user {account.name} is closed to user {account_of(os.geteuid()).name} -> "
            f"sudo -u {account.name} ..., or as root"
        )
    groups, gid, uid = os.getgroups(), os.getegid(), os.geteuid()
    os.setgroups(account.groups)
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def become(account: Account) -> None:
    """Run as this user from now on, for good; only a process that began as root can."""
    if os.getresuid() == (account.uid,) * 3:
        return
    if os.getuid() == 0:
        os.seteuid(0)
        os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


def close_to_others() -> None:
    """Close this process to others of its user: its memory and environment, core dumps, the files it makes.

    On Linux no process but root's may read its memory or trace it from now on.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def read_peer(connection: socket.socket) -> tuple[int, int]:
    """Process number and user number of who connected, or listens, on a Unix socket's other side.

    Raises
    ------
    SiteError
        If this system does not tell.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        raise SiteError(
            f"{sys.platform} does not tell who is on a socket's other side -> run this site on Linux"
        )
    content = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(content)
    return process, user


def _make_account(entry: pwd.struct_passwd) -> Account:
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups)


def name_group(gid: int) -> str:
    """The group's name, or its number in digits."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
