"""The open sessions of one set of sites, side by side: each answers one question at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.hiding.phases import MOST_SESSIONS, SESSION_AGE_S, name_statistics_phase
from common.hiding.returned import find_receivers
from common.messages.groups import SiteGroup
from common.runtime.storage import write_atomically
from common.secagg.coordinator.drive import MessageExchange, finish
from common.secagg.coordinator.gathering import Coordinator, HidingTask
from common.secagg.coordinator.session import ServerSession


@dataclass
class SessionSeat:
    """A session, with those that were given up in its place before.

    Attributes
    ----------
    coordinator : Coordinator
        Its key, and the roster.
    folder : Path
        Of the study's sessions.
    sites : tuple of str
        Among whom sums are hidden.
    place : tuple of (int, int)
        Number of the set of sites, and of the session beside others, from 0.
    exchange : callable
        Takes messages to the sites.
    groups : sequence of SiteGroup
        Of the question that is asked: to which sites its sums come back.
    is_busy : bool
        Whether a question is on its way.
    """

    coordinator: Coordinator
    folder: Path
    sites: tuple[str, ...]
    place: tuple[int, int]
    exchange: MessageExchange
    groups: Sequence[SiteGroup] = ()
    is_busy: bool = False
    _sessions: list[ServerSession] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Find the sessions that were begun, or begin the first; all but the last were given up."""
        self._sessions.append(self._make_session(1))
        while self._name_session(len(self._sessions) + 1).exists():
            # A site that has not heard of its end would not join another
            finish(self._sessions[-1], self.exchange)
            self._sessions.append(self._make_session(len(self._sessions) + 1))

    @property
    def last(self) -> ServerSession:
        """The session that may be asked."""
        return self._sessions[-1]

    @property
    def is_free(self) -> bool:
        """Whether another question may be asked here: none is on its way, or it was given up."""
        return not self.is_busy and (not self.last.pending or self.was_given_up)

    @property
    def was_given_up(self) -> bool:
        """Whether a site refused the last question because of a model."""
        path = self._name_refused()
        return path.exists() and path.read_text(encoding="utf-8") == self.last.pending != ""

    def find_opened(self, question: bytes) -> ServerSession | None:
        """The session that has answered a question."""
        return next((session for session in self._sessions if session.has_opened(question)), None)

    def give_up(self) -> None:
        """Note that the last question is not asked again, because of the model that it is about."""
        write_atomically(self._name_refused(), self.last.pending.encode())

    def renew(self) -> None:
        """Begin another session in the place of the one that was given up."""
        self.close()
        self._sessions.append(self._make_session(len(self._sessions) + 1))

    def close(self) -> bool:
        """Close the last session; whether all sites have erased its keys."""
        self.last.close("lost" if self.last.pending else "opened")
        is_erased = finish(self.last, self.exchange)
        if is_erased:
            self.last.drop_forwarded()
        return is_erased

    def _make_session(self, count: int) -> ServerSession:
        phase = name_statistics_phase(*self.place)
        asked = HidingTask("session", phase, count, (), SESSION_AGE_S, self.sites)
        folder = self._name_session(count)
        return ServerSession(
            self.coordinator, folder, asked, lambda vector: find_receivers(self.groups, vector)
        )

    def _name_session(self, count: int) -> Path:
        return self.folder / (self._stem if count == 1 else f"{self._stem}.{count}")

    def _name_refused(self) -> Path:
        """The file with the digest of the last question that a site of the set refused because of a model."""
        return self.folder / f"{self._stem}.refused"

    @property
    def _stem(self) -> str:
        number, beside = self.place
        return f"{number}-{beside}" if beside else str(number)


@dataclass
class SessionPool:
    """The sessions of one set of sites.

    Attributes
    ----------
    coordinator : Coordinator
        Its key, and the roster.
    folder : Path
        Of the study's sessions.
    number : int
        Of the set, in `hiding_sets_of`.
    sites : tuple of str
        The set.
    exchange : callable
        Takes messages to the sites.
    """

    coordinator: Coordinator
    folder: Path
    number: int
    sites: tuple[str, ...]
    exchange: MessageExchange
    _seats: list[SessionSeat] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Find the sessions that were begun."""
        self._seats.append(self._make_seat())
        while (self.folder / f"{self.number}-{len(self._seats)}").exists():
            self._seats.append(self._make_seat())

    @property
    def seats(self) -> tuple[SessionSeat, ...]:
        """Those that were begun, in this run or before."""
        return tuple(self._seats)

    def find_opened(self, question: bytes) -> ServerSession | None:
        """The session that has answered a question."""
        found = (seat.find_opened(question) for seat in self._seats)
        return next((session for session in found if session is not None), None)

    @contextmanager
    def take_seat(self, question: bytes, groups: Sequence[SiteGroup]) -> Iterator[SessionSeat]:
        """A context with the session of a question: where it is pending, otherwise a free one.

        Parameters
        ----------
        question : bytes
            The signed request.
        groups : sequence of SiteGroup
            Over whom its sums are.
        """
        seat = self._choose(hashlib.sha256(question).hexdigest())
        seat.groups, seat.is_busy = groups, True
        try:
            yield seat
        finally:
            seat.is_busy = False

    def _choose(self, digest: str) -> SessionSeat:
        """Where the question is pending, otherwise a free session, otherwise one more.

        Where another question is pending that has not come again, sites answer no next one.
        """
        for seat in self._seats:
            if seat.last.pending == digest and not seat.is_busy:
                return seat
        free = next((seat for seat in self._seats if seat.is_free), None)
        if free is None and len(self._seats) < MOST_SESSIONS:
            free = self._make_seat()
            self._seats.append(free)
        chosen = free or self._seats[0]
        if chosen.last.pending and chosen.is_free:
            chosen.renew()
        return chosen

    def _make_seat(self) -> SessionSeat:
        place = (self.number, len(self._seats))
        return SessionSeat(self.coordinator, self.folder, self.sites, place, self.exchange)
