"""Messages on the socket between link and engine: a word of four bytes, the length in eight, the bytes.

A message that is too long is refused by its header, before a byte of it is read. One that comes too slowly is
cut off: whoever sends has a grace, and then has to keep up a rate. How long an answer takes to compute is not
limited by this.
"""

from __future__ import annotations

import io
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from common.errors import ProtocolError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_HEADER = struct.Struct(">4sQ")
_BUFFER = 2**16
_PIECE = 2**20


class Word(bytes, Enum):
    """What a message on the socket is."""

    ASK = b"rhe?"
    """A question to the engine."""
    ANSWER = b"rhe!"
    """The engine's answer."""
    BUSY = b"rhe~"
    """Another connection is open: ask again later; with the same line as `WORKING`."""
    WORKING = b"rhe."
    """The engine still computes the answer: seconds since it last got on, and at what it is."""
    TOO_LONG = b"rhe+"
    """A question, or its answer, is longer than the plan can need."""


@dataclass(frozen=True)
class Pace:
    """How slowly the other side may send or take a message.

    Attributes
    ----------
    grace_s : float
        Seconds until the rate is demanded; also the longest silence at a message's start.
    bytes_per_s : float
        Least mean rate after the grace.
    """

    grace_s: float = 20.0
    bytes_per_s: float = 2.0**20


class TooLongError(ProtocolError):
    """A message's header announces more bytes than the plan can need."""


class TooSlowError(ProtocolError):
    """The other side sends or takes no more, or not fast enough; it has not gone away."""


class PacedReader:
    """Reads one side's messages from a socket, each into memory of its own length without a second copy.

    The clock starts when the reader is made.

    Parameters
    ----------
    connection : socket.socket
    pace : Pace
    """

    def __init__(self, connection: socket.socket, pace: Pace) -> None:
        self._connection, self._taken = connection, 0
        self._source = _PacedBytes(connection, pace)
        # Its read(n) takes n bytes of memory, untouched until they arrive, and receives straight into them.
        self._stream = io.BufferedReader(self._source, _BUFFER)

    def await_message(self, patience_s: float) -> bool:
        """Whether something of the next message comes in time; its clock starts then.

        Parameters
        ----------
        patience_s : float
            How long to wait for its first byte, in seconds.
        """
        has_begun = self._source.received > self._taken
        if not has_begun and not select.select([self._connection], [], [], patience_s)[0]:
            return False
        self._source.restart()
        return True

    def read(self, largest: int) -> tuple[Word, bytes]:
        """The next message.

        Parameters
        ----------
        largest : int
            Most bytes that it may have.

        Raises
        ------
        TooLongError
            If it is longer.
        ProtocolError
            If it is no message, comes too slowly or ends early.
        """
        header = self._stream.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise ProtocolError("the other side went away")
        name, length = _HEADER.unpack(header)
        if name not in {word.value for word in Word}:
            raise ProtocolError("what came is no message of rhe")
        if length > largest:
            raise TooLongError(f"a message of {length} bytes came, the plan can need {largest}")
        body = self._stream.read(length)
        self._taken += len(header) + len(body)
        if len(body) < length:
            raise ProtocolError(f"the other side went away after {len(body)} of {length} bytes")
        return Word(name), body


def write_message(connection: socket.socket, word: Word, body: bytes = b"", pace: Pace | None = None) -> None:
    """Send one message.

    Raises
    ------
    ProtocolError
        If the other side takes it too slowly or goes away.
    """
    clock = _Clock(pace or Pace())
    for part in (memoryview(_HEADER.pack(word.value, len(body))), memoryview(body)):
        while part:
            part = part[clock.run(connection, partial(connection.send, part[:_PIECE])) :]  # noqa: PLW2901


class _Clock:
    """How much time the other side has left."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._deadline = time.monotonic() + pace.grace_s

    def run(self, connection: socket.socket, move: Callable[[], int]) -> int:
        """The number of bytes that were moved; they buy the other side more time.

        Raises
        ------
        TooSlowError
            If its time is over.
        ProtocolError
            If it goes away.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TooSlowError("the other side is too slow")
        try:
            connection.settimeout(left)
            moved = move()
        except TimeoutError:
            raise TooSlowError("the other side is too slow") from None
        except OSError as failure:
            raise ProtocolError(f"the other side went away ({failure.strerror})") from None
        self._deadline += moved / self._pace.bytes_per_s
        return moved


class _PacedBytes(io.RawIOBase):
    """The bytes that arrive at a socket."""

    def __init__(self, connection: socket.socket, pace: Pace) -> None:
        self._connection = connection
        self._pace, self._clock = pace, _Clock(pace)
        self.received = 0

    def restart(self) -> None:
        """Begin the clock anew."""
        self._clock = _Clock(self._pace)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """How many bytes arrived; 0 where the other side has closed."""
        arrived = self._clock.run(self._connection, lambda: self._connection.recv_into(buffer))
        self.received += arrived
        return arrived
