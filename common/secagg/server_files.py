"""What the server keeps of one round or session, so that it goes on after it was killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from common.errors import ProtocolError, ResumeError
from common.secagg.encoding import decode
from common.secagg.files import keep_file
from common.secagg.messages import Header, RoundRequest, read_header
from common.secagg.payload import layout_of, payload_bytes, read_layout, views
from common.secagg.vectors import Vector, Words
from common.storage import private_folder
from common.types import Counts, Reals

Sums: TypeAlias = dict[str, Counts | Reals]
"""Opened sums by the vector's name."""


class Record(Header):
    """What the server knows of a round or session."""

    request: RoundRequest


RecordKind = TypeVar("RecordKind", bound=Record)

_LONGEST = 1 << 26


class Total:
    """A running sum of the vectors of several sites; one message at a time is in memory beside it.

    Attributes
    ----------
    vectors : tuple of Vector
    payload : bytearray
    words : list of Words
        Each vector's, in the payload.
    """

    def __init__(self, vectors: Sequence[Vector], payload: bytearray | None = None) -> None:
        self.vectors = tuple(vectors)
        self.payload = bytearray(payload_bytes(vectors)) if payload is None else payload
        self.words: list[Words] = views(vectors, memoryview(self.payload))

    def decoded(self) -> Sums:
        """The sums.

        Raises
        ------
        SecAggError
            S_CANARY if masks are left in them.
        """
        pairs = zip(self.vectors, self.words, strict=True)
        return {vector.name: decode(vector, words) for vector, words in pairs}


class ServerFiles:
    """The folder of one round or session; it may not be used for another."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)

    def begin(self, new: RecordKind) -> RecordKind:
        """What was kept of the same round, or else the new record, which is kept.

        Raises
        ------
        ResumeError
            If another round's record is there, or a damaged one.
        """
        path = self._folder / "record"
        if not path.exists():
            self.write(new)
            return new
        try:
            found = read_header(path.read_bytes(), _LONGEST, type(new))
        except ProtocolError:
            raise ResumeError(f"{path}: is damaged -> the round is lost; begin another") from None
        # The deadline is the first's
        if found.request != new.request.model_copy(update={"deadline": found.request.deadline}):
            raise ResumeError(f"{path}: is of another round -> give each round its own folder")
        return found

    def write(self, record: Record) -> None:
        """Keeps it; it is on the disk when this returns."""
        keep_file(self._folder / "record", record.body())

    def keep_total(self, name: str, total: Total) -> None:
        """Keeps a sum with its layout; it is on the disk when this returns."""
        keep_file(self._folder / f"{name}.layout", layout_of(total.vectors))
        keep_file(self._folder / name, total.payload)

    def read_total(self, name: str) -> Total:
        """The sum that `keep_total` kept.

        Raises
        ------
        ResumeError
            If it is gone or damaged.
        """
        try:
            vectors = read_layout((self._folder / f"{name}.layout").read_bytes())
            payload = bytearray(payload_bytes(vectors))
            with (self._folder / name).open("rb") as file:
                whole = file.readinto(payload) == len(payload) and not file.read(1)
        except (OSError, ProtocolError):
            whole = False
        if not whole:
            raise ResumeError(f"{self._folder / name}: is gone or damaged -> begin another round")
        return Total(vectors, payload)

    def drop_total(self, name: str) -> None:
        """Erases it, if it is there."""
        for file in (name, f"{name}.layout"):
            (self._folder / file).unlink(missing_ok=True)
