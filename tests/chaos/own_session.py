"""What a process that plays studies does first; few imports, so that it does it soon."""

from __future__ import annotations

import os
import signal
import sys


def stand_apart() -> None:
    """Give this process a session of its own: Linux shares a machine out among sessions."""
    os.setsid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
