"""Hosts of the test: each has its network, files, processes and users; a switch joins them."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deployment import namespaces as ns

LOGS = Path("/mnt/logs")
"""Where the test keeps what processes print; in memory, and outside every host."""

_SWITCH = "switch"
_KILLED_S = 5.0


class LateError(Exception):
    """What was waited for did not come in time."""


class WorkError(Exception):
    """The work of a process inside a host raised an exception, which is quoted."""


@dataclass
class Process:
    """A process inside a host.

    Attributes
    ----------
    name : str
        For messages.
    number : int
        Its identifier outside the host.
    log : Path
        What it prints.
    """

    name: str
    number: int
    log: Path
    _waiter: int
    _status: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._status is None:
            done, status = os.waitpid(self._waiter, os.WNOHANG)
            if done:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self, timeout_s: float) -> int:
        """Its exit code."""
        wait_until(lambda: self.poll() is not None, timeout_s, f"{self.name} does not end\n{self.read()}")
        return self._status or 0

    def wait_for(self, word: str, timeout_s: float) -> None:
        """Wait until it has printed a word.

        Raises
        ------
        WorkError
            If it ends before.
        LateError
            If it takes longer.
        """
        wait_until(lambda: word in self.read() or self.poll() is not None, timeout_s, f"{self.name}: {word}")
        if word not in self.read():
            raise WorkError(f"{self.name} ended with {self.poll()}: {self.read()}")

    def send(self, number: int) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.number, number)

    def stop(self, timeout_s: float = 20.0) -> None:
        """End it by request, else by force."""
        self.send(signal.SIGTERM)
        try:
            self.wait(timeout_s)
        except LateError:
            self.send(signal.SIGKILL)
            self.wait(_KILLED_S)

    def read(self) -> str:
        """What it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


