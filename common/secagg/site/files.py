"""A site's folder for one study: a killed process loses nothing, and nothing is kept longer than needed.

::

    ledger                what was released (history.py); append-only
    audit.jsonl           what left, and what was refused; append-only
    roster                the approved roster
    <phase>/state         keys, set, attempt of the open round or session
    <phase>/encoded.<i>   a round's vectors before masking
    <phase>/reply.<hash>  a session's last answer, masked

Beside the folder, and never restored together with it, lies the witness: how far all of this had come.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from common.errors import RheError
from common.runtime.storage import make_private_folder, write_atomically
from common.secagg.codes import SecAggError
from common.secagg.crypto.rings import Words
from common.secagg.site.chain import Chain
from common.secagg.site.history import Burned, History, LedgerEntry
from common.secagg.site.state import SiteState, read_state
from common.secagg.wire.frames import Bytes, sha256
from common.secagg.wire.messages import CanonicalDocument, Natural


class Witness(CanonicalDocument):
    """How far a site had come; a folder that is behind its witness was restored from a backup."""

    entries: Natural
    """Number of lines in the ledger."""
    sequences: dict[str, Natural]
    """Serial number of each phase's last state, by the name of the phase's folder."""


class SiteFiles:
    """One site's folder for one study.

    Parameters
    ----------
    folder : Path
        Only the site's own processes may enter it.
    witness : Path, optional
        A file outside the folder and outside its backup; by default beside the folder.

    Attributes
    ----------
    folder : Path
        Where all of this is kept.
    audit : Chain
        Records what left and what was refused.
    history : History
        The ledger's entries.
    """

    def __init__(self, folder: Path, witness: Path | None = None) -> None:
        self.folder = make_private_folder(folder)
        self.audit = Chain(folder / "audit.jsonl")
        self.history = History()
        self._ledger = Chain(folder / "ledger", self.history.notice)
        self._witness = witness or folder.with_name(f"{folder.name}.witness")
        self._sequences: dict[str, int] = {}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """A context that only one process and thread can be in; the witness is brought up to date at its end.

        Raises
        ------
        SecAggError
            E_BUSY if another one is in it; E_RESTORED if the folder is behind its witness;
            E_STATE_CORRUPT if the ledger or the witness is damaged.
        RheError
            Whatever the work inside is refused with.
        """
        with self._lock_alone():
            self._check_witness()
            try:
                yield
            except RheError:
                # What was wiped before a refusal must not come back from a backup either
                self._write_witness()
                raise
            self._write_witness()

    def record(self, entry: LedgerEntry) -> None:
        """Append an entry to the ledger."""
        self._ledger.append(entry.model_dump(mode="json"))

    def read(self, phase: str) -> SiteState | None:
        """The phase's open round or session, or None.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if it is damaged; E_RESTORED if the witness knows a later state.
        """
        return self._read(self._path_of(phase))

    def read_all(self) -> list[SiteState]:
        """Every open round and session that can be read."""
        states = []
        for path in self._list_phases():
            with suppress(SecAggError):
                states.append(self._read(path))
        return [state for state in states if state is not None]

    def wipe_orphans(self) -> bool:
        """Erase what processes left that were killed before their round was open.

        Returns whether there was anything.
        """
        orphans = [path for path in self._list_phases() if not (path / "state").exists()]
        for path in orphans:
            _erase(path)
        return bool(orphans)

    def write(self, state: SiteState) -> None:
        """Keep the state; it is on the disk when this returns."""
        path = self._path_of(state.asked.phase)
        sequence = self._sequences.get(path.name, 0) + 1
        keep_file(path / "state", state.model_copy(update={"sequence": sequence}).body())
        self._sequences[path.name] = sequence

    def wipe(self, phase: str) -> bool:
        """Erase what the phase has open, and return whether there was anything."""
        path = self._path_of(phase)
        if not path.is_dir():
            return False
        _erase(path)
        self._sequences[path.name] = self._sequences.get(path.name, 0) + 1
        return True

    def keep_words(self, phase: str, number: int, words: Words) -> str:
        """Keep an encoded vector, and return its SHA-256, 64 hexadecimal digits."""
        data = words.data.cast("B")
        keep_file(self._path_of(phase) / f"encoded.{number}", data)
        return sha256(data)

    def fill_words(self, phase: str, number: int, words: Words) -> str:
        """Read an encoded vector into `words`, and return its SHA-256, 64 hexadecimal digits.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if the file is gone or has another length.
        """  # noqa: DOC501 - `_damage_error` is one
        into = words.data.cast("B")
        try:
            with (self._path_of(phase) / f"encoded.{number}").open("rb") as file:
                if file.readinto(into) != len(into) or file.read(1):
                    raise _damage_error()
        except OSError:
            raise _damage_error() from None
        return sha256(into)

    def erase_words(self, phase: str) -> None:
        """Erase the encoded vectors of a phase."""
        for file in self._path_of(phase).glob("*encoded.*"):
            file.unlink()

    def keep_reply(self, phase: str, reply: Bytes) -> str:
        """Keep a session's answer, and return its SHA-256, 64 hexadecimal digits."""
        digest = sha256(reply)
        keep_file(self._path_of(phase) / f"reply.{digest}", reply)
        return digest

    def read_reply(self, phase: str, digest: str) -> bytes:
        """The kept answer with this SHA-256.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if it is gone or altered.
        """  # noqa: DOC501 - `_damage_error` is one
        try:
            reply = (self._path_of(phase) / f"reply.{digest}").read_bytes()
        except OSError:
            raise _damage_error() from None
        if sha256(reply) != digest:
            raise _damage_error()
        return reply

    def drop_replies(self, phase: str, but: str) -> None:
        """Erase all answers but the one with this SHA-256."""
        for file in self._path_of(phase).glob("*reply.*"):
            if file.name != f"reply.{but}":
                file.unlink()

    def keep_roster(self, message: bytes) -> None:
        """Keep the roster that the site approved, as it was signed."""
        keep_file(self.folder / "roster", message)

    def read_roster(self) -> bytes | None:
        """The signed roster that the site approved last, or None."""
        path = self.folder / "roster"
        return path.read_bytes() if path.exists() else None

    def burn(self) -> None:
        """Wipe every open round after a restore; a waiver is needed to go on.

        Raises
        ------
        SecAggError
            E_BUSY if a message is being answered; E_STATE_CORRUPT if the ledger or the witness is damaged.
        """
        with self._lock_alone():
            known = self._read_witness()
            self._sequences = {} if known is None else dict(known.sequences)
            for path in self._list_phases():
                _erase(path)
            self.record(Burned())
            self._write_witness()

    @contextmanager
    def _lock_alone(self) -> Iterator[None]:
        handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock_handle(handle)
            self._ledger.refresh()
            yield
        finally:
            os.close(handle)

    def _write_witness(self) -> None:
        witness = Witness(entries=self._ledger.count, sequences=self._sequences)
        if witness != self._read_witness():
            write_atomically(self._witness, witness.body(), private=True)

    def _check_witness(self) -> None:
        known = self._read_witness()
        entries = 0 if known is None else known.entries
        if self._ledger.count < entries or (known is None and self._ledger.count):
            raise _restore_error()
        self._sequences = {} if known is None else dict(known.sequences)

    def _read_witness(self) -> Witness | None:
        try:
            return Witness.model_validate_json(self._witness.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            raise SecAggError("the site's witness is damaged", code="E_STATE_CORRUPT") from None

    def _read(self, path: Path) -> SiteState | None:
        try:
            data = (path / "state").read_bytes()
        except FileNotFoundError:
            return None
        state = read_state(data)
        if state.sequence < self._sequences.get(path.name, 0):
            raise _restore_error()
        self._sequences[path.name] = state.sequence
        return state

    def _path_of(self, phase: str) -> Path:
        return self.folder / sha256(phase.encode("ascii"))[:24]

    def _list_phases(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_dir())


def _lock_handle(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SecAggError("another message is being answered", code="E_BUSY") from None


def keep_file(path: Path, content: Bytes) -> None:
    """Write a private file, completely or not at all; it is on the disk when this returns."""
    make_private_folder(path.parent)
    # A file takes any buffer; a copy of a large vector would double the memory
    write_atomically(path, cast("bytes", content), private=True)


def _erase(path: Path) -> None:
    # The state last: while it is there, whoever comes next knows that there is something to erase
    for file in sorted(path.iterdir(), key=lambda entry: entry.name == "state"):
        file.unlink()
    path.rmdir()


def _damage_error() -> SecAggError:
    return SecAggError("what a site kept of a round was altered or is gone", code="E_STATE_CORRUPT")


def _restore_error() -> SecAggError:
    return SecAggError(
        "the folder is older than its witness: it was restored -> burn it, and ask for a waiver",
        code="E_RESTORED",
    )
