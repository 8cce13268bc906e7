"""A site of two real users in a mount namespace of its own, without a coordinator: what each process may do.

Run as root by test_two_users.py inside `unshare --mount`; prints one JSON object of what it saw.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from sites.handmade import make_site

from client.link.connection import EngineWait, open_socket_link
from client.membership.membership import Membership
from common.errors import SiteError
from common.messages.protocol import decode_reply
from common.runtime.accounts import Account, account_of, act_as, become
from server.provision.office import OfficeSettings, create_office

ENGINE, LINK, STRANGER = account_of(4242), account_of(4243), account_of(4244)
PLAN = """
name = "Two users"
seed = 1
profile = "simulation"
[[sites]]
name = "a"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
"""
PTRACE_SEIZE = 0x4206


def open_program() -> None:
    """Let every user run this Python, wherever it lies, in this mount namespace alone."""
    closed = [path for path in Path(sys.base_prefix).parents if path.stat().st_mode & 0o005 != 0o005]
    if closed:
        kept = Path("/mnt")
        subprocess.run(["mount", "--bind", sys.base_prefix, kept], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", closed[-1]], check=True)
        Path(sys.base_prefix).mkdir(parents=True)
        subprocess.run(["mount", "--bind", kept, sys.base_prefix], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"], check=True)


def call(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name(program)), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def tell_as(account: Account, act: Callable[[], object]) -> object:
    """What a child that is this user for good says, as JSON; one that says nothing in a minute is ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        become(account)
        try:
            said = act()
        except (OSError, SiteError) as failure:
            said = f"{type(failure).__name__}: {failure}"
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = json.loads(pipe.read())
    os.waitpid(child, 0)
    return said


def ask(socket: Path, engine: Account) -> str:
    """The code of the engine's answer to a question that nobody signed; the engine is at work already."""
    link = open_socket_link(str(socket), 2**20, engine_uid=engine.uid, wait=EngineWait(start_s=2))
    return decode_reply(link(b"x" * 100)).header.code


def attack_process(pid: int) -> list[str]:
    """What this user can do to a process."""
    done = []
    process = Path(f"/proc/{pid}")
    ways: dict[str, Callable[[], object]] = {
        **{name: (process / name).read_bytes for name in ("environ", "maps")},
        "mem": lambda: (process / "mem").open("rb").close(),
        **{name: (process / name).readlink for name in ("root", "cwd", "exe")},
        "fd": lambda: list((process / "fd").iterdir()),
    }
    for name, way in ways.items():
        with suppress(OSError):
            way()
            done.append(name)
    if ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, 0, 0) == 0:
        done.append("ptrace")
    for number in (0, 15, 9):
        with suppress(PermissionError):
            os.kill(pid, number)
            done.append(f"signal {number}")
    return done


def list_readable(paths: list[Path]) -> list[str]:
    """Which of these this user can read."""
    return [str(path) for path in paths if os.access(path, os.R_OK)]


def list_closed(paths: list[Path]) -> list[str]:
    """Which of these this user cannot read; what has ended since it was listed does not count."""
    return [str(path) for path in paths if not os.access(path, os.R_OK) and path.exists()]


def list_owners(paths: list[Path]) -> list[int]:
    """Whose these are; what has ended since it was listed does not count."""
    owners = set()
    for path in paths:
        with suppress(FileNotFoundError):
            owners.add(path.lstat().st_uid)
    return sorted(owners)


def describe(path: Path) -> list[int | str]:
    """Owner, group and mode of a file."""
    status = path.stat()
    return [status.st_uid, status.st_gid, oct(status.st_mode & 0o777)]


def groups_of(pid: int) -> list[str]:
    """A process' groups."""
    text = Path(f"/proc/{pid}/status").read_text()
    return text.split("Groups:")[1].splitlines()[0].split()


