"""A transcript at a site: the member adds what all members signed, and so proves the sum to itself.

The coordinator cannot forge it, not even with the help of a site: a site can only sign other words of its
own, and then the sum is the sum of what the members signed. The coordinator adds the same words before it
forwards them. So whatever is wrong with a transcript that it signed, it lied; who did not, cannot be blamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from common.errors import ProtocolError
from common.secagg.codes import FalseSumError, SecAggError
from common.secagg.crypto.encoding import decode
from common.secagg.crypto.masks import add_words
from common.secagg.crypto.rings import Vector, Words
from common.secagg.crypto.summed_rows import sum_rows
from common.secagg.site.handler import Party
from common.secagg.site.state import SessionState
from common.secagg.wire.forwarded import (
    SignedIteration,
    Transcript,
    TranscriptIndex,
    read_index,
    read_transcript,
)
from common.secagg.wire.frames import MessageFrame, MessageKind, sha256, unpack
from common.secagg.wire.messages import Iteration, read
from common.secagg.wire.payload import (
    count_payload_bytes,
    cut_rooms,
    digest_iteration,
    read_layout,
    view_words,
)
from common.types import Counts, Reals

_PIECE_BYTES = 1 << 20
"""Of all rows together, as they are added: what stays in the processor's cache."""
_NO_PROOF = "a transcript does not prove its sum"


@dataclass(frozen=True)
class ProvedSums:
    """The sums of one step that come back to this site, added by itself from what the members signed.

    Attributes
    ----------
    phase : str
        The session's phase.
    step : int
        Number of the iteration, from 1.
    input : str
        SHA-256 of the iteration's parameters, 64 hexadecimal digits.
    note : str
        What the engine gave with its answer, to read the sums.
    vectors : tuple of Vector
        Which vectors come back.
    sums : tuple of arrays
        Their sums over all members, in the vectors' shapes.
    """

    phase: str
    step: int
    input: str
    note: str
    vectors: tuple[Vector, ...]
    sums: tuple[Counts | Reals, ...]


@dataclass(frozen=True)
class _Own:
    """The site's own answer of the step.

    Attributes
    ----------
    header : Iteration
        As it was signed.
    layout : bytes
        The payload's first part.
    vectors : tuple of Vector
        All vectors of the layout.
    rooms : list of memoryview
        The masked words of each.
    """

    header: Iteration
    layout: bytes
    vectors: tuple[Vector, ...]
    rooms: list[memoryview]


def prove_sums(party: Party, frame: MessageFrame) -> ProvedSums | None:
    """The sums that a transcript proves; None if the site has gone on since: its own words are erased.

    Raises
    ------
    SecAggError
        E_INPUT_HASH if the content is not what the coordinator signed; E_STATE_CORRUPT if the site's own
        words are gone or altered; as `FalseSumError`, E_SUM_PROOF if it is not what the members signed.
    """
    header = read_transcript(frame)
    content = frame.payload[: header.content_bytes]
    if sha256(content) != header.content:
        raise SecAggError("a transcript's content is not what was signed", code="E_INPUT_HASH")
    state = _find_state(party, header)
    if state is None or state.release is None:
        return None
    own = _read_own(party, state)
    with _refuse_malformed():
        index = read_index(bytes(content[: header.index_bytes]))
        _check_index(party, state, own.header, index)
        vectors = tuple(own.vectors[place] for place in index.vectors)
        words = content[header.index_bytes :]
        sums = _add_words(own, index, vectors, words)
    return ProvedSums(header.phase, header.step, state.release.input, state.note, vectors, sums)


def _find_state(party: Party, header: Transcript) -> SessionState | None:
    """The state of the session in which the site answered this step last; None if it has gone on since.

    Raises
    ------
    FalseSumError
        If the site never answered this step.
    """
    state = party.files.read(header.phase)
    if isinstance(state, SessionState) and (state.hdr, state.step) == (header.hdr, header.step):
        # Under another roster sites may have other keys, and the session cannot go on
        return state if state.asked.roster == party.roster.digest else None
    released = party.files.history.find_release(header.hdr, header.step)
    if released is None or released.phase != header.phase:
        raise FalseSumError(f"{_NO_PROOF}: it is of a step that this site never answered")
    return None


