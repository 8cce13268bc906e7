"""Files whose SHA-256 this process knows, because it wrote or read all of them and nobody touched them since.

After a restart nothing is known, and whatever is read is hashed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

_Look: TypeAlias = tuple[int, ...]
"""What changes whenever a file is replaced, written, cut or restored."""


@dataclass
class SeenFiles:
    """The files of one folder, by their paths."""

    _known: dict[Path, tuple[_Look, str, int]] = field(default_factory=dict)

    def note(self, path: Path, digest: str, size: int) -> None:
        """Remember the digest of a file's first bytes, so many, which this process wrote or read just now."""
        self._known[path] = _look_at(path), digest, size

    def find(self, path: Path, size: int) -> str:
        """SHA-256 of the file's first bytes, so many, 64 hexadecimal digits; empty if it is not known.

        Raises
        ------
        OSError
            If the file is gone.
        """
        if path not in self._known:
            return ""
        look, digest, noted = self._known[path]
        return digest if noted == size and look == _look_at(path) else ""

    def forget(self, path: Path) -> None:
        """Forget a file that is erased."""
        self._known.pop(path, None)


def _look_at(path: Path) -> _Look:
    """Device, number, length and times; the last of them nobody can set."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
