"""The process that writes a child's output to its log: lines with times, no colours, files of bounded size.

It stands at the other end of a pipe, so that also what a library or an interpreter that dies prints is in the
log; and it runs as the child's user, so that no link in that user's folder leads it to another file.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from common.runtime.log_lines import BACKUPS, LOG_BYTES, clean_line, name_backup, open_log, stamp_time

KEPT_VARIABLE = "RHE_LOG_IS_KEPT"
"""Environment variable that tells a child that its output gets the times here."""
LINE_BYTES = 64 * 1024
"""Length at which an endless line is broken."""


@dataclass
class LogKeeper:
    """A log on the disk.

    Attributes
    ----------
    path : Path
        The file that is written.
    limit : int
        Bytes at which the file is put aside.
    backups : int
        How many files that were put aside are kept.
    """

    path: Path
    limit: int = LOG_BYTES
    backups: int = BACKUPS

    def keep(self, source: BinaryIO) -> None:
        """Write every line of the source, until it ends.

        A line that cannot be written (the disk is full) is lost: a child never waits for its log.
        """
        for line in _split_lines(source):
            with suppress(OSError):
                self._write(f"{stamp_time()} ".encode() + clean_line(line) + b"\n")

    def _write(self, line: bytes) -> None:
        with suppress(FileNotFoundError):
            if self.path.stat().st_size + len(line) > self.limit:
                self._put_aside()
        handle = open_log(self.path)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def _put_aside(self) -> None:
        for number in range(self.backups - 1, 0, -1):
            with suppress(FileNotFoundError):
                name_backup(self.path, number).replace(name_backup(self.path, number + 1))
        self.path.replace(name_backup(self.path))


def _split_lines(source: BinaryIO) -> Iterator[bytes]:
    while line := source.readline(LINE_BYTES):
        yield line.rstrip(b"\r\n")


def _keep_until_the_end() -> None:
    # It ends when everybody who writes has ended: their last words are what matters
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    LogKeeper(Path(sys.argv[1])).keep(sys.stdin.buffer)


if __name__ == "__main__":
    _keep_until_the_end()
