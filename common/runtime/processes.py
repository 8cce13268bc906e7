"""Child processes that end when their parent ends, whatever happens to either.

Flower's processes start further processes, some in sessions of their own. So a supervisor adopts the
processes that its children leave behind, and ends every descendant, not only its children.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from common.errors import StorageError

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
"""Address under which processes of one machine reach each other, and no other machine does."""

ShowLine = Callable[[str], None]
"""Shows one line to the user who started a command that supervises processes."""

_GRACE_S = 10.0
_POLL_S = 0.2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TAIL_BYTES = 64 * 1024


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
    start : int
        Size of the log when it was started, in bytes.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path | None = None
    start: int = 0

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def tail(self) -> str:
        """The last part of what the child has written to its log; empty without a log."""
        if self.log is None:
            return ""
        with self.log.open("rb") as file:
            file.seek(max(self.start, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")


def start_child(
    name: str, command: Sequence[str], environment: Mapping[str, str] | None = None, log: Path | None = None
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
        Where its output is appended; by default it is this process' own.

    Raises
    ------
    StorageError
        If the log cannot be written.
    """
    size = 0
    with _open_output(log) as output:
        if log is not None:
            size = log.stat().st_size
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=_end_by_request,  # noqa: PLW1509 - called from one thread only, before any other starts
        )
    _log.info("started name=%s pid=%d", name, process.pid)
    return Child(name, process, log, size)


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
    _log.info("ended name=%s status=%s", child.name, child.process.returncode)


def _find_descendants(child: Child) -> set[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return set(psutil.Process(child.process.pid).children(recursive=True))
    return set()


@contextmanager
def adopt_descendants() -> Iterator[None]:
    """A context at whose end every descendant of this process is ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        _kill(psutil.Process().children(recursive=True))


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


@contextmanager
def _open_output(log: Path | None) -> Iterator[int | None]:
    if log is None:
        yield None
        return
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as failure:
        raise StorageError(f"{log}: cannot be written ({failure.strerror})") from None
    try:
        yield handle
    finally:
        os.close(handle)


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Let this process receive a signal when its parent dies.

    Flower's apps watch their parent too, but from a thread that cannot always wake the main one: a ClientApp
    whose node was killed while it waited for an engine stayed for ever (observed with Flower 1.41).
    """
    _prctl(_PR_SET_PDEATHSIG, by)


def _end_by_request() -> None:
    end_with_parent(signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    """Set a process option of Linux; on other systems children of a parent killed by force stay running."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
