"""Where Unix-domain sockets lie: their paths may have at most 107 bytes."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from common.errors import StorageError

_LIMIT = 100
"""Bytes; a socket's name may grow a little while it is made."""


def shorten_socket_path(path: Path) -> Path:
    """The path itself, or, where it is too long, one of the same name in a folder of its own for short paths.

    The folder's name follows from the path, so that both ends find it; whoever listens makes it private.

    Raises
    ------
    StorageError
        If somebody else has made that folder: what listens there is not ours.
    """
    absolute = path.resolve()
    if len(os.fsencode(absolute)) <= _LIMIT:
        return absolute
    name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"rhe-{name}"
    with suppress(FileNotFoundError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _owner_above(absolute):
            raise StorageError(
                f"{folder} belongs to another user -> a path of at most {_LIMIT} bytes for {path.parent}"
            )
    return folder / path.name


def _owner_above(path: Path) -> int:
    """Who owns the nearest folder above that exists."""
    return next(folder for folder in path.parents if folder.exists()).stat().st_uid
