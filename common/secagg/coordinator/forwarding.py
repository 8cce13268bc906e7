"""What the coordinator passes on of a session's opened step, so that each member can add the sum itself.

It is kept before the sum counts as opened and until the next step is open: a coordinator that was killed in
between sends the same transcripts again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

from common.errors import ProtocolError, ResumeError
from common.secagg.coordinator.gathering import Coordinator
from common.secagg.site.files import keep_file
from common.secagg.wire.forwarded import SignedIteration, Transcript, join_index
from common.secagg.wire.frames import MessageFrame, MessageKind, sha256
from common.secagg.wire.messages import (
    CanonicalDocument,
    Digest,
    Iteration,
    Natural,
    PhaseName,
    SiteId,
    read_header,
)

Returns: TypeAlias = Callable[[str], frozenset[str]]
"""By a vector's name: names of the sites to which its sum comes back."""

_LONGEST = 1 << 28
_SUFFIX = ".forward"


def return_nothing(_vector: str) -> frozenset[str]:
    """No sum comes back to any site."""
    return frozenset()


class ForwardedVector(CanonicalDocument):
    """One vector whose sum comes back to some members."""

    place: Natural
    """Its position in the layout."""
    size: Natural
    """Bytes of its room."""
    sites: tuple[SiteId, ...]
    """Numbers of the sites to which its sum comes back."""


class KeptIterations(CanonicalDocument):
    """What every member signed in one step, without the words."""

    phase: PhaseName
    """The session's phase."""
    hdr: Digest
    """SHA-256 of M1's header: names the session."""
    step: Natural
    """Number of the iteration."""
    vectors: tuple[ForwardedVector, ...]
    """The vectors whose sums come back to anybody, by ascending position."""
    iterations: tuple[SignedIteration, ...]
    """Of every member, by ascending number."""


@dataclass(frozen=True)
class MemberAnswer:
    """One member's iteration, as far as it is passed on.

    Attributes
    ----------
    signed : SignedIteration
        What the member signed.
    rooms : mapping of int to bytes
        Masked words of the vectors whose sums come back, by their position in the layout.
    """

    signed: SignedIteration
    rooms: Mapping[int, bytes]

    @classmethod
    def of(
        cls,
        answer: tuple[Iteration, MessageFrame],
        parts: Sequence[str],
        rooms: Sequence[memoryview],
        places: Sequence[int],
    ) -> MemberAnswer:
        """What is passed on of an answer whose signature and digests were checked."""
        header, frame = answer
        signed = SignedIteration(iteration=header, signature=frame.signature.hex(), parts=tuple(parts))
        return cls(signed, {place: bytes(rooms[place]) for place in places})


@dataclass(frozen=True)
class StepToForward:
    """An opened step as it is passed on.

    Attributes
    ----------
    kept : KeptIterations
        What the members signed.
    words : bytes
        Their masked words: member by member, and of each member the vectors in their order.
    """

    kept: KeptIterations
    words: bytes

    @property
    def sites(self) -> frozenset[int]:
        """Numbers of the members to which any sum comes back."""
        return frozenset(site for vector in self.kept.vectors for site in vector.sites)

    def make_transcript(self, coordinator: Coordinator, site: int) -> bytes:
        """The transcript for one member, which stands before its next message; the same bytes each time."""
        kept = self.kept
        chosen = [number for number, vector in enumerate(kept.vectors) if site in vector.sites]
        others = [number for number, signed in enumerate(kept.iterations) if signed.iteration.site != site]
        index = join_index(
            [kept.vectors[number].place for number in chosen], [self._bodies[number] for number in others]
        )
        content = b"".join((index, *self._cut_words(others, chosen)))
        header = Transcript(
            hdr=kept.hdr,
            phase=kept.phase,
            step=kept.step,
            index_bytes=len(index),
            content_bytes=len(content),
            content=sha256(content),
        )
        return coordinator.say(MessageKind.TRANSCRIPT, header, content)

    @cached_property
    def _bodies(self) -> tuple[bytes, ...]:
        """What each member signed, as every other's index has it."""
        return tuple(signed.body() for signed in self.kept.iterations)

    def _cut_words(self, members: Sequence[int], vectors: Sequence[int]) -> Iterator[memoryview]:
        """The words of these members' vectors, by their positions in what is kept, in few pieces."""
        starts = list(accumulate((vector.size for vector in self.kept.vectors), initial=0))
        pieces: list[tuple[int, int]] = []
        for vector in vectors:
            begins_on = pieces.pop()[0] if pieces and pieces[-1][1] == starts[vector] else starts[vector]
            pieces.append((begins_on, starts[vector + 1]))
        words = memoryview(self.words)
        for member in members:
            offset = member * starts[-1]
            yield from (words[offset + begin : offset + end] for begin, end in pieces)


def join_answers(
    session: tuple[str, str, int],
    answers: Mapping[int, MemberAnswer],
    returns: Mapping[int, tuple[int, ...]],
) -> StepToForward | None:
    """A step as it is passed on; None if no sum comes back to anybody.

    Parameters
    ----------
    session : (str, str, int)
        Phase, SHA-256 of M1's header, and number of the iteration.
    answers : mapping of int to MemberAnswer
        By the member's number.
    returns : mapping of int to tuple of int
        Numbers of the sites to which each vector's sum comes back, by its position; others come back to none.
    """
    members = sorted(answers)
    if not returns or not members:
        return None
    places = sorted(returns)
    first = answers[members[0]].rooms
    phase, hdr, step = session
    kept = KeptIterations(
        phase=phase,
        hdr=hdr,
        step=step,
        vectors=tuple(
            ForwardedVector(place=place, size=len(first[place]), sites=returns[place]) for place in places
        ),
        iterations=tuple(answers[member].signed for member in members),
    )
    words = b"".join(answers[member].rooms[place] for member in members for place in places)
    return StepToForward(kept, words)


def name_step(folder: Path, step: int) -> Path:
    """Where a session's folder keeps a step that is passed on."""
    return folder / f"step.{step}{_SUFFIX}"


def keep_step(path: Path, step: StepToForward) -> None:
    """Keep a step; it is on the disk when this returns."""
    keep_file(path, step.kept.body() + b"\n" + step.words)


def read_step(path: Path) -> StepToForward | None:
    """The step that `keep_step` kept; None if there is none.

    Raises
    ------
    ResumeError
        If it is damaged.
    """  # noqa: DOC501 - `_damage_error` is one
    try:
        body, _, words = path.read_bytes().partition(b"\n")
        kept = read_header(body, _LONGEST, KeptIterations)
    except FileNotFoundError:
        return None
    except (OSError, ProtocolError):
        raise _damage_error(path) from None
    if len(words) != len(kept.iterations) * sum(vector.size for vector in kept.vectors):
        raise _damage_error(path)
    return StepToForward(kept, words)


def drop_step(path: Path) -> None:
    """Erase a step that nobody needs any more."""
    with suppress(FileNotFoundError):
        path.unlink()


def list_steps(sessions: Path) -> list[Path]:
    """The steps that any session below a folder keeps to pass them on."""
    return sorted(sessions.glob(f"*/step.*{_SUFFIX}"))


def _damage_error(path: Path) -> ResumeError:
    return ResumeError(f"{path}: is damaged, and no site would go on without it -> begin the study again")
