"""How an engine says, on the socket to the link, that it still computes and when it last got on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import ProtocolError
from common.runtime.pulse import Pulse, mark_progress, read_pulse

_TELL_S = 15.0
"""Between two such lines."""
_MOST_WORDS = 200
_COME = "a question has come"


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

    The same thread marks the loading of libraries as progress: an import cannot, and torch's takes minutes
    on a machine at its limit. One that stands still loads no further module, and is not marked.

    Parameters
    ----------
    tell : callable
        Sends a line; what it raises ends the telling, not the work.
    """
    mark_progress(_COME)
    ending = threading.Event()

    def repeat() -> None:
        modules, is_heard = len(sys.modules), True
        while not ending.wait(_TELL_S):
            modules = _mark_loading(modules)
            if is_heard:
                try:
                    tell(write_pulse_line(read_pulse()))
                except ProtocolError:
                    # Whoever meets the busy engine next still asks when it last got on
                    is_heard = False

    teller = threading.Thread(target=repeat, name="progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ending.set()
        teller.join()


def _mark_loading(before: int) -> int:
    """Mark progress if there are other modules than before; how many there are now."""
    now = len(sys.modules)
    if now != before:
        doing = read_pulse().doing
        mark_progress("loading libraries" if doing == _COME else doing)
    return now
