"""A site's folder for one study: a killed process loses nothing, and nothing is kept longer than needed.

::

    ledger                what was released (history.py); append-only
    audit.jsonl           what left, and what was refused; append-only; a hospital's is in its ledger
    roster                the approved roster
    <phase>.model.<hash>  the model of a training's next round (kept_models.py)
    evidence.<hash>       a message of the coordinator by which a sum was found false
    <phase>/state         keys, set, attempt of the open round or session
    <phase>/encoded.<i>   a round's vectors before masking
    <phase>/reply.<hash>  a session's last answer, masked

Beside the folder, and never restored together with it, lies the witness: how far all of this had come.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from pydantic import ValidationError

from common.errors import RheError
from common.runtime.chained_file import START, ChainedFile, ChainedLine, DamagedChainError
from common.runtime.hash_beside import hash_beside
from common.runtime.storage import (
    make_private_folder,
    sync_folder,
    write_atomically,
    write_pieces_atomically,
)
from common.secagg.codes import SecAggError
from common.secagg.crypto.rings import Vector, Words
from common.secagg.site.history import Burned, History, LedgerEntry
from common.secagg.site.kept_models import KeptModels
from common.secagg.site.seen_files import SeenFiles
from common.secagg.site.state import SiteState, read_state
from common.secagg.wire.frames import Bytes, sha256
from common.secagg.wire.messages import CanonicalDocument, Digest, Natural

HISTORY_FILE = "ledger"
"""Name of the file of what was released."""


class Witness(CanonicalDocument):
    """How far a site had come; a folder that is behind its witness was restored from a backup."""

    entries: Natural
    """Number of lines in the ledger."""
    head: Digest = START
    """SHA-256 of the last of them."""
    sequences: dict[str, Natural]
    """Serial number of each phase's last state, by the name of the phase's folder."""


class AuditLog(Protocol):
    """Where the protocol's lines are written."""

    def append(self, fields: Mapping[str, object], /) -> None:
        """Write a line; it is on the disk when this returns."""


