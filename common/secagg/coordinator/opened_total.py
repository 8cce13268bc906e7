"""A round's sums from the masked to the opened, and which of them come back to members."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from common.secagg.coordinator.files import Total
from common.secagg.crypto.masks import Sign, Suite, mask_chunks
from common.secagg.crypto.rings import Vector
from common.secagg.wire.frames import Bytes, sha256
from common.secagg.wire.messages import Tag
from common.secagg.wire.payload import cut_rooms


@dataclass(frozen=True)
class OpenedTotal:
    """A round's opened sums.

    Attributes
    ----------
    total : Total
        Their words.
    digest : str
        SHA-256 of those that come back, one after the other, 64 hexadecimal digits; empty if not known yet.
    """

    total: Total
    digest: str = ""

    def locate(self, returned: Sequence[str]) -> tuple[tuple[int, int], ...]:
        """Where in the payload the sums of the vectors of these names begin and end."""
        places, start = [], 0
        for vector, room in zip(self.total.vectors, self._cut_rooms(), strict=True):
            if vector.name in returned:
                places.append((start, start + len(room)))
            start += len(room)
        return tuple(places)

    def view(self, returned: Sequence[str]) -> list[memoryview]:
        """The sums of the vectors of these names, not copied."""
        return [self.total.payload[start:stop] for start, stop in self.locate(returned)]

    def describe(self, returned: Sequence[str], tags: Sequence[Tag]) -> dict[str, object]:
        """The fields of a CLOSE that brings these sums back.

        Parameters
        ----------
        returned : sequence of str
            The vectors' names.
        tags : sequence of Tag
            The opened tag of every vector of the round.
        """
        sums = self.view(returned)
        pairs = zip(self.total.vectors, tags, strict=True)
        return {
            "tags": tuple(tag for vector, tag in pairs if vector.name in returned),
            "sums": self.digest or sha256(*sums),
            "sums_bytes": sum(len(room) for room in sums),
        }

    def _cut_rooms(self) -> list[memoryview]:
        return cut_rooms(self.total.vectors, self.total.payload)


@dataclass(frozen=True)
class ToldClose:
    """A CLOSE that brings a round's sums back, and where these lie: so the disk holds them once.

    Attributes
    ----------
    front : bytes
        The message without its payload.
    path : Path or None
        The file with the sums; None if none come back.
    places : tuple of (int, int)
        Where the parts of the file begin and end that are the payload, in order.
    """

    front: bytes
    path: Path | None = None
    places: tuple[tuple[int, int], ...] = ()


def unmask(
    total: Total,
    keys_of: Callable[[Vector], Sequence[bytes]],
    suite: Suite,
    take: Callable[[Vector, Bytes], None],
) -> Iterator[Bytes]:
    """The sums' payload piece by piece, each once the sites' own masks were subtracted from it in place.

    Parameters
    ----------
    total : Total
        The masked sums.
    keys_of : callable
        Gives the keys, 32 bytes each, of the sites' own masks on a vector.
    suite : Suite
        Cipher of the masks.
    take : callable
        Takes each piece, too, with its vector.

    Raises
    ------
    SecAggError
        S_CANARY, after the last piece, if masks are left.
    """
    rooms = cut_rooms(total.vectors, total.payload)
    for vector, words, room in zip(total.vectors, total.words, rooms, strict=True):
        keys: list[tuple[bytes, Sign]] = [(key, -1) for key in keys_of(vector)]
        for piece in chain(mask_chunks(words, keys, vector.ring, suite), [room[words.nbytes :]]):
            take(vector, piece)
            yield piece
    total.check_canaries()
