"""Reading a file that somebody handed over: a card, an invitation, a proposal, a roster, a waiver."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import ProtocolError
from common.runtime.accounts import account_of
from common.runtime.regular_file import read_regular


def read_handed_file(path: Path) -> bytes:
    """What the file holds.

    Raises
    ------
    ProtocolError
        If it is not there, no regular file, or closed to the user as whom this process reads.
    """
    try:
        return read_regular(path)
    except FileNotFoundError:
        raise ProtocolError(f"{path}: no such file -> correct the path") from None
    except PermissionError:
        user = account_of(os.geteuid()).name
        raise ProtocolError(
            f"{path}: user {user} may not read it, or not enter a folder above it -> copy it to where {user} "
            f"reads, and give it the right: chmod a+r {path.name}"
        ) from None
    except OSError as failure:
        raise ProtocolError(
            f"{path}: cannot be read ({failure.strerror}) -> give the file itself, as it was handed over"
        ) from None


@contextmanager
def name_in_faults(path: Path, kind: str) -> Iterator[None]:
    """Say of a message that cannot be read in which file it is, and what the file should have been.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What it should be, with its usual name.

    Raises
    ------
    ProtocolError
        For each that is raised within, with the file's name and what to do.
    """
    try:
        yield
    except ProtocolError as failure:
        raise ProtocolError(
            f"{path}: is no {kind} ({failure}) -> give that file, or ask for it again"
        ) from None
