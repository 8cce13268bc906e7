"""What a line of a log is, a time with its zone and words that command no terminal; where lines are kept."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from datetime import datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from common.errors import StorageError

LOG_BYTES = 5 * 1024 * 1024
"""Size at which a log is put aside and a new one is begun."""
BACKUPS = 3
"""How many logs that were put aside are kept, as NAME.1 (the newest) to NAME.3."""

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d ", re.MULTILINE)
_COLOURS = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])")


class TimedFormatter(logging.Formatter):
    """Begins each record with its time, as `stamp_time` writes it."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """The record's time; the format of the date is always the same."""
        return stamp_time(record.created)


class LogFile(RotatingFileHandler):
    """A log that this process writes itself; only its owner may read it, and its size is bounded.

    Parameters
    ----------
    path : Path
        The file; the records' lines are appended.

    Raises
    ------
    StorageError
        If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path, maxBytes=LOG_BYTES, backupCount=BACKUPS, encoding="utf-8")
        except OSError as failure:
            raise StorageError(
                f"{path}: cannot be written ({failure.strerror}) -> correct its permissions"
            ) from None
        self.setFormatter(TimedFormatter("%(asctime)s %(message)s"))

    def _open(self) -> TextIOWrapper:
        return TextIOWrapper(os.fdopen(open_log(Path(self.baseFilename)), "ab"), encoding="utf-8")


def stamp_time(seconds: float | None = None) -> str:
    """The local time with its zone, as ISO 8601 writes it: ``2026-11-29T09:15:00.123+01:00``.

    Parameters
    ----------
    seconds : float, optional
        Since 1970, UTC; by default now.
    """
    at = datetime.now().astimezone() if seconds is None else datetime.fromtimestamp(seconds).astimezone()
    return at.isoformat(timespec="milliseconds")


def remove_times(text: str) -> str:
    """Lines of a log without the times before them."""
    return _TIME.sub("", text)


def clean_line(line: bytes) -> bytes:
    r"""The line without colours; what else a terminal would obey, or no reader would see, is spelt out.

    Examples
    --------
    >>> clean_line(b"\x1b[92mINFO\x1b[0m: 20 %\r")
    b'INFO: 20 %\\x0d'
    """
    text = _COLOURS.sub(b"", line).decode("utf-8", "surrogateescape")
    return "\t".join(map(clean_text, text.split("\t"))).encode()


def clean_text(text: str) -> str:
    r"""The text on one line, with every character spelt out that is not printable.

    Those are all controls (also the second set, from U+0080 on), line ends, marks of the direction of
    writing, which turn the order of a line round, and bytes that are no UTF-8.

    Examples
    --------
    >>> clean_text("20 %\n\u202e")
    '20 %\\x0a\\u202e'
    """
    return text if text.isprintable() else "".join(map(_spell_out, text))


def _spell_out(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is no UTF-8, as `surrogateescape` tells it
        number -= 0xDC00
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def open_log(path: Path) -> int:
    """A handle that appends to a log which its owner alone can read.

    Raises
    ------
    OSError
        If it cannot be written, or is a link to another file.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with suppress(PermissionError):
        os.fchmod(handle, 0o600)
    return handle


def name_backup(log: Path, number: int = 1) -> Path:
    """Where a log lies after it was put aside; 1 is the newest."""
    return log.with_name(f"{log.name}.{number}")