@dataclass
class Work:
    """A function that runs in a process inside a host."""

    process: Process
    _pipe: int
    _bytes: bytearray = field(default_factory=bytearray)

    def result(self, timeout_s: float) -> Any:
        """What the function returned.

        Raises
        ------
        LateError
            If it takes longer; it is killed.
        WorkError
            If it raised.
        """
        deadline = time.monotonic() + timeout_s
        while select.select([self._pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = os.read(self._pipe, 1 << 20)
            if not part:
                os.close(self._pipe)
                self.process.wait(_KILLED_S)
                if not self._bytes:
                    raise WorkError(f"{self.process.name} ended with {self.process.poll()} and no answer")
                succeeded, value = pickle.loads(bytes(self._bytes))  # noqa: S301 - from our own child
                if not succeeded:
                    raise WorkError(value)
                return value
            self._bytes += part
        self.process.send(signal.SIGKILL)
        os.close(self._pipe)
        raise LateError(f"{self.process.name} took longer than {timeout_s:.0f} s")


@dataclass
class Host:
    """A machine of its own.

    Attributes
    ----------
    name : str
    address : str
        IPv4 address on the switch.
    users : mapping of str to int
        Its users' numbers by their names, root among them.
    first : int
        Identifier, outside, of its first process; when that ends the kernel ends all others.
    """

    name: str
    address: str
    users: Mapping[str, int]
    first: int

    def begin(self, user: str, work: Callable[..., Any], *arguments: object) -> Work:
        """Start a function as a user of this host."""
        reading, writing = os.pipe()

        def answer() -> int:
            try:
                outcome = (True, work(*arguments))
            except BaseException:  # noqa: BLE001 - told to whoever waits
                outcome = (False, traceback.format_exc(limit=-4))
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(outcome, pipe)
            return 0

        process = self._fork(getattr(work, "__name__", "work"), user, answer, keep=writing)
        os.close(writing)
        return Work(process, reading)

    def perform(self, user: str, work: Callable[..., Any], *arguments: object, timeout_s: float = 60) -> Any:
        """What a function returns that runs as a user of this host."""
        return self.begin(user, work, *arguments).result(timeout_s)

    def start(
        self,
        user: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        name: str = "",
    ) -> Process:
        """Start a program as a user of this host."""
        words = [str(word) for word in command]

        def execute() -> int:
            os.execvpe(words[0], words, {**os.environ, **(environment or {})})  # noqa: S606

        return self._fork(name or Path(words[0]).name, user, execute)

    def run(
        self,
        user: str,
        *command: str | Path,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> str:
        """What a program prints that ends with 0.

        Raises
        ------
        WorkError
            If it ends with another code.
        """
        process = self.start(user, command, environment)
        if process.wait(timeout_s):
            raise WorkError(f"{' '.join(map(str, command))} ended with {process.poll()}:\n{process.read()}")
        return process.read()

    def write(self, user: str, path: Path, content: bytes, mode: int = 0o600) -> None:
        """Write a file as a user."""
        self.perform(user, _write_file, path, content, mode)

    def read(self, path: Path) -> bytes:
        """The bytes of a file, read as root."""
        content: bytes = self.perform("root", Path.read_bytes, path)
        return content

    def list_processes(self) -> dict[int, tuple[int, list[str]]]:
        """User and command line of every process of this host, by its identifier inside."""
        listed: dict[int, tuple[int, list[str]]] = self.perform("root", list_processes)
        return listed

    def find_process(self, command: Sequence[str], timeout_s: float = 20.0) -> int:
        """Identifier of the process that runs this command, as soon as it has begun to.

        Raises
        ------
        LateError
            If none does in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for number, (_, words) in self.list_processes().items():
                if words == list(command):
                    return number
            time.sleep(0.1)
        raise LateError(f"no process runs {command}")

    def close(self) -> None:
        """End the host and everything in it."""
        os.kill(self.first, signal.SIGKILL)

    def _fork(self, name: str, user: str, work: Callable[[], int], keep: int = -1) -> Process:
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{self.name}-{name}-{time.monotonic_ns()}.log"
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        told, telling = os.pipe()

        def become_and_work() -> int:
            os.setsid()
            ns.end_with_parent()
            _keep_only(output, keep)
            os.chdir("/")
            ns.become_user(self.users[user])
            os.environ.update(HOME=f"/home/{user}", USER=user, LOGNAME=user, TMPDIR="/tmp")  # noqa: S108
            return work()

        def enter_and_wait() -> int:
            ns.enter_namespaces(self.first)
            inner = ns.fork_process(become_and_work)
            os.write(telling, str(inner).encode())
            os.close(telling)
            _keep_only(output, -1)
            status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
            if status < 0:
                signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
                os.kill(os.getpid(), -status)
            return status

        waiter = ns.fork_process(enter_and_wait)
        os.close(telling)
        number = os.read(told, 32)
        os.close(told)
        os.close(output)
        if not number:
            os.waitpid(waiter, 0)
            raise WorkError(f"{self.name}: no process can be started")
        return Process(f"{self.name}: {name}", int(number), log, waiter)


@dataclass
class World:
    """Every host, and the switch between them."""

    hosts: dict[str, Host] = field(default_factory=dict)

    def add_host(
        self, name: str, users: Sequence[str], visible: Sequence[Path], names: Mapping[str, str]
    ) -> Host:
        """A new host.

        Parameters
        ----------
        name : str
        users : sequence of str
            Its users beside root.
        visible : sequence of Path
            Folders of this machine with the program and its Python, which every user of the host can read.
        names : mapping of str to str
            Addresses by the names that the host knows.
        """
        place = len(self.hosts) + 1
        numbers = {user: 61000 + 100 * place + number for number, user in enumerate(users)}
        address = f"10.77.0.{place}"
        known = {**names, name: address}

        def live() -> int:
            ns.end_with_parent()
            ns.separate_mounts()
            _furnish(name, numbers, visible, known)
            os.write(telling, b"ready")
            _keep_only(1, -1)
            return ns.reap_orphans()

        def separate() -> int:
            ns.end_with_parent()
            ns.leave_namespaces(ns.NEW_MOUNTS | ns.NEW_NAME | ns.NEW_IPC | ns.NEW_NETWORK | ns.NEW_PROCESSES)
            inner = ns.fork_process(live)
            os.write(telling, f"{inner}\n".encode())
            os.close(telling)
            os.waitpid(inner, 0)
            return 0

        told, telling = os.pipe()
        ns.fork_process(separate)
        os.close(telling)
        said = b""
        while part := os.read(told, 64):
            said += part
            # Two processes write: which comes first is open
            if b"ready" in said and b"\n" in said:
                break
        os.close(told)
        if b"ready" not in said:
            raise WorkError(f"{name}: the host cannot be made")
        host = Host(name, address, {"root": 0, **numbers}, int(said.replace(b"ready", b"")))
        self._connect(host, f"to-{place}")
        self.hosts[name] = host
        return host

    def open_switch(self) -> None:
        """Make the switch."""
        _run_ip("link", "set", "lo", "up")
        _run_ip("link", "add", _SWITCH, "type", "bridge")
        _run_ip("link", "set", _SWITCH, "up")

    def close(self) -> None:
        """End every host."""
        for host in self.hosts.values():
            host.close()

    def _connect(self, host: Host, port: str) -> None:
        _run_ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(host.first))
        _run_ip("link", "set", port, "master", _SWITCH, "up")
        host.perform("root", _configure_network, host.address)


def wait_until(true: Callable[[], object], timeout_s: float, complaint: str = "what was waited for") -> None:
    """Wait until something is true.

    Raises
    ------
    LateError
        If it does not become true in time.
    """
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise LateError(complaint)
        time.sleep(0.05)


def list_processes() -> dict[int, tuple[int, list[str]]]:
    """User and command line of every process that this process can see."""
    listed = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                listed[int(folder.name)] = (folder.stat().st_uid, [os.fsdecode(word) for word in words])
            except OSError:
                continue
    return listed


def _furnish(name: str, users: Mapping[str, int], visible: Sequence[Path], names: Mapping[str, str]) -> None:
    """Give the host a name, users, and empty folders for all that it writes."""
    socket.sethostname(name)
    for folder, kept in ns.find_closed_ancestors(visible).items():
        ns.empty_folder(folder, kept)
    for folder in map(Path, ("/home", "/srv", "/run", "/var/log", "/var/lib/nginx")):
        if folder.is_dir():
            ns.empty_folder(folder)
    temporary = Path("/tmp")  # noqa: S108 - of this host alone
    ns.empty_folder(temporary, [path for path in visible if temporary in path.parents], mode="1777")
    for user, number in users.items():
        home = Path("/home") / user
        home.mkdir(mode=0o700)
        os.chown(home, number, number)
    Path("/run/etc").mkdir()
    passwd = "".join(f"{user}:x:{number}:{number}::/home/{user}:/bin/sh\n" for user, number in users.items())
    groups = "".join(f"{user}:x:{number}:\n" for user, number in users.items())
    addresses = "127.0.0.1 localhost\n" + "".join(f"{where} {who}\n" for who, where in names.items())
    for file, text in (("passwd", passwd), ("group", groups), ("hosts", addresses)):
        own, real = Path("/run/etc") / file, Path("/etc") / file
        # The first entry counts: this machine may have users of the same names
        own.write_text(text if file == "hosts" else text + real.read_text())
        ns.bind(own, real)


def _configure_network(address: str) -> None:
    _run_ip("link", "set", "lo", "up")
    _run_ip("address", "add", f"{address}/24", "dev", "eth0")
    _run_ip("link", "set", "eth0", "up")


def _run_ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _write_file(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _keep_only(output: int, keep: int) -> None:
    """Let a forked process hold no file of its parent but its output, and a pipe."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if output > 2:
        os.dup2(output, 1)
        os.dup2(output, 2)
    limit = os.sysconf("SC_OPEN_MAX")
    if keep > 2:
        os.closerange(3, keep)
        os.closerange(keep + 1, min(limit, 4096))
    else:
        os.closerange(3, min(limit, 4096))
