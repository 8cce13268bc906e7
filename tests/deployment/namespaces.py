"""Linux namespaces and mounts, by system calls: what makes a host of the test a machine of its own.

Nothing has a name outside and nothing lies on a disk, so the kernel takes everything away when the processes
in the namespaces end, however they end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

NEW_MOUNTS, NEW_NAME, NEW_IPC = 0x00020000, 0x04000000, 0x08000000
NEW_PROCESSES, NEW_NETWORK = 0x20000000, 0x40000000
_KINDS = ("mnt", "uts", "ipc", "net", "pid")
_PRIVATE, _RECURSIVE, _BIND, _MOVE = 1 << 18, 1 << 14, 1 << 12, 1 << 13
_NO_NEW_PRIVILEGES, _END_WITH_PARENT = 38, 1

_libc = ctypes.CDLL(None, use_errno=True)


def leave_namespaces(flags: int) -> None:
    """Give this process namespaces of its own; that of processes begins with its next child."""
    _check(_libc.unshare(flags), "unshare")


def enter_namespaces(process: int) -> None:
    """Enter the namespaces of a process; that of processes with the next child."""
    handles = [os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY) for kind in _KINDS]
    for kind, handle in zip(_KINDS, handles, strict=True):
        _check(_libc.setns(handle, 0), f"setns {kind}")
        os.close(handle)


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends."""
    _libc.prctl(_END_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def become_user(number: int) -> None:
    """Be this user from now on, without groups, capabilities or a way back."""
    if number:
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
        _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def separate_mounts() -> None:
    """Let no mount of this namespace be seen outside, and show the processes of this namespace."""
    mount("none", Path("/"), flags=_PRIVATE | _RECURSIVE)
    mount("proc", Path("/proc"), "proc")


def mount(source: str, target: Path, kind: str | None = None, flags: int = 0, options: str = "") -> None:
    """Mount as mount(2) does."""
    status = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode() if kind else None, flags, options.encode() or None
    )
    _check(status, f"mount {target}")


def bind(source: Path, target: Path) -> None:
    """Show a file or folder at another place too."""
    mount(str(source), target, flags=_BIND | _RECURSIVE)


def empty_folder(folder: Path, keep: Sequence[Path] = (), mode: str = "0755") -> None:
    """Lay an empty folder in memory over a folder; what is kept of it stays where it is."""
    stage = Path("/mnt")
    mount("tmpfs", stage, "tmpfs", options=f"mode={mode}")
    for path in keep:
        place = stage / path.relative_to(folder)
        place.mkdir(parents=True, exist_ok=True)
        bind(path, place)
    mount(str(stage), folder, flags=_MOVE)


def find_closed_ancestors(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """The topmost folders above these paths that other users may not enter, each with the paths below it."""
    closed: dict[Path, list[Path]] = {}
    for path in paths:
        for above in reversed(path.parents):
            if not above.stat().st_mode & 0o001:
                closed.setdefault(above, []).append(path)
                break
    return closed


def fork_process(work: Callable[[], int]) -> int:
    """The identifier of a child that does this work, and ends with its status or with 70 if it raises."""
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        # What the parent does about signals is not the child's business
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        status = work()
    except BaseException as failure:  # noqa: BLE001 - a forked process must not go on where its parent does
        print(f"{type(failure).__name__}: {failure}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def reap_orphans() -> int:
    """Wait, as the first process of a namespace must, for every process whose parent has ended."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)


def _check(status: int, what: str) -> None:
    if status:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
