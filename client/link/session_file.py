"""What the link remembers of its last connection, so that a killed one does not stand in its successor's way.

Flower lets a node in only when it holds it for gone, and a killed link counts as connected for a minute more.
One that was killed here since the computer was started is certainly gone: its successor signs it off.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from common.runtime.settings_file import Section
from common.runtime.storage import lock_folder, make_private_folder, write_atomically

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class LastSession(Section):
    """The connection that was open last."""

    node: int
    """Number of the node as which the coordinator knew the site."""
    boot: str
    """Linux' name of the computer's start during which it was open; a copy elsewhere has another."""
    place: str
    """Its folder; a copy beside it has another."""
    ended: bool
    """Whether the coordinator was told of its end."""


@dataclass(frozen=True)
class SessionFile:
    """Where the last connection is remembered.

    Attributes
    ----------
    folder : Path
        A folder of its own, below the link's.
    """

    folder: Path

    def lock(self) -> AbstractContextManager[None]:
        """A context that only one link at a time can enter.

        Raises
        ------
        StorageError
            If another holds it.
        """
        return lock_folder(make_private_folder(self.folder))

    @property
    def known(self) -> int:
        """Node as which the coordinator knew the site last; 0 if it never did."""
        last = self._read()
        return 0 if last is None else last.node

    @property
    def killed(self) -> int:
        """Node of a predecessor that was killed here since the computer was started; 0 if there is none."""
        last = self._read()
        if last is None or last.ended or not last.boot:
            return 0
        return last.node if last == self._describe(last.node) else 0

    def begin(self, node: int) -> None:
        """Remember a connection that has begun.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        self._write(self._describe(node))

    def end(self) -> None:
        """Remember that the coordinator knows of its end.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        last = self._read()
        if last is not None:
            self._write(last.model_copy(update={"ended": True}))

    def _describe(self, node: int) -> LastSession:
        return LastSession(node=node, boot=_read_boot(), place=str(self.folder.resolve()), ended=False)

    @property
    def _file(self) -> Path:
        return self.folder / "session.json"

    def _read(self) -> LastSession | None:
        try:
            return LastSession.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return None

    def _write(self, session: LastSession) -> None:
        write_atomically(self._file, session.model_dump_json().encode(), private=True)


def _read_boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
