"""Child processes that end when their parent ends, whatever happens to either.

Flower's processes start further processes, some in sessions of their own. So a supervisor adopts the
processes that its children leave behind, and ends every descendant, not only its children.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from common.errors import StorageError
from common.runtime.accounts import Account, act_as, become
from common.runtime.kept_log import KeptLog
from common.runtime.log_keeper import KEPT_VARIABLE
from common.runtime.log_lines import name_backup, open_log, remove_times

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
"""Address under which processes of one machine reach each other, and no other machine does."""

ShowLine = Callable[[str], None]
"""Shows one line to the user who started a command that supervises processes."""

_GRACE_S = 10.0
_POLL_S = 0.2
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWNET = 0x40000000
_PR_SET_CHILD_SUBREAPER = 36
_TAIL_BYTES = 64 * 1024
_LAST_WORDS_S = 3.0
_KEPT = {KEPT_VARIABLE: "1"}
_HANDED_ON = re.compile(
    r"PATH|LANG|LC_\w+|TZ|LD_LIBRARY_PATH|SSL_CERT_(FILE|DIR)|((HTTPS?|ALL|NO)_PROXY)"
    r"|(OMP|MKL|OPENBLAS|CUDA|CUBLAS|NVIDIA|NCCL|TORCH|PYTORCH|PYTHON|RHE|FLWR)_?\w*",
    re.IGNORECASE,
)
"""What another user's process gets of this one's environment; the rest may hold secrets of who started it."""
_logs: list[KeptLog] = []
"""What may still take a dead child's last words; what is complete is dropped when the next is started."""


