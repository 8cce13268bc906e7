"""Names that look alike and are written with different characters: "ö" as one character or as two."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

_WHOLE = re.compile(r"[0-9]+\.0+")


def compare_heading(text: str) -> str:
    """The text by which headings are compared: composed, of one width, without doubled blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def compare_identifier(identifier: str) -> str:
    """The text by which patients are compared: capitals do not count, and "12.0" is "12".

    Examples
    --------
    >>> compare_identifier("12.0"), compare_identifier("P1.0"), compare_identifier("012")
    ('12', 'p1.0', '012')
    """
    text = unicodedata.normalize("NFC", identifier).casefold()
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def settle_path(path: Path, root: Path) -> Path:
    """The path as the disk spells it below `root`, whatever the composition of its accents.

    A Mac writes "ö" as two characters, Windows as one; a table may have either. A path that is
    there as it was written is returned so; one that is nowhere, composed.
    """
    if path.as_posix().isascii() or _exists(path):
        return path
    settled = root
    for part in path.relative_to(root).parts:
        settled = _find_part(settled, part)
    return settled


def _find_part(folder: Path, part: str) -> Path:
    if part.isascii() or _exists(folder / part):
        return folder / part
    wanted = unicodedata.normalize("NFC", part)
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (OSError, ValueError):
        names = []
    alike = [name for name in names if unicodedata.normalize("NFC", name) == wanted]
    return folder / (alike[0] if len(alike) == 1 else wanted)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
