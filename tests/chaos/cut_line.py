"""A line between a hospital's link and the coordinator that can be cut, delayed and made to lose pieces."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

_PIECE = 1 << 16
_AGAIN_S = 0.4
"""Until TCP sends a lost piece again, seconds: Linux waits 200 ms, and a line's way there and back."""


@dataclass
class CutLine:
    """Carries TCP connections from a port of its own to the coordinator's, until it is closed.

    Loss is as TCP's user meets it: what is lost is sent again, and it and all behind it come later.

    Attributes
    ----------
    target : tuple of str and int
        Where the coordinator listens.
    is_cut : bool
        While true, open connections are broken and new ones are closed at once.
    delay_s : float
        By which every piece is late, in each direction, seconds.
    loss : float
        Share of pieces that are lost once, and are `_AGAIN_S` later for it.
    carried, lost : int
        Connections taken, and pieces lost.
    """

    target: tuple[str, int]
    is_cut: bool = False
    delay_s: float = 0.0
    loss: float = 0.0
    carried: int = 0
    lost: int = 0
    _ends: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _chance: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> str:
        """HOST:PORT that the link calls."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break what is open and take nothing more."""
        self.is_cut = True
        self._break_all()

    def mend(self) -> None:
        """Take connections again."""
        self.is_cut = False

    def close(self) -> None:
        """End all of it, and its threads."""
        self.is_cut = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._break_all()
        self._acceptor.join(10)

    def _break_all(self) -> None:
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            _break(end)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.is_cut:
                _break(near)
                continue
            try:
                far = socket.create_connection(self.target, 5)
            except OSError:
                _break(near)
                continue
            far.settimeout(None)
            self.carried += 1
            with self._lock:
                self._ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        """Pieces in their order; a late one is not waited for before the next is taken."""
        late: deque[tuple[float, bytes]] = deque()
        is_new = threading.Condition()
        sender = threading.Thread(target=_send_late, args=(late, is_new, sink), daemon=True)
        sender.start()
        while True:
            lag_s = 0.0
            try:
                piece = source.recv(_PIECE)
            except OSError:
                piece = b""
            if piece and self._chance.random() < self.loss:
                self.lost += 1
                lag_s += _AGAIN_S
            with is_new:
                late.append((time.monotonic() + self.delay_s + lag_s, piece))
                is_new.notify()
            if not piece:
                break
        sender.join()
        for end in (source, sink):
            _break(end)
        with self._lock:
            self._ends -= {source, sink}


def _send_late(late: deque[tuple[float, bytes]], is_new: threading.Condition, sink: socket.socket) -> None:
    while True:
        with is_new:
            while not late:
                is_new.wait()
            due, piece = late.popleft()
        time.sleep(max(0.0, due - time.monotonic()))
        if not piece:
            return
        try:
            sink.sendall(piece)
        except OSError:
            return


def _break(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
