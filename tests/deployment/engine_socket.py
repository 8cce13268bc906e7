"""At the engine's socket: messages without end or haste, floods, and those whose socket it is not."""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from tests.deployment.federation import NEIGHBOUR, OTHER_ENGINE, OTHER_LINK, Federation, Site, make_folder
from tests.deployment.hosts import LateError, wait_until
from tests.deployment.table import Attack, Seen

_HEADER = struct.Struct(">4sQ")
ASK, ANSWER = b"rhe?", b"rhe!"
_GIGANTIC = 10 * 10**9
_PIECE = bytes(1 << 20)
_SLOW_S = 40.0
_FLOOD_S = 3.0
_PLACES = ("/srv", "/run", "/tmp", "/home")  # noqa: S108 - of the host alone
_ENGINE_S = 60.0
_PLACE = Path("/srv/other")


class FrameSpeech:
    """How the link's messages reach the engine's socket."""

    def ask(self, path: Path, timeout_s: float) -> bytes:
        """The kind of answer to a question that makes no sense; empty if the engine closed."""
        with self._connect(path, timeout_s) as connection:
            connection.sendall(_HEADER.pack(ASK, 8) + b"nonsense")
            return connection.recv(4)

    def is_answer(self, answer: bytes) -> bool:
        return answer == ANSWER

    def hold(self, path: Path, seconds: float) -> None:
        """Keep a connection open and say nothing."""
        with self._connect(path, seconds):
            time.sleep(seconds)

    def pour(self, path: Path, size: int) -> int:
        """How many bytes of a message of this size the engine takes."""
        sent = 0
        with self._connect(path, 20.0) as connection, suppress(OSError):
            connection.sendall(_HEADER.pack(ASK, size))
            while sent < size:
                sent += connection.send(_PIECE[: size - sent])
        return sent

    def drip(self, path: Path, seconds: float) -> float:
        """For how many seconds the engine keeps a connection that brings it a byte now and then."""
        begun = time.monotonic()
        with self._connect(path, 1.0) as connection:
            connection.sendall(_HEADER.pack(ASK, 1000))
            while time.monotonic() < begun + seconds:
                try:
                    connection.sendall(b"x")
                    if connection.recv(16) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
        return time.monotonic() - begun

    def flood(self, path: Path, seconds: float) -> int:
        """How many connections, with garbage, this user makes."""
        made, deadline = 0, time.monotonic() + seconds
        with ExitStack() as stack:
            while time.monotonic() < deadline:
                with suppress(OSError):
                    connection = self._connect(path, 0.5)
                    stack.callback(connection.close)
                    made += 1
                    connection.sendall(os.urandom(64))
                if made % 500 == 0:
                    stack.pop_all().close()
        return made

    def _connect(self, path: Path, timeout_s: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        return connection


def try_second_connection(federation: Federation) -> Seen:
    site, speech = federation.sites["a"], federation.ways.speech
    path = find_socket(site)
    holding = site.host.begin(site.link_user, speech.hold, path, 4.0)
    time.sleep(0.5)
    answer = site.host.perform(site.link_user, _try_asking, speech, path)
    holding.result(20)
    if speech.is_answer(answer):
        return Seen(True, "the second was answered while the first was open")
    return Seen(False, f"the second was told {answer!r}")


def try_gigantic_message(federation: Federation) -> Seen:
    site, speech = federation.sites["a"], federation.ways.speech
    path, engine = find_socket(site), site.find_process("engine")
    before = site.host.perform("root", read_memory, engine)
    taken = site.host.perform(site.link_user, speech.pour, path, _GIGANTIC, timeout_s=90)
    grown = site.host.perform("root", read_memory, engine) - before
    told = f"the engine took {taken / 1e6:.1f} MB of {_GIGANTIC / 1e9:.0f} GB"
    told += f", its peak memory grew by {grown / 1e6:.0f} MB"
    return Seen(taken > 10**8 or grown > 10**8, told)


def control_message(federation: Federation) -> Seen:
    return _answer_normally(federation, "a")


def start_slow_sender(federation: Federation) -> None:
    """Begin the slowest attack, on hospital b, so that the others need not wait for it."""
    site = federation.sites["b"]
    drip = federation.ways.speech.drip
    federation.begun["slow"] = site.host.begin(site.link_user, drip, find_socket(site), _SLOW_S)


def try_slow_sender(federation: Federation) -> Seen:
    kept_s = federation.begun["slow"].result(_SLOW_S + 20)
    after = _answer_normally(federation, "b")
    if kept_s >= _SLOW_S or not after.succeeded:
        return Seen(True, f"the engine was held for {kept_s:.0f} s and more")
    return Seen(False, f"cut off after {kept_s:.0f} s; then {after.how}")


def try_flood(federation: Federation) -> Seen:
    site = federation.sites["a"]
    engine = site.find_process("engine")
    made = site.host.perform(site.link_user, federation.ways.speech.flood, find_socket(site), _FLOOD_S)
    after = _answer_normally(federation, "a")
    lives = site.find_process("engine") == engine
    if not (after.succeeded and lives):
        return Seen(True, f"after {made} connections the engine {'answers nobody' if lives else 'is dead'}")
    return Seen(False, f"after {made} connections in {_FLOOD_S:.0f} s the same engine: {after.how}")


def try_other_sites_socket(federation: Federation) -> Seen:
    """The link's user asks the engine of another site on the same machine."""
    site = federation.sites["a"]
    path = federation.ways.open_other_site(site)
    answer = site.host.perform(site.link_user, _try_asking, federation.ways.speech, path)
    return Seen(federation.ways.speech.is_answer(answer), f"other site's engine said {answer!r}")


def control_other_sites_socket(federation: Federation) -> Seen:
    site = federation.sites["a"]
    path = federation.ways.open_other_site(site)
    user = OTHER_LINK if site.link_user != site.engine_user else site.link_user
    answer = site.host.perform(user, _try_asking, federation.ways.speech, path)
    return Seen(federation.ways.speech.is_answer(answer), f"its own link was told {answer!r}")


def try_neighbours_connection(federation: Federation) -> Seen:
    """Another user of the hospital's machine, even where somebody opened the folder's doors."""
    site, speech = federation.sites["a"], federation.ways.speech
    path = find_socket(site)
    closed = site.host.perform(NEIGHBOUR, _try_asking, speech, path)
    site.host.perform("root", partial(_open_doors, opened=True), path)
    opened = site.host.perform(NEIGHBOUR, _try_asking, speech, path)
    site.host.perform("root", partial(_open_doors, opened=False), path)
    succeeded = speech.is_answer(closed) or speech.is_answer(opened)
    return Seen(succeeded, f"as it is: {closed!r}; with the folder and the socket open to all: {opened!r}")


def serve_other_site(path: Path, link: int) -> None:
    """An engine's socket, of another site, that answers whoever is let in."""
    from client.link.service import listen, wait_forever
    from common.runtime.accounts import account_of

    with listen(lambda question: question, path, 10**6, account_of(link)):
        wait_forever()


def open_other_socket(site: Site) -> Path:
    """Where the other site's engine listens; it is started if it is not there yet."""
    path = _PLACE / "run" / "engine.sock"
    host = site.host
    if not host.perform("root", path.exists):
        host.perform("root", make_folder, _PLACE, host.users[OTHER_ENGINE])
        host.perform("root", _make_shared, path.parent, host.users[OTHER_ENGINE], host.users[OTHER_LINK])
        host.begin(OTHER_ENGINE, serve_other_site, path, host.users[OTHER_LINK])
        wait_until(lambda: host.perform("root", path.exists), 20, "the other site's engine")
    return path


def find_socket(site: Site) -> Path:
    """Where the site's engine listens, as soon as it does."""
    found: list[Path] = []

    def is_there() -> bool:
        paths = site.host.perform("root", list_sockets)
        found[:] = [path for path in paths if path.name == "engine.sock" and _PLACE not in path.parents]
        return bool(found)

    wait_until(is_there, _ENGINE_S, f"{site.name}: no engine listens")
    return found[0]


def list_sockets() -> list[Path]:
    """Every Unix socket on this host; the kernel lists those of one network alone."""
    return sorted(path for root in _PLACES for path in Path(root).rglob("*") if path.is_socket())


def read_memory(process: int) -> int:
    """The most memory that a process has had, bytes."""
    for line in (Path("/proc") / str(process) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _answer_normally(federation: Federation, name: str) -> Seen:
    site = federation.sites[name]
    path = find_socket(site)
    answers: list[bytes] = []

    def is_answered() -> bool:
        answers.append(site.host.perform(site.link_user, _try_asking, federation.ways.speech, path))
        return federation.ways.speech.is_answer(answers[-1])

    begun = time.monotonic()
    try:
        wait_until(is_answered, 10)
    except LateError:
        return Seen(False, f"no answer in 10 s: {answers[-1]!r}")
    return Seen(True, f"answers the link's question in {time.monotonic() - begun:.1f} s")


def _try_asking(speech: FrameSpeech, path: Path) -> bytes:
    try:
        return speech.ask(path, 5.0)
    except OSError as failure:
        return (failure.strerror or type(failure).__name__).encode()


def _make_shared(folder: Path, owner: int, group: int) -> None:
    folder.mkdir(exist_ok=True)
    os.chown(folder, owner, group)
    folder.chmod(0o2750)


def _open_doors(path: Path, *, opened: bool) -> None:
    for place in (path, *path.parents[:-2]):
        mode = place.stat().st_mode
        place.chmod(mode | 0o007 if opened else mode & ~0o007)


ATTACKS = (
    Attack(
        "link's user: a second connection to the engine",
        "succeeded: answered beside the link's",
        try_second_connection,
        control_message,
    ),
    Attack(
        "link's user: a message of 10 GB",
        "succeeded: 1 GB was taken at once, the engine's memory grew by 3.4 GB",
        try_gigantic_message,
        control_message,
    ),
    Attack(
        "link's user: a flood of connections and garbage",
        "refused: answers after 45,000 connections",
        try_flood,
    ),
    Attack(
        "link's user: the socket of another site on the same machine",
        "succeeded: one user for all sites",
        try_other_sites_socket,
        control_other_sites_socket,
    ),
    Attack(
        "another user of the hospital's machine at the engine's socket",
        "succeeded where its folder was opened to all: answered",
        try_neighbours_connection,
        control_message,
    ),
    Attack(
        "link's user: a message that comes a byte a second",
        "succeeded: the engine was held for 40 s and more",
        try_slow_sender,
    ),
)
