"""The engine behind a Unix socket: bytes in, bytes out, one connection and one question at a time.

Two threads: one lets in or refuses whoever connects, and is never occupied for long; the other is the
engine's, which reads the question of the one connection that was let in, answers it, and closes.
"""

from __future__ import annotations

import logging
import os
import select
import socket as sockets
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from client.link.connection import SCHEME, EngineLink
from client.link.pulse_line import tell_progress, write_pulse_line
from client.link.socket_frames import Pace, PacedReader, TooLongError, Word, write_message
from common.errors import ProtocolError, StorageError
from common.runtime.accounts import Account, account_of, name_group, read_peer
from common.runtime.pulse import read_pulse
from common.runtime.storage import lock_folder, make_private_folder

_log = logging.getLogger(__name__)

_WAITING = 16
"""Connections that the system keeps until they are let in or refused."""
_QUIET_S = 10.0
"""Seconds between two lines about connections that came to nothing, for each reason."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.01
"""How long the door stays shut after a connection that came to nothing; longer each time, until an answer."""


@contextmanager
def listen(
    answer: EngineLink,
    socket: Path,
    largest: int,
    link: Account | None = None,
    pace: Pace | None = None,
) -> Iterator[str]:
    """Answer at the socket while the context is open; yields the socket's address.

    Parameters
    ----------
    answer : callable
        Takes a request's bytes and gives the reply's; always called from the same thread, one call at a time.
    socket : Path
        Its path. Its folder is closed to everybody but this user and, where it is another, the link's group.
    largest : int
        Most bytes that a message may have, either way.
    link : Account, optional
        The link's user, the only one who is let in; by default this process' own.
    pace : Pace, optional
        How slowly a question may come and its answer be taken.

    Raises
    ------
    StorageError
        If the folder belongs to somebody else, another engine listens there, or the socket cannot be made.
    """
    guest = account_of(os.geteuid()) if link is None else link
    folder = _make_folder(socket.parent, guest)
    with lock_folder(folder), _bind(socket, guest) as listener:
        room = _Room(answer, largest, guest.uid, pace or Pace())
        with room.open(listener):
            _log.info("engine listening socket=%s link=%s", socket, guest.name)
            try:
                yield f"{SCHEME}{socket}"
            finally:
                with suppress(FileNotFoundError):
                    socket.unlink()


def wait_forever() -> None:
    """Wait until an exception, such as Ctrl-C; never returns."""
    threading.Event().wait()


@dataclass
class _Complaints:
    """Of many connections that came to nothing, one line now and then says how many they were."""

    _reasons: dict[str, tuple[float, int]] = field(default_factory=dict)

    def count(self, reason: str) -> int:
        """How many there were since the last line; 0 if none is due."""
        quiet_until, untold = self._reasons.get(reason, (0.0, 0))
        now = time.monotonic()
        if now < quiet_until:
            self._reasons[reason] = quiet_until, untold + 1
            return 0
        self._reasons[reason] = now + _QUIET_S, 0
        return untold + 1


@dataclass
class _Room:
    """Where one connection at a time is served."""

    answer: EngineLink
    largest: int
    uid: int
    pace: Pace
    _free: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))
    _guests: SimpleQueue[sockets.socket | None] = field(default_factory=SimpleQueue)
    _guest: sockets.socket | None = None
    _complaints: _Complaints = field(default_factory=_Complaints)
    _pause_s: float = 0.0

    @contextmanager
    def open(self, listener: sockets.socket) -> Iterator[None]:
        """Let guests in while the context is open; at its end, whoever is in the room is sent away."""
        end, ended = sockets.socketpair()
        # Where the system does not tell who connects, this says so, before anybody can
        read_peer(end)
        door = threading.Thread(target=self._keep_door, args=(listener, ended), name="door", daemon=True)
        engine = threading.Thread(target=self._serve_all, name="engine", daemon=True)
        door.start()
        engine.start()
        try:
            yield
        finally:
            end.close()
            door.join()
            self._guests.put(None)
            guest = self._guest
            if guest is not None:
                with suppress(OSError):
                    guest.shutdown(sockets.SHUT_RDWR)
            engine.join()
            ended.close()

    def _keep_door(self, listener: sockets.socket, ended: sockets.socket) -> None:
        while True:
            ready, _, _ = select.select([listener, ended], [], [])
            if ended in ready:
                return
            with suppress(OSError):
                guest, _ = listener.accept()
                self._receive(guest)
            if self._pause_s and ended in select.select([ended], [], [], self._pause_s)[0]:
                return

    def _receive(self, guest: sockets.socket) -> None:
        """Let a guest in if it is the link and the room is free; otherwise send it away at once."""
        process, uid = read_peer(guest)
        if uid != self.uid:
            self._turn_away("a user who is not the link", process, uid)
            guest.close()
        elif self._free.acquire(blocking=False):
            self._guests.put(guest)
        else:
            self._turn_away("a second connection", process, uid)
            with guest, suppress(ProtocolError):
                # It fits into the socket's buffer: nobody has to take it for this thread to go on
                write_message(guest, Word.BUSY, write_pulse_line(read_pulse()))

    def _turn_away(self, reason: str, process: int, uid: int) -> None:
        self._slow_down()
        if number := self._complaints.count(reason):
            _log.warning("refused reason=%s pid=%d uid=%d connections=%d", reason, process, uid, number)

    def _slow_down(self) -> None:
        """Let the next guest wait: whoever connects without end must not cost the engine a processor."""
        self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)

    def _serve_all(self) -> None:
        while (guest := self._guests.get()) is not None:
            self._guest = guest
            with guest:
                self._answer_guest(guest)
                self._guest = None
            self._free.release()

    def _answer_guest(self, guest: sockets.socket) -> None:
        try:
            self._serve(guest)
            self._pause_s = 0.0
        except ProtocolError as failure:
            self._slow_down()
            if number := self._complaints.count("no answer"):
                _log.warning("ended without an answer reason=%s connections=%d", failure, number)
        except Exception:  # noqa: BLE001 - the process' boundary
            # The engine outlives whatever one question does to it.
            _log.exception("a question failed")

    def _serve(self, guest: sockets.socket) -> None:
        try:
            word, question = PacedReader(guest, self.pace).read(self.largest)
        except TooLongError:
            write_message(guest, Word.TOO_LONG, pace=self.pace)
            raise
        if word is not Word.ASK:
            raise ProtocolError(f"a question was expected, not {word.name}")
        with tell_progress(lambda line: write_message(guest, Word.WORKING, line, self.pace)):
            reply = self.answer(question)
        if len(reply) > self.largest:
            write_message(guest, Word.TOO_LONG, pace=self.pace)
            raise TooLongError(f"the answer has {len(reply)} bytes, the plan can need {self.largest}")
        write_message(guest, Word.ANSWER, reply, self.pace)


def _make_folder(folder: Path, guest: Account) -> Path:
    """The socket's folder: entered by this user and, where it is another, by the link's group.

    Raises
    ------
    StorageError
        If it belongs to somebody else, or cannot be given to the link's group.
    """
    if not folder.exists():
        make_private_folder(folder)
    if folder.stat().st_uid != os.geteuid():
        raise StorageError(
            f"{folder} belongs to another user ({account_of(folder.stat().st_uid).name}) -> "
            "choose another place for the engine's socket"
        )
    if guest.is_this_process:
        return make_private_folder(folder)
    _give_to_group(folder, guest.gid)
    if stat.S_IMODE(folder.stat().st_mode) & 0o777 != 0o750:
        folder.chmod(0o750)
    return folder


def _give_to_group(path: Path, gid: int) -> None:
    """Give a file or folder to the link's group.

    Raises
    ------
    StorageError
        If this user is not in that group.
    """
    if path.stat().st_gid == gid:
        return
    try:
        os.chown(path, -1, gid)
    except PermissionError:
        raise StorageError(
            f"{path}: the engine's user is not in the link's group {name_group(gid)} -> "
            f"usermod --append --groups {name_group(gid)} {account_of(os.geteuid()).name}"
        ) from None


@contextmanager
def _bind(socket: Path, guest: Account) -> Iterator[sockets.socket]:
    """The listening socket; its folder is closed already, so nobody else can connect before it is.

    Raises
    ------
    StorageError
        If the socket cannot be made.
    """
    with sockets.socket(sockets.AF_UNIX) as listener:
        try:
            socket.unlink(missing_ok=True)
            listener.bind(str(socket))
            if not guest.is_this_process:
                _give_to_group(socket, guest.gid)
            socket.chmod(0o600 if guest.is_this_process else 0o660)
            listener.listen(_WAITING)
        except OSError as failure:
            raise StorageError(
                f"{socket}: the engine cannot listen there ({failure.strerror or failure})"
            ) from None
        yield listener
