"""Which threads a test module leaves behind: they would run on beneath the tests of another module."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection


def find_threads_left(before: Collection[threading.Thread], grace_s: float = 30.0) -> list[threading.Thread]:
    """The threads that still run and are none of `before`.

    Parameters
    ----------
    before : collection of Thread
        The threads that may run.
    grace_s : float
        Seconds that a thread which was told to end has to end in.
    """
    deadline = time.monotonic() + grace_s
    while True:
        left = [thread for thread in threading.enumerate() if thread not in before]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def describe_thread(thread: threading.Thread) -> str:
    """A thread's name and what it runs."""
    target = getattr(thread, "_target", None)
    return f"{thread.name} ({getattr(target, '__qualname__', type(thread).__name__)})"
