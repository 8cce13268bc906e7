"""Opening files that others name: a pipe or a device in their place is refused and never waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """The file, opened for reading; links are followed.

    Raises
    ------
    OSError
        If it is not there, no regular file, or cannot be opened.
    """
    # A device is not even opened; a pipe that takes the file's place meanwhile is opened without waiting
    _require_regular(path.stat())
    # pydicom opens the file again by the stream's name, which a descriptor has not
    stream = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - closed below, or by whoever asked
    try:
        _require_regular(os.fstat(stream.fileno()))
    except OSError:
        stream.close()
        raise
    return stream


def read_regular(path: Path) -> bytes:
    """The whole content of the file.

    Raises
    ------
    OSError
        If it is not there, no regular file, or cannot be read.
    """
    with open_regular(path) as stream:
        return stream.read()


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no file")