def limit_of(pid: int) -> str:
    """How large a core dump of a process may be."""
    text = Path(f"/proc/{pid}/limits").read_text()
    return text.split("Max core file size")[1].split()[0]


def wait_for(path: Path, supervisor: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if path.is_socket() or supervisor.poll() is not None:
            return
        time.sleep(0.1)


@contextmanager
def start_site(site: Path) -> Iterator[subprocess.Popen[str]]:
    """`rhe-client start`, which ends with the block, however that ends."""
    program = str(Path(sys.executable).with_name("rhe-client"))
    with subprocess.Popen(
        [program, "start", str(site)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as supervisor:
        try:
            yield supervisor
        finally:
            if supervisor.poll() is None:
                supervisor.terminate()


def find_child(supervisor: int, name: str) -> psutil.Process:
    """The supervisor's engine or link.

    Raises
    ------
    LookupError
        If it runs none.
    """
    seen = []
    for child in psutil.Process(supervisor).children():
        with suppress(psutil.Error):
            seen.append(child.cmdline())
            if name in [Path(word).name for word in seen[-1]]:
                return child
    raise LookupError(f"no {name} among {seen}")


def look_at(supervisor: int, socket: Path, folders: tuple[Path, Path]) -> dict[str, object]:
    """What each user can do to the running site's processes and files."""
    children = {name: find_child(supervisor, name) for name in ("engine", "link")}
    site, link = folders
    of_engine, of_state, of_link = ([folder, *folder.rglob("*")] for folder in (site, site / ".rhe", link))
    return {
        "uids": {name: child.uids() for name, child in children.items()},
        "groups": {name: groups_of(child.pid) for name, child in children.items()},
        "socket": describe(socket),
        "room": describe(socket.parent),
        "link asks": tell_as(LINK, lambda: ask(socket, ENGINE)),
        "stranger asks": tell_as(STRANGER, lambda: ask(socket, ENGINE)),
        "root asks": tell_as(account_of(0), lambda: ask(socket, ENGINE)),
        "engine cannot read": tell_as(ENGINE, lambda: list_closed(of_engine)),
        "files": len(of_engine),
        "link reads": tell_as(LINK, lambda: list_readable(of_engine)),
        "link attacks engine": tell_as(LINK, lambda: attack_process(children["engine"].pid)),
        "link attacks supervisor": tell_as(LINK, lambda: attack_process(supervisor)),
        "engine reads link": tell_as(ENGINE, lambda: list_readable(of_link)),
        "core": limit_of(children["engine"].pid),
        "owners": [list_owners(tree) for tree in (of_state, of_link)],
    }


def main(work: Path) -> dict[str, object]:
    """What was seen."""
    open_program()
    work.chmod(0o711)
    (work / "study.toml").write_text(PLAN)
    office = create_office(work / "office", work / "study.toml", OfficeSettings(host="127.0.0.1", port=9))
    site, link = make_site(work / "a", "a", 1), work / "link"
    for path in (site, *site.rglob("*")):
        os.chown(path, ENGINE.uid, ENGINE.gid)
        path.chmod(0o700 if path.is_dir() else 0o600)
    users = ("--engine-user", "4242", "--link-user", "4243")
    joined = call("rhe-client", "init", site, "--invitation", office.invitation, *users, "--link-state", link)
    approved = call("rhe-client", "approve", site, "--yes")
    member = Membership(site, site / ".rhe")
    with act_as(ENGINE):
        socket = member.socket
    with start_site(site) as supervisor:
        wait_for(socket, supervisor)
        if supervisor.poll() is not None:
            return {"ended": supervisor.stdout.read() if supervisor.stdout else "", "init": joined.stderr}
        seen = look_at(supervisor.pid, socket, (site, link))
        supervisor.terminate()
        seen["said"] = supervisor.stdout.read() if supervisor.stdout else ""
    return seen | {"init": joined.returncode, "approve": approved.returncode, "approve said": approved.stderr}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
