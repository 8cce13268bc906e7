"""A site's folder for one study, in which nothing is lost to a killed process and nothing outlives its use.

::

    ledger                what was released (releases.py); append-only
    audit.jsonl           what left, and what was refused; append-only
    roster                as approved
    <phase>/state         keys, set, attempt of the open round or session
    <phase>/encoded.<i>   a round's vectors before masking
    <phase>/reply.<hash>  a session's last answer, masked

Beside the folder, and never restored with it, lies the witness: how far all of this had come.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from common.errors import RheError
from common.secagg.audit import Chain
from common.secagg.errors import SecAggError
from common.secagg.history import Burned, History, LedgerEntry
from common.secagg.messages import Count, Header
from common.secagg.state import State, read_state
from common.secagg.vectors import Words
from common.secagg.wire import Bytes, sha256
from common.storage import private_folder, write_atomically


class Witness(Header):
    """How far a site had come; a folder that lags behind was restored from a backup."""

    entries: Count
    """Lines of the ledger."""
    sequences: dict[str, Count]
    """Of each phase's last state."""


class SiteFiles:
    """One site's folder for one study.

    Parameters
    ----------
    folder : Path
        Only the site's own process may enter it.
    witness : Path, optional
        Outside the folder, and outside what is backed up with it; beside it where none is given.

    Attributes
    ----------
    folder : Path
    audit : Chain
    history : History
        What the ledger says.
    """

    def __init__(self, folder: Path, witness: Path | None = None) -> None:
        self.folder = private_folder(folder)
        self.audit = Chain(folder / "audit.jsonl")
        self.history = History()
        self._ledger = Chain(folder / "ledger", self.history.notice)
        self._witness = witness or folder.with_name(f"{folder.name}.witness")
        self._sequences: dict[str, int] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A context that one process, and one thread, can be in; what was written is witnessed at its end.

        Raises
        ------
        SecAggError
            E_BUSY if another is in it; E_RESTORED if the folder lags behind its witness;
            E_STATE_CORRUPT if the ledger or the witness is damaged.
        """
        with self._alone():
            self._check_witness()
            try:
                yield
            except RheError:
                # What was wiped before a refusal must not come back either
                self._bear_witness()
                raise
            self._bear_witness()

    def record(self, entry: LedgerEntry) -> None:
        """Adds an entry to the ledger."""
        self._ledger.append(entry.model_dump(mode="json"))

    def read(self, phase: str) -> State | None:
        """The phase's open round or session, or None.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if it is damaged; E_RESTORED if a later one was witnessed.
        """
        return self._read(self._path(phase))

    def read_all(self) -> list[State]:
        """Every open round and session."""
        states = (self._read(path) for path in self._phases())
        return [state for state in states if state is not None]

    def write(self, state: State) -> None:
        """Keeps the state; it is on the disk when this returns."""
        path = self._path(state.asked.phase)
        sequence = self._sequences.get(path.name, 0) + 1
        keep_file(path / "state", state.model_copy(update={"sequence": sequence}).body())
        self._sequences[path.name] = sequence

    def wipe(self, phase: str) -> bool:
        """Erases whatever the phase has open; returns whether there was anything."""
        path = self._path(phase)
        if not path.is_dir():
            return False
        _erase(path)
        self._sequences[path.name] = self._sequences.get(path.name, 0) + 1
        return True

    def keep_words(self, phase: str, number: int, words: Words) -> str:
        """Keeps an encoded vector; returns its SHA-256."""
        data = words.data.cast("B")
        keep_file(self._path(phase) / f"encoded.{number}", data)
        return sha256(data)

    def fill_words(self, phase: str, number: int, words: Words) -> str:
        """Reads an encoded vector into `words`; returns its SHA-256.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if it is gone or has another length.
        """
        into = words.data.cast("B")
        try:
            with (self._path(phase) / f"encoded.{number}").open("rb") as file:
                if file.readinto(into) != len(into) or file.read(1):
                    raise _damaged()
        except OSError:
            raise _damaged() from None
        return sha256(into)

    def erase_words(self, phase: str) -> None:
        """Erases the encoded vectors."""
        for file in self._path(phase).glob("*encoded.*"):
            file.unlink()

    def keep_reply(self, phase: str, reply: Bytes) -> str:
        """Keeps a session's answer; returns its SHA-256."""
        digest = sha256(reply)
        keep_file(self._path(phase) / f"reply.{digest}", reply)
        return digest

    def read_reply(self, phase: str, digest: str) -> bytes:
        """The answer of this SHA-256.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if it is gone or altered.
        """
        try:
            reply = (self._path(phase) / f"reply.{digest}").read_bytes()
        except OSError:
            raise _damaged() from None
        if sha256(reply) != digest:
            raise _damaged()
        return reply

    def drop_replies(self, phase: str, but: str) -> None:
        """Erases all answers but the one of this SHA-256."""
        for file in self._path(phase).glob("*reply.*"):
            if file.name != f"reply.{but}":
                file.unlink()

    def keep_roster(self, message: bytes) -> None:
        """Keeps the roster that the site approved."""
        keep_file(self.folder / "roster", message)

    def read_roster(self) -> bytes | None:
        """The roster that the site approved last, or None."""
        path = self.folder / "roster"
        return path.read_bytes() if path.exists() else None

    def burn(self) -> None:
        """Wipes every open round after a restore; a waiver is needed to go on.

        Raises
        ------
        SecAggError
            E_BUSY if a message is being answered; E_STATE_CORRUPT if the ledger or the witness is damaged.
        """
        with self._alone():
            known = self._read_witness()
            self._sequences = {} if known is None else dict(known.sequences)
            for path in self._phases():
                _erase(path)
            self.record(Burned())
            self._bear_witness()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _take(handle)
            self._ledger.refresh()
            yield
        finally:
            os.close(handle)

    def _bear_witness(self) -> None:
        witness = Witness(entries=self._ledger.count, sequences=self._sequences)
        if witness != self._read_witness():
            write_atomically(self._witness, witness.body(), private=True)

    def _check_witness(self) -> None:
        known = self._read_witness()
        entries = 0 if known is None else known.entries
        if self._ledger.count < entries or (known is None and self._ledger.count):
            raise _restored()
        self._sequences = {} if known is None else dict(known.sequences)

    def _read_witness(self) -> Witness | None:
        try:
            return Witness.model_validate_json(self._witness.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            raise SecAggError("the site's witness is damaged", code="E_STATE_CORRUPT") from None

    def _read(self, path: Path) -> State | None:
        try:
            data = (path / "state").read_bytes()
        except FileNotFoundError:
            return None
        state = read_state(data)
        if state.sequence < self._sequences.get(path.name, 0):
            raise _restored()
        self._sequences[path.name] = state.sequence
        return state

    def _path(self, phase: str) -> Path:
        return self.folder / sha256(phase.encode("ascii"))[:24]

    def _phases(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_dir())


def _take(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SecAggError("another message is being answered", code="E_BUSY") from None


def keep_file(path: Path, content: Bytes) -> None:
    """Writes a private file in a private folder, whole or not at all; it is on the disk when this returns."""
    private_folder(path.parent)
    # A file takes any buffer; a copy of a large vector would double the memory
    write_atomically(path, cast("bytes", content), private=True)


def _erase(path: Path) -> None:
    # The state last: while it is there, whoever comes next knows that there is something to erase
    for file in sorted(path.iterdir(), key=lambda entry: entry.name == "state"):
        file.unlink()
    path.rmdir()


def _damaged() -> SecAggError:
    return SecAggError("what a site kept of a round was altered or is gone", code="E_STATE_CORRUPT")


def _restored() -> SecAggError:
    return SecAggError(
        "the folder is older than its witness: it was restored -> burn it, and ask for a waiver",
        code="E_RESTORED",
    )
