"""From the link's user, who may be anybody's by now: the engine's files, memory and life."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.deployment.federation import SECRET, Federation
from tests.deployment.hosts import list_processes
from tests.deployment.table import Attack, Seen

_ATTACH, _DETACH, _SEIZE = 16, 17, 0x4206
_KILL_NOTHING = signal.SIGCONT
"""A signal that changes nothing, but that only who may kill may send."""

_WORD = "planted-words"

_ROOTS = ("/srv", "/home", "/run", "/tmp", "/dev/shm", "/var/tmp", "/var/log")  # noqa: S108 - of the host alone


def try_reading(federation: Federation) -> Seen:
    site = federation.sites["a"]
    files = site.host.perform("root", list_files_of, site.host.users[site.engine_user])
    files = [
        path for path in files if site.link_state not in path.parents or site.engine_user == site.link_user
    ]
    read = site.host.perform(site.link_user, read_files, files)
    return judge_files(read, files, "read")


def try_reading_as_engine(federation: Federation) -> Seen:
    """The same files, read by the engine's own user: it must succeed."""
    site = federation.sites["a"]
    files = site.host.perform("root", list_files_of, site.host.users[site.engine_user])
    return judge_files(site.host.perform(site.engine_user, read_files, files), files, "read")


def try_writing(federation: Federation) -> Seen:
    site = federation.sites["a"]
    folders = site.host.perform("root", list_folders, site.folder)
    folders = [path for path in folders if path != site.link_state and site.link_state not in path.parents]
    written = site.host.perform(site.link_user, write_into, folders)
    return judge_files(written, folders, "written into")


def try_memory(federation: Federation) -> Seen:
    return _attack_engine(federation, read_process)


def try_tracing(federation: Federation) -> Seen:
    return _attack_engine(federation, trace_process)


def try_signals(federation: Federation) -> Seen:
    return _attack_engine(federation, signal_process)


def try_supervisor(federation: Federation) -> Seen:
    """The process that starts both, whoever it runs as."""
    site = federation.sites["a"]
    number = site.find_process("start")
    done = [
        what for attack in (read_process, trace_process, signal_process)
        for what in site.host.perform(site.link_user, attack, number)
    ]  # fmt: skip
    return Seen(bool(done), ", ".join(done) or "the supervisor: nothing was allowed")


def try_escape_codes(federation: Federation) -> Seen:
    """Lines in the link's log with codes that command the terminal of whoever started the site."""
    site = federation.sites["a"]
    process = site.process
    if process is None:
        raise LookupError("site a does not run")
    log = site.link_state / "logs" / "link.log"
    site.host.perform(site.link_user, write_lines, log, process.read())
    time.sleep(3.0)
    shown = [line for line in process.read().splitlines() if _WORD in line]
    codes = sorted({repr(letter) for line in shown for letter in line if not letter.isprintable()})
    return Seen(
        bool(codes), f"shown with {codes}" if codes else f"{len(shown)} of its lines shown, without codes"
    )


def try_engines_network(federation: Federation) -> Seen:
    """Whoever takes over the engine sends what it reads to a host outside, if it has a network."""
    site = federation.sites["a"]
    engine = site.find_process("engine")
    networks = [
        site.host.perform("root", (Path("/proc") / str(number) / "ns" / "net").readlink)
        for number in (1, engine)
    ]
    devices = site.host.perform("root", _list_devices, engine)
    return Seen(
        networks[0] == networks[1] or devices != ["lo"], f"the engine has the devices {', '.join(devices)}"
    )


def _list_devices(number: int) -> list[str]:
    lines = (Path("/proc") / str(number) / "net" / "dev").read_text().splitlines()[2:]
    return [line.split(":")[0].strip() for line in lines]


def try_inheritance(federation: Federation) -> Seen:
    """What root's `start` leaves in processes of the link's user: its environment, terminal, files."""
    site = federation.sites["a"]
    start = site.find_process("start")
    taken = site.host.perform(site.link_user, take_from_own_processes, start, site.link_state)
    return Seen(
        bool(taken), ", ".join(taken) or "neither environment nor open files nor set-user-ID programs"
    )


