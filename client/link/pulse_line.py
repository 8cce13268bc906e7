"""How an engine says, on the socket to the link, that it still computes and when it last got on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import ProtocolError
from common.runtime.pulse import Pulse, mark_progress, read_pulse

_TELL_S = 15.0
"""Between two such lines."""
_MOST_WORDS = 200


def write_pulse_line(pulse: Pulse) -> bytes:
    """Seconds since the work last got on, and what it is."""
    return f"{pulse.age_s:.0f} {pulse.doing}"[:_MOST_WORDS].encode()


def read_pulse_line(body: bytes) -> tuple[float, str]:
    """Seconds since the work last got on, and what it is.

    Raises
    ------
    ProtocolError
        If it is no such line.
    """
    try:
        age, _, doing = body[: 4 * _MOST_WORDS].decode().partition(" ")
        return float(int(age)), doing
    except ValueError:
        raise ProtocolError("what came is no message of rhe") from None


@contextmanager
def tell_progress(tell: Callable[[bytes], None]) -> Iterator[None]:
    """A context in which a line is told now and then, from another thread, which has ended afterwards.

    Parameters
    ----------
    tell : callable
        Sends a line; what it raises ends the telling, not the work.
    """
    mark_progress("a question has come")
    ending = threading.Event()

    def repeat() -> None:
        while not ending.wait(_TELL_S):
            try:
                tell(write_pulse_line(read_pulse()))
            except ProtocolError:
                return

    teller = threading.Thread(target=repeat, name="progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ending.set()
        teller.join()
