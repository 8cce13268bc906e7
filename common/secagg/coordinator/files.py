"""What the server keeps of one round or session, so that it can go on after it was killed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from common.errors import ProtocolError, ResumeError
from common.runtime.storage import make_private_folder, write_pieces_atomically
from common.secagg.crypto.encoding import check_canary, decode
from common.secagg.crypto.masks import Sign, add_words
from common.secagg.crypto.rings import Vector, Words
from common.secagg.site.files import keep_file
from common.secagg.wire.frames import Bytes, make_zeros
from common.secagg.wire.messages import CanonicalDocument, RoundRequest, read_header
from common.secagg.wire.payload import count_payload_bytes, layout_of, read_layout, view_words
from common.types import Counts, Reals

Sums: TypeAlias = dict[str, Counts | Reals]
"""Opened sums by the vector's name."""


class ServerRecord(CanonicalDocument):
    """What the server keeps of a round or session."""

    request: RoundRequest
    """M1's header; the deadline is that of the first start."""


RecordKind = TypeVar("RecordKind", bound=ServerRecord)

_LONGEST = 1 << 26


class Total:
    """A running sum of several sites' vectors; only one message at a time is in memory beside it.

    Attributes
    ----------
    vectors : tuple of Vector
        Which arrays are summed.
    payload : memoryview
        The words of all sums, laid out as in a contribution.
    words : list of Words
        Views of the payload: one flat array of uint32 or uint64 for each vector.
    """

    def __init__(self, vectors: Sequence[Vector], payload: memoryview | None = None) -> None:
        self.vectors = tuple(vectors)
        self.payload = make_zeros(count_payload_bytes(vectors)) if payload is None else payload
        self.words: list[Words] = view_words(vectors, self.payload)

    def add(self, words: Sequence[Words], sign: Sign = 1) -> None:
        """Add a site's words, or take them away again (-1)."""
        for vector, into, more in zip(self.vectors, self.words, words, strict=True):
            add_words(into, more, vector.ring, sign)

    def decode_sums(self, *, without_deltas: bool = False) -> Sums:
        """The sums as numbers; without those of model deltas if they are to stay words.

        Raises
        ------
        SecAggError
            S_CANARY if masks are left in them.
        """
        self.check_canaries()
        pairs = zip(self.vectors, self.words, strict=True)
        return {
            vector.name: decode(vector, words)
            for vector, words in pairs
            if not (without_deltas and vector.is_delta)
        }

    def check_canaries(self) -> None:
        """Refuse sums in which masks are left.

        Raises
        ------
        SecAggError
            S_CANARY.
        """
        for vector, words in zip(self.vectors, self.words, strict=True):
            check_canary(vector, words)


class ServerFiles:
    """The folder of one round or session; no other may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = make_private_folder(folder)

    def begin(self, new: RecordKind) -> RecordKind:
        """The record that was kept of the same round; if there is none, the new record, now kept.

        Raises
        ------
        ResumeError
            If the folder has another round's record, or a damaged one.
        """
        kept = self.read_record(type(new))
        if kept is None:
            self.write(new)
            return new
        # A resumed round keeps its first deadline
        if kept.request != new.request.model_copy(update={"deadline": kept.request.deadline}):
            raise ResumeError(
                f"{self._folder / 'record'}: is of another round -> give each round its own folder"
            )
        return kept

    def read_record(self, kind: type[RecordKind]) -> RecordKind | None:
        """The record that is kept, whatever round or session it is of; None if there is none.

        Raises
        ------
        ResumeError
            If it is damaged.
        """
        path = self._folder / "record"
        try:
            return read_header(path.read_bytes(), _LONGEST, kind)
        except FileNotFoundError:
            return None
        except ProtocolError:
            raise ResumeError(f"{path}: is damaged -> the round is lost; begin another") from None

    def write(self, record: ServerRecord) -> None:
        """Keep the record; it is on the disk when this returns."""
        keep_file(self._folder / "record", record.body())

    def keep_total(self, name: str, total: Total) -> None:
        """Keep a sum with its layout; both are on the disk when this returns."""
        keep_file(self._folder / f"{name}.layout", layout_of(total.vectors))
        keep_file(self._folder / name, total.payload)

    def keep_pieces(self, name: str, pieces: Iterable[Bytes]) -> None:
        """Keep the sum of a round, whose record has the vectors; it is on the disk when this returns.

        If the pieces raise, nothing is kept.
        """
        write_pieces_atomically(self._folder / name, pieces, private=True)

    def locate(self, name: str) -> Path:
        """Where a sum lies."""
        return self._folder / name

    def read_total(self, name: str, vectors: Sequence[Vector] | None = None) -> Total:
        """The sum that `keep_total` kept, or `keep_pieces`, which needs the vectors.

        Raises
        ------
        ResumeError
            If the file is gone or damaged.
        """
        try:
            layout = self._folder / f"{name}.layout"
            known = read_layout(layout.read_bytes()) if vectors is None else vectors
            payload = make_zeros(count_payload_bytes(known))
            with (self._folder / name).open("rb") as file:
                is_complete = file.readinto(payload) == len(payload) and not file.read(1)
        except (OSError, ProtocolError):
            is_complete = False
        if not is_complete:
            raise ResumeError(f"{self._folder / name}: is gone or damaged -> begin another round")
        return Total(known, payload)

    def drop_total(self, name: str) -> None:
        """Erase a sum, if it is there."""
        for file in (name, f"{name}.layout"):
            (self._folder / file).unlink(missing_ok=True)