def take_from_own_processes(parent: int, folder: Path) -> list[str]:
    """What processes of this user that a process started hold, and that is not for it."""
    taken = []
    for number, (user, words) in sorted(list_processes().items()):
        place = Path("/proc") / str(number)
        if user != os.getuid() or f"PPid:\t{parent}\n" not in (place / "status").read_text():
            continue
        name = next((Path(word).name for word in words[1:] if not word.startswith("-")), words[0])
        with suppress(OSError):
            if SECRET.encode() in (place / "environ").read_bytes():
                taken.append(f"root's environment in {name}")
            for file in sorted((place / "fd").iterdir()):
                path = file.readlink()
                if path.is_absolute() and path != Path(os.devnull) and folder not in path.parents:
                    taken.append(f"{path} open in {name}")
            if "NoNewPrivs:\t0" in (place / "status").read_text() and "link" in words:
                taken.append(f"{name} may run set-user-ID programs")
    return taken


def write_lines(log: Path, said: str) -> None:
    """Append lines of every kind that a supervisor reads from the link's log."""
    code = "\x1b]0;title\x07\x1b[2J\x1b[31m\x9b5m"
    words = said.splitlines()[-1] if said else ""
    with log.open("a", encoding="utf-8") as file:
        for reason in ("clock", "proxy", "unknown"):
            file.write(f"2026-11-29T12:00:00.000+00:00 refused reason={reason}: {code}{_WORD}\n")
        file.write(f"{code}{_WORD} {words}\n")


def _attack_engine(federation: Federation, attack: Callable[[int], list[str]]) -> Seen:
    site = federation.sites["a"]
    done = site.host.perform(site.link_user, attack, site.find_process("engine"))
    return Seen(bool(done), ", ".join(done) or "every call: permission denied")


def control_memory(federation: Federation) -> Seen:
    return _attack_own(federation, read_process)


def control_tracing(federation: Federation) -> Seen:
    return _attack_own(federation, trace_process)


def control_signals(federation: Federation) -> Seen:
    return _attack_own(federation, signal_process)


def _attack_own(federation: Federation, attack: Callable[[int], list[str]]) -> Seen:
    """The same attack on a process of the link's own user: it must succeed."""
    site = federation.sites["a"]
    victim = site.host.start(site.link_user, ["sleep", "30"])
    try:
        number = site.host.find_process(["sleep", "30"])
        done = site.host.perform(site.link_user, attack, number)
    finally:
        victim.stop()
    return Seen(bool(done), ", ".join(done))


def list_files_of(user: int) -> list[Path]:
    """Every file of a user on this host."""
    return [
        path for root in map(Path, _ROOTS) for path in sorted(root.rglob("*"))
        if not path.is_symlink() and path.is_file() and path.stat().st_uid == user
    ]  # fmt: skip


def list_folders(folder: Path) -> list[Path]:
    """A folder and all below it."""
    return [folder, *(path for path in sorted(folder.rglob("*")) if path.is_dir())]


def read_files(files: Sequence[Path]) -> list[Path]:
    """Which of these files this user can read."""
    return [path for path in files if _allows(partial(_read_byte, path))]


def write_into(folders: Sequence[Path]) -> list[Path]:
    """Into which of these folders this user can write, or which of their files it can change or take away."""
    return [
        folder
        for folder in folders
        if any(_allows(partial(way, folder)) for way in (_create, _append, _move))
    ]


def read_process(number: int) -> list[str]:
    """Which secrets of a process this user can read."""
    folder = Path("/proc") / str(number)
    done = [
        name
        for name in ("environ", "maps", "auxv", "syscall", "stack", "smaps", "pagemap")
        if _allows(partial(_read_byte, folder / name))
    ]
    done += [name for name in ("cwd", "root", "exe") if _allows((folder / name).readlink)]
    if _allows(lambda: list((folder / "fd").iterdir())):
        done.append("fd")
    if _allows(lambda: list((folder / "map_files").iterdir())):
        done.append("map_files")
    if _allows(lambda: _read_memory(folder)):
        done.append("mem")
    return done