def _read_own(party: Party, state: SessionState) -> _Own:
    frame = unpack(party.files.read_reply(state.asked.phase, state.reply))
    header = read(frame, MessageKind.ITERATION, Iteration)
    layout = bytes(frame.payload[: header.layout_bytes])
    vectors = read_layout(layout)
    return _Own(header, layout, vectors, cut_rooms(vectors, frame.payload[len(layout) :]))


def _check_index(party: Party, state: SessionState, own: Iteration, index: TranscriptIndex) -> None:
    """Refuse anything but one iteration of this step, signed by it, of every other member of the set.

    Raises
    ------
    FalseSumError
        If it is anything else.
    """
    if index.vectors != state.returned:
        raise FalseSumError(f"{_NO_PROOF}: it has other vectors than come back to this site")
    others = tuple(site for site in state.members if site != party.site)
    if tuple(signed.iteration.site for signed in index.iterations) != others:
        raise FalseSumError(f"{_NO_PROOF}: it is not of every other member of the set, once")
    for signed in index.iterations:
        _check_iteration(party, own, signed)


def _check_iteration(party: Party, own: Iteration, signed: SignedIteration) -> None:
    theirs = signed.iteration
    if (theirs.hdr, theirs.set, theirs.step) != (own.hdr, own.set, own.step):
        raise FalseSumError(f"{_NO_PROOF}: what site {theirs.site} signed is of another session, set or step")
    public = party.roster.find_key(theirs.site)
    if public is None or not signed.is_signed_by(public):
        raise FalseSumError(f"{_NO_PROOF}: site {theirs.site} did not sign its iteration")


def _add_words(
    own: _Own, index: TranscriptIndex, vectors: tuple[Vector, ...], content: memoryview
) -> tuple[Counts | Reals, ...]:
    """The sums of the site's own words and the other members'.

    Raises
    ------
    FalseSumError
        If words are not those that their site signed.
    SecAggError
        S_SHAPE or S_CANARY if the sums cannot be read.
    """
    own_words = memoryview(b"".join(own.rooms[place] for place in index.vectors))
    size = count_payload_bytes(vectors)
    if len(content) != size * len(index.iterations):
        raise FalseSumError(f"{_NO_PROOF}: it has more or fewer words than its vectors")
    ends = list(accumulate(len(own.rooms[place]) for place in index.vectors))
    rooms = [slice(start, end) for start, end in pairwise([0, *ends])]
    for number, signed in enumerate(index.iterations):
        _check_words(own, signed, index.vectors, content[number * size : (number + 1) * size], rooms)
    theirs = np.frombuffer(content, np.uint8).reshape(len(index.iterations), size)
    totals = view_words(vectors, own_words)
    return tuple(
        decode(vector, _add_rows(vector, totals[number], theirs[:, room]))
        for number, (vector, room) in enumerate(zip(vectors, rooms, strict=True))
    )


def _add_rows(vector: Vector, own: Words, theirs: NDArray[np.uint8]) -> Words:
    """The sum of the own words and of all other members' rooms, piece by piece: rows may be long."""
    total: Words = own.copy()
    # A multiple of 16 bytes, so that no element of two limbs is cut
    step = max(1, _PIECE_BYTES // max(1, len(theirs)) // 16) * 16 // total.itemsize
    for start in range(0, total.size, step):
        into = total[start : start + step]
        begin = start * total.itemsize
        rows = np.ascontiguousarray(theirs[:, begin : begin + into.nbytes]).view(vector.dtype)
        add_words(into, sum_rows(rows, vector.ring), vector.ring)
    return total


def _check_words(
    own: _Own,
    signed: SignedIteration,
    places: tuple[int, ...],
    words: memoryview,
    rooms: Sequence[slice],
) -> None:
    site, parts = signed.iteration.site, signed.parts
    if len(parts) != len(own.vectors) or signed.iteration.payload != digest_iteration(own.layout, parts):
        raise FalseSumError(f"{_NO_PROOF}: the digests of site {site} are not what it signed")
    for place, room in zip(places, rooms, strict=True):
        if sha256(words[room]) != parts[place]:
            raise FalseSumError(f"{_NO_PROOF}: words of site {site} are not those that it signed")


@contextmanager
def _refuse_malformed() -> Iterator[None]:
    """A context in which whatever cannot be read was signed by the coordinator, and is no proof.

    Raises
    ------
    FalseSumError
        Instead of what was raised, or as it came.
    """
    try:
        yield
    except FalseSumError:
        raise
    except (ProtocolError, SecAggError) as failure:
        raise FalseSumError(f"{_NO_PROOF}: {failure}") from None