@dataclass(frozen=True)
class Child:
    """A running process and where its output goes.

    Attributes
    ----------
    name : str
        Name for messages.
    process : subprocess.Popen
        The process.
    log : Path or None
        File of its standard output and error; None if it shares this process'.
    start : tuple of int
        Where its words begin: which file the log was when it was started (inode), and its size, bytes.
    keeper : KeptLog or None
        Who writes the log; that process ends by itself once all of it is written.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path | None = None
    start: tuple[int, int] = (0, 0)
    keeper: KeptLog | None = None

    @property
    def running(self) -> bool:
        """Whether it still runs; to ask this again and again also replaces a killed keeper of its log."""
        if self.keeper is not None:
            self.keeper.mend()
        return self.process.poll() is None

    def ends_within(self, seconds: float) -> bool:
        """Whether it has ended by now, or does so within so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return not self.running

    def tail(self) -> str:
        """The last part of what the child has written, without the times; empty without a log."""
        if self.log is None:
            return ""
        if not self.running:
            self.await_log()
        content = self._read_end(self.log)
        if len(content) < _TAIL_BYTES and not self._is_first(self.log):
            content = self._read_end(name_backup(self.log)) + content
        return remove_times(content[-_TAIL_BYTES:].decode("utf-8", errors="replace"))

    def await_log(self) -> None:
        """Wait until all that the dead child wrote is in its log, unless a descendant still writes to it."""
        if self.keeper is not None:
            self.keeper.wait(_LAST_WORDS_S)

    def _read_end(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                start = self.start[1] if self._is_first(path) else 0
                file.seek(max(start, size - _TAIL_BYTES))
                return file.read()
        except FileNotFoundError:
            return b""

    def _is_first(self, path: Path) -> bool:
        """Whether the file is the one that was the log when the child was started."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        return found.st_ino == self.start[0] and found.st_size >= self.start[1]


def start_child(  # noqa: PLR0913 - what it runs, as whom, and what of this process it gets
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
    account: Account | None = None,
    *,
    network: bool = True,
) -> Child:
    """Start a child that receives no Ctrl-C of the terminal and ends when this process dies.

    Parameters
    ----------
    name : str
        Name for messages.
    command : sequence of str
        Program and arguments.
    environment : mapping of str to str, optional
        Added to this process' own.
    log : Path, optional
        Where its output is appended, each line with its time, by a process of the same user
        (`log_keeper`); by default it is this process' own.
    account : Account, optional
        The user as whom it runs; only root can choose another than this process'. Another user gets only
        what it needs of the environment.
    network : bool
        Whether it has a network. Only root can take it away, on Linux; `shares_network` tells whether it was.

    Raises
    ------
    StorageError
        If the log cannot be written.
    """
    with act_as(account):
        start = (0, 0) if log is None else _find_end(log)
    with _open_pipe_to(log, account) as (output, keeper):
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            env={**_choose_environment(account), **({} if log is None else _KEPT), **(environment or {})},
            start_new_session=True,
            preexec_fn=partial(_begin_child, os.getpid(), account, network),  # noqa: PLW1509 - one thread starts all
        )
    _log.info("started name=%s pid=%d", name, process.pid)
    return Child(name, process, log, start, keeper)


def shares_network(child: Child) -> bool:
    """Whether a child has this process' network, as everywhere but on Linux."""
    own, other = (Path("/proc") / str(number) / "ns" / "net" for number in (os.getpid(), child.process.pid))
    try:
        return own.readlink() == other.readlink()
    except OSError:
        return True


def stop_child(child: Child, grace_s: float = _GRACE_S) -> None:
    """End a child and all its descendants: first by request, after `grace_s` seconds by force."""
    descendants = _find_descendants(child)
    child.process.terminate()
    deadline = time.monotonic() + grace_s
    while child.running and time.monotonic() < deadline:
        # Also what it starts while it ends: once it is gone, nothing shows whose processes they were
        descendants |= _find_descendants(child)
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(_POLL_S)
    _kill(list(descendants))
    if child.running:
        child.process.kill()
    child.process.wait()
    child.await_log()
    _log.info("ended name=%s status=%s", child.name, child.process.returncode)


def _find_descendants(child: Child) -> set[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return set(psutil.Process(child.process.pid).children(recursive=True))
    return set()


@contextmanager
def adopt_descendants() -> Iterator[None]:
    """A context at whose end every descendant of this process that came within it is ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    earlier = {child.pid for child in psutil.Process().children(recursive=True)}
    try:
        yield
    finally:
        # Who keeps a log ends once nobody writes to it
        known = earlier | {kept.pid for kept in _logs}
        _kill([child for child in psutil.Process().children(recursive=True) if child.pid not in known])
        for kept in _logs:
            kept.wait(_LAST_WORDS_S)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=3.0)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=3.0)


def flower_environment(home: Path) -> dict[str, str]:
    """The environment of a Flower process: its own home, no telemetry or update check, no proxy for loopback.

    Parameters
    ----------
    home : Path
        Folder of Flower's files; one for each role.
    """
    known = [value for name in ("NO_PROXY", "no_proxy") if (value := os.environ.get(name))]
    without = ",".join([*known, LOOPBACK, "localhost"])
    return {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": without,
        "no_proxy": without,
        # Flower starts its own programs by name; this installation's come first.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }


def _find_end(log: Path) -> tuple[int, int]:
    """Which file the log is now (inode), and its size, bytes; it is made if there is none.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    try:
        handle = open_log(log)
    except OSError as failure:
        raise StorageError(f"{log}: cannot be written ({failure.strerror})") from None
    try:
        found = os.fstat(handle)
    finally:
        os.close(handle)
    return found.st_ino, found.st_size


@contextmanager
def _open_pipe_to(log: Path | None, account: Account | None) -> Iterator[tuple[int | None, KeptLog | None]]:
    """Where a child writes, and who reads there and keeps the log."""
    if log is None:
        yield None, None
        return
    _logs[:] = [kept for kept in _logs if not kept.is_complete]
    reading, writing = os.pipe()
    try:
        command = [sys.executable, "-I", "-m", "common.runtime.log_keeper", str(log.absolute())]
        kept = KeptLog(reading, command, _choose_environment(account), lambda: _begin_keeper(account))
        _logs.append(kept)
        yield writing, kept
    finally:
        os.close(writing)


def _begin_keeper(account: Account | None) -> None:
    if account is not None:
        become(account)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def end_with_parent(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Let this process receive a signal when its parent dies; at once if it has died already.

    Flower's apps watch their parent too, but from a thread that cannot always wake the main one: a ClientApp
    whose node was killed while it waited for an engine stayed for ever (observed with Flower 1.41).

    Parameters
    ----------
    parent : int
        Process id of the parent that is meant; who is dead when this is called gives no signal any more.
    by : Signals, optional
        The signal.
    """
    _prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os.kill(os.getpid(), by)


def end_with_starter(by: signal.Signals = signal.SIGKILL) -> None:
    """As `end_with_parent`, in a process that `multiprocessing` has started."""
    starter = multiprocessing.parent_process()
    end_with_parent(os.getppid() if starter is None or starter.pid is None else starter.pid, by)


def _choose_environment(account: Account | None) -> dict[str, str]:
    if account is None or account.is_this_process:
        return dict(os.environ)
    return {name: value for name, value in os.environ.items() if _HANDED_ON.fullmatch(name)}


def _begin_child(parent: int, account: Account | None, network: bool) -> None:  # noqa: FBT001
    if not network and sys.platform.startswith("linux"):
        ctypes.CDLL(None).unshare(_CLONE_NEWNET)
    if account is not None:
        become(account)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # After the change of user, which would undo it
    end_with_parent(parent, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    """Set a process option of Linux; on other systems children of a parent killed by force stay running."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
