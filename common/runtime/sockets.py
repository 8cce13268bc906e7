"""Where Unix-domain sockets lie: their paths may have at most 107 bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

_LIMIT = 100
"""Bytes; a socket's name may grow a little while it is made."""


def shorten_socket_path(path: Path) -> Path:
    """The path itself, or, where it is too long, one of the same name in a folder of its own for short paths.

    The folder's name follows from the path, so that both ends find it; whoever listens makes it private.
    """
    absolute = path.resolve()
    if len(os.fsencode(absolute)) <= _LIMIT:
        return absolute
    name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"rhe-{name}" / path.name