class SiteFiles:
    """One site's folder for one study.

    Parameters
    ----------
    folder : Path
        Only the site's own processes may enter it.
    witness : Path, optional
        A file outside the folder and outside its backup; by default beside the folder.
    audit : AuditLog, optional
        The site's own log, where it has one; by default `audit.jsonl` in the folder.

    Attributes
    ----------
    folder : Path
        Where all of this is kept.
    audit : AuditLog
        Records what left and what was refused.
    history : History
        The ledger's entries.
    """

    def __init__(self, folder: Path, witness: Path | None = None, audit: AuditLog | None = None) -> None:
        self.folder = make_private_folder(folder)
        self.audit: AuditLog = audit or ChainedFile(folder / "audit.jsonl")
        self.history = History()
        self._ledger = ChainedFile(folder / HISTORY_FILE, self._notice)
        self._witness = witness or folder.with_name(f"{folder.name}.witness")
        self._sequences: dict[str, int] = {}
        self._seen = SeenFiles()

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

    @contextmanager
    def lock_unchecked(self) -> Iterator[None]:
        """Like `lock`, but whatever the state of the files: for erasing, which must always be possible.

        Raises
        ------
        SecAggError
            E_BUSY if another process or thread is in it.
        """
        handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock_handle(handle)
            yield
        finally:
            os.close(handle)

    def _notice(self, line: ChainedLine) -> None:
        self.history.notice({name: line[name] for name in line if name not in {"number", "previous"}})

    def record(self, entry: LedgerEntry) -> None:
        """Append an entry to the ledger.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if an earlier one was altered.
        """
        with _name_damage():
            self._ledger.append(entry.model_dump(mode="json"))

    def describe_history(self) -> dict[str, object]:
        """How far the ledger has come, for a line of the audit to bear witness; nothing before it is read."""
        if not self._ledger.count:
            return {}
        return {"history": {"lines": self._ledger.count, "head": self._ledger.head}}

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
        for path in self.list_folders():
            with suppress(SecAggError):
                states.append(self._read(path))
        return [state for state in states if state is not None]

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
        self.wipe_folder(path)
        return True

    def wipe_folder(self, path: Path) -> None:
        """Erase one of `list_folders`; its state does not come back."""
        _erase(path)
        self._sequences[path.name] = self._sequences.get(path.name, 0) + 1

    def keep_words(self, phase: str, number: int, pieces: Iterable[Words]) -> str:
        """Keep an encoded vector, which comes in pieces, and return its SHA-256, 64 hexadecimal digits.

        Its name is on the disk once `sync_words` returns.
        """
        path = self._path_of(phase) / f"encoded.{number}"
        make_private_folder(path.parent)
        with hash_beside() as beside:

            def list_bytes() -> Iterator[memoryview]:
                for words in pieces:
                    beside.add(words.data.cast("B"))
                    yield words.data.cast("B")

            write_pieces_atomically(path, list_bytes(), private=True, is_last=False)
            digest = beside.end()
        self._seen.note(path, digest, path.stat().st_size)
        return digest

    def sync_words(self, phase: str) -> None:
        """See to it that all encoded vectors of a phase are on the disk."""
        sync_folder(self._path_of(phase))

    def fill_words(self, phase: str, number: int, words: Words) -> str:
        """Read an encoded vector into `words`, and return its SHA-256, 64 hexadecimal digits.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if the file is gone or has another length.
        """  # noqa: DOC501 - `_damage_error` is one
        path, into = self._path_of(phase) / f"encoded.{number}", words.data.cast("B")
        try:
            with path.open("rb") as file:
                if file.readinto(into) != len(into) or file.read(1):
                    raise _damage_error()
            # Looked at after it was read: so these are the bytes whose digest is known
            known = self._seen.find(path, len(into))
        except OSError:
            raise _damage_error() from None
        return known or sha256(into)

    def map_words(self, phase: str, number: int, vector: Vector) -> tuple[Words, str]:
        """An encoded vector where it lies on the disk, read-only, and its SHA-256, 64 hexadecimal digits.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if the file is gone or has another length.
        """  # noqa: DOC501 - `_damage_error` is one
        path = self._path_of(phase) / f"encoded.{number}"
        try:
            if path.stat().st_size != vector.words * vector.dtype.itemsize:
                raise _damage_error()
            words = np.memmap(path, vector.dtype, mode="r")
            known = self._seen.find(path, words.nbytes)
        except OSError:
            raise _damage_error() from None
        return words, known or sha256(words.data.cast("B"))

    def erase_words(self, phase: str) -> None:
        """Erase the encoded vectors of a phase."""
        for file in self._path_of(phase).glob("*encoded.*"):
            self._seen.forget(file)
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

    def models_of(self, phase: str) -> KeptModels:
        """What the site keeps of the phase's models between its rounds."""
        return KeptModels(self.folder, phase, self._seen)

    def keep_evidence(self, message: Bytes) -> Path:
        """Keep a message by which a sum was found false, for good; return where it lies."""
        path = self.folder / f"evidence.{sha256(message)}"
        keep_file(path, message)
        return path

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
            for path in self.list_folders():
                _erase(path)
            self.record(Burned())
            self._write_witness()
            self.audit.append({"event": "BURNED", "time": int(time.time()), **self.describe_history()})

    @contextmanager
    def _lock_alone(self) -> Iterator[None]:
        with self.lock_unchecked():
            with _name_damage():
                self._ledger.refresh()
            yield

    def _write_witness(self) -> None:
        count, head = self._ledger.count, self._ledger.head
        witness = Witness(entries=count, head=head, sequences=self._sequences)
        if witness != self._read_witness():
            write_atomically(self._witness, witness.body(), private=True)

    def _check_witness(self) -> None:
        known = self._read_witness()
        entries, head = (0, START) if known is None else (known.entries, known.head)
        if self._ledger.count < entries or (known is None and self._ledger.count):
            raise _restore_error()
        if self._ledger.digest_of(entries) != head:
            raise _damage_error()
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

    def list_folders(self) -> list[Path]:
        """The folder of every phase that has something on the disk."""
        return sorted(path for path in self.folder.iterdir() if path.is_dir())


def _lock_handle(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SecAggError("another message is being answered", code="E_BUSY") from None


@contextmanager
def _name_damage() -> Iterator[None]:
    """A context in which a damaged chain is named as the protocol names it.

    Raises
    ------
    SecAggError
        E_STATE_CORRUPT.
    """
    try:
        yield
    except DamagedChainError as damage:
        raise SecAggError(str(damage), code="E_STATE_CORRUPT") from None


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
