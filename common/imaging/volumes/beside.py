"""The data file that a header names: it lies beside the header, whatever the header says."""

from __future__ import annotations

from pathlib import Path

from common.errors import ScanError

_LONGEST_NAME = 255
"""Bytes of the longest name that file systems know."""


def find_data_file(header: Path, name: str) -> Path:
    """The file of this name in the header's folder.

    A header comes from elsewhere: it must not make a site read other files than those it was given.

    Raises
    ------
    ScanError
        If the name is not that of one file in this folder, links included, or there is none.
    """
    unusual = any(sign in "/\\:%" or ord(sign) < ord(" ") for sign in name)
    if unusual or name in {"", ".", ".."} or len(name.encode()) > _LONGEST_NAME:
        raise ScanError(
            f"{header}: names {name[:60]!r} as its data file -> put the data file into the header's folder "
            "and write its name alone"
        )
    path = header.parent / name
    if not path.exists():
        raise ScanError(f"{header}: no {name!r} beside it -> copy both files")
    if not path.is_file() or path.resolve().parent not in {header.parent.resolve(), header.resolve().parent}:
        what = f"{name!r} is a link out of the folder, or no file"
        raise ScanError(f"{header}: {what} -> put the file itself there")
    return path
