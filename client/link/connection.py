"""How the link reaches the engine: bytes in, bytes out, over a Unix socket of the site's two users."""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from client.link.pulse_line import read_pulse_line
from client.link.socket_frames import Pace, PacedReader, TooSlowError, Word, write_message
from common.errors import ProtocolError, SiteError
from common.runtime.accounts import account_of, read_peer
from common.runtime.pulse import Pulse

_log = logging.getLogger(__name__)

EngineLink = Callable[[bytes], bytes]
"""Answers a request's bytes with the reply's bytes: the engine itself, or a socket to it."""


class EngineGoneError(SiteError):
    """The engine ended while it answered; it is started again."""

    code = "E_ENGINE"


class NoEngineError(SiteError):
    """No engine is at work."""

    code = "E_NO_ENGINE"


class StalledError(SiteError):
    """The engine is at work, and has not got on for too long."""

    code = "E_STALLED"


@dataclass
class EngineWait:
    """How long the link waits for the engine.

    Attributes
    ----------
    stall_s : float
        How long it may show no progress, in seconds; the coordinator says it with each message.
    start_s : float
        How long it may take to come up, in seconds.
    doing : str
        What it computes, as it said last; empty while it is asked nothing.
    """

    stall_s: float = 3600.0
    start_s: float = 120.0
    doing: str = ""


SCHEME = "unix:"
"""Begins the address of a Unix socket."""
_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 1.0


def open_socket_link(
    address: str,
    largest: int,
    *,
    engine_uid: int | None = None,
    pace: Pace | None = None,
    wait: EngineWait | None = None,
) -> EngineLink:
    """A link to the engine listening at ``unix:PATH``; each question is a connection of its own.

    Parameters
    ----------
    address : str
        "unix:" and the socket's path.
    largest : int
        Most bytes that a question or an answer may have: `common.plan.message_size.largest_message`.
    engine_uid : int, optional
        User number of the engine; by default this process' own. Nobody else gets a byte.
    pace : Pace, optional
        How slowly an answer may come.
    wait : EngineWait, optional
        How long to wait for the engine; it is waited for as long as it gets on.

    Raises
    ------
    SiteError
        On use: if the engine cannot be reached in that time, is another user's, goes away or stands still, or
        a message is longer.
    """
    bound = wait or EngineWait()
    path = address.removeprefix(SCHEME)
    uid = os.geteuid() if engine_uid is None else engine_uid

    def ask(request: bytes) -> bytes:
        if len(request) > largest:
            raise SiteError(
                f"a question of {len(request)} bytes came, the plan can need {largest} -> it is not asked"
            )
        pause_s, begun = _PAUSE_S, time.monotonic()
        while True:
            with _connect(path, bound.start_s) as connection:
                _check_engine(connection, path, uid)
                try:
                    answer = _exchange(connection, request, largest, pace or Pace(), bound)
                except ProtocolError as failure:
                    raise EngineGoneError(
                        f"{path}: the site's engine gave no answer ({failure}) -> see engine.log"
                    ) from None
                finally:
                    bound.doing = ""
            if isinstance(answer, bytes):
                return answer
            if pause_s == _PAUSE_S:
                _log.info("the engine is busy with another connection; waiting")
            # An engine that nobody asked got on long ago: it stands still only since this question waits
            if min(answer.age_s, time.monotonic() - begun) > bound.stall_s:
                raise StalledError(
                    f"{path}: the engine is busy with an earlier question, and has not got on for "
                    f"{answer.age_s:.0f} s ({answer.doing}) -> see engine.log, and start the site again"
                )
            bound.doing = answer.doing
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    return ask


def _connect(path: str, patience_s: float) -> socket.socket:
    """A connection to the socket, as soon as somebody listens there.

    Raises
    ------
    NoEngineError
        If nobody does in time, or this user may not connect.
    """
    deadline, pause_s = time.monotonic() + patience_s, _PAUSE_S
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(max(_PAUSE_S, deadline - time.monotonic()))
            connection.connect(path)
        except OSError as failure:
            connection.close()
            # Also one that may not be used: the engine opens its socket to the link after it made it
            if time.monotonic() >= deadline:
                remedy = "is `rhe-client start` running?"
                if isinstance(failure, PermissionError):
                    remedy = f"is user {account_of(os.geteuid()).name} in the group of its folder?"
                raise NoEngineError(
                    f"{path}: the site's engine does not answer ({failure.strerror or failure}) -> {remedy}"
                ) from None
        else:
            return connection
        time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _check_engine(connection: socket.socket, path: str, uid: int) -> None:
    """Refuse a listener who is not the engine.

    Raises
    ------
    SiteError
        If another user listens.
    """
    _, listener = read_peer(connection)
    if listener != uid:
        raise SiteError(
            f"{path}: user {account_of(listener).name} listens there, the engine runs as "
            f"{account_of(uid).name} -> nothing was sent; see who made that socket"
        )


def _exchange(
    connection: socket.socket, request: bytes, largest: int, pace: Pace, wait: EngineWait
) -> bytes | Pulse:
    """The answer to a question; while the engine is busy with another connection, where it stands.

    Raises
    ------
    ProtocolError
        If the engine goes away, or does not speak as it should.
    StalledError
        If the engine has not got on for too long.
    SiteError
        If the engine refuses the question because of its length.
    """
    patient = replace(pace, grace_s=max(pace.grace_s, wait.stall_s))
    try:
        write_message(connection, Word.ASK, request, patient)
    except TooSlowError:
        raise StalledError(
            f"the engine has not got on for {patient.grace_s:.0f} s, and takes no question "
            "-> see engine.log, and start the site again"
        ) from None
    except ProtocolError:
        # Refused while it was being sent: why is in the answer, if there is one
        if not _may_read(connection, pace.grace_s):
            raise
    word, answer = _await_answer(connection, largest, pace, wait)
    if word is Word.BUSY:
        age_s, doing = read_pulse_line(answer)
        return Pulse(doing, time.monotonic() - age_s)
    if word is Word.TOO_LONG:
        raise SiteError(
            "the engine refuses a message that is longer than the plan can need -> see engine.log"
        )
    if word is not Word.ANSWER:
        raise ProtocolError(f"the engine said {word.name}")
    return answer


def _await_answer(
    connection: socket.socket, largest: int, pace: Pace, wait: EngineWait
) -> tuple[Word, bytes]:
    """What the engine says in the end; it is waited for as long as it says that it gets on.

    Raises
    ------
    StalledError
        If it does not.
    """
    reader, stall_s = PacedReader(connection, pace), wait.stall_s
    while reader.await_message(stall_s):
        word, body = reader.read(largest)
        if word is not Word.WORKING:
            return word, body
        age_s, doing = read_pulse_line(body)
        wait.doing = doing
        if age_s > stall_s:
            break
    else:
        age_s, doing = stall_s, "it says nothing"
    raise StalledError(
        f"the engine has not got on for {age_s:.0f} s ({doing}) -> see engine.log, and start the site again"
    )


def _may_read(connection: socket.socket, patience_s: float) -> bool:
    return bool(select.select([connection], [], [], patience_s)[0])