def trace_process(number: int) -> list[str]:
    """How this user can take hold of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    if libc.ptrace(_SEIZE, number, 0, 0) == 0:
        done.append("ptrace")
    buffer = ctypes.create_string_buffer(16)

    class Piece(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    near = Piece(ctypes.cast(buffer, ctypes.c_void_p), 16)
    far = Piece(ctypes.c_void_p(_find_mapping(number)), 16)
    if libc.process_vm_readv(number, ctypes.byref(near), 1, ctypes.byref(far), 1, 0) > 0:
        done.append("process_vm_readv")
    handle = libc.syscall(434, number, 0)
    if handle >= 0 and any(libc.syscall(438, handle, file, 0) >= 0 for file in range(8)):
        done.append("pidfd_getfd")
    return done


def signal_process(number: int) -> list[str]:
    """How this user can disturb a process."""
    ways: dict[str, Callable[[], object]] = {
        "signals": lambda: os.kill(number, _KILL_NOTHING),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, number, 5),
        "limits": lambda: resource.prlimit(number, resource.RLIMIT_CORE, (0, 0)),
        "processors": lambda: os.sched_setaffinity(number, os.sched_getaffinity(0)),
        "oom score": lambda: Path(f"/proc/{number}/oom_score_adj").write_text("500"),
    }
    return [name for name, way in ways.items() if _allows(way)]


def judge_files(reached: Sequence[Path], all_of_them: Sequence[Path], word: str) -> Seen:
    """Success if one of the files or folders was reached."""
    if reached:
        return Seen(True, f"{len(reached)} of {len(all_of_them)} {word}: {', '.join(map(str, reached[:3]))}")
    return Seen(False, f"0 of {len(all_of_them)} {word}")


def _allows(way: Callable[[], object]) -> bool:
    try:
        way()
    except (OSError, ValueError):
        return False
    return True


def _read_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1)


def _create(folder: Path) -> None:
    mark = folder / "planted"
    mark.touch(exist_ok=False)
    mark.unlink()


def _append(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            path.open("ab").close()
            return
    raise FileNotFoundError


def _move(folder: Path) -> None:
    for path in folder.iterdir():
        path.rename(path.with_name(f"{path.name}-moved"))
        path.with_name(f"{path.name}-moved").rename(path)
        return
    raise FileNotFoundError


def _read_memory(folder: Path) -> bytes:
    with (folder / "mem").open("rb", buffering=0) as memory:
        with suppress(OSError):
            memory.seek(_find_mapping(int(folder.name)) or 4096)
        return memory.read(16)


def _find_mapping(number: int) -> int:
    with suppress(OSError, ValueError):
        return int((Path("/proc") / str(number) / "maps").read_text().partition("-")[0], 16)
    return 0


ATTACKS = (
    Attack(
        "link's user: read the engine's files",
        "succeeded: cohort.csv, identity.key and every other file",
        try_reading,
        try_reading_as_engine,
    ),
    Attack("link's user: write into the engine's folders", "succeeded: every folder", try_writing),
    Attack(
        "link's user: /proc/PID/mem, environ, maps, fd of the engine", "succeeded", try_memory, control_memory
    ),
    Attack("link's user: ptrace, process_vm_readv, pidfd_getfd", "succeeded", try_tracing, control_tracing),
    Attack("link's user: signals, priority, limits of the engine", "succeeded", try_signals, control_signals),
    Attack(
        "the engine sends what it reads out of the hospital by itself",
        "succeeded: the engine had the host's network",
        try_engines_network,
    ),
    Attack(
        "link's user: root's environment, terminal and files in its own processes",
        "succeeded: the environment of who started the site",
        try_inheritance,
    ),
    Attack(
        "link's user: codes for the terminal of who started the site",
        "refused: nothing of the link's log was shown",
        try_escape_codes,
    ),
    Attack("link's user: the supervisor's memory and life", "succeeded", try_supervisor),
)
