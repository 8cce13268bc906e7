"""Parts of a study side by side: each asks its questions in its own order, and they travel together.

A part is ordinary code that waits for answers. Each runs in a thread of its own, but only one at a time, in a
fixed order, as if they took turns: whoever asks passes the turn on. Once all wait for answers or for other
parts, what they asked goes out at once. So a study that is conducted again asks the same in the same rounds.

What travels alone, because it is large, waits until nothing else is asked: so what is quick is known early.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from common.messages.protocol import Reply

MOST_UNDER_WAY = 24
"""Parts that have begun and not ended: each may need a session of hidden sums for itself."""
_Outcome = TypeVar("_Outcome")
NodeAnswers: TypeAlias = dict[int, Reply | Exception]
"""By node, what it answered, or why it did not."""


@dataclass(frozen=True)
class Posting:
    """What one part asks at once.

    Attributes
    ----------
    bodies : mapping of int to bytes
        The messages, by node.
    phase : str
        The study's phase to which it belongs; empty outside of parts.
    is_alone : bool
        Whether it travels in messages of its own, because its answers are large.
    """

    bodies: Mapping[int, bytes]
    phase: str = ""
    is_alone: bool = False


SendTogether: TypeAlias = Callable[[Sequence[Posting]], list[NodeAnswers]]
"""Sends what several parts ask, and returns the answers to each."""


class StoppedError(BaseException):
    """Ends a part that waits for answers after the study has failed; no code of a part handles it."""


@dataclass
class Lane(Generic[_Outcome]):
    """One part of a study.

    Attributes
    ----------
    name : str
        Which one.
    phase : str
        The study's phase to which it belongs.
    work : callable
        What is done, and what it comes to.
    after : tuple of str
        Names of the parts that come to their end before it begins.
    is_alone : bool
        Whether its questions travel in messages of their own.
    asked : Posting or None
        What it waits to be answered.
    failure : exception or None
        What its work raised.
    is_stopped : bool
        Whether nothing is answered any more.
    """

    name: str
    phase: str
    work: Callable[[], _Outcome]
    after: tuple[str, ...] = ()
    is_alone: bool = False
    asked: Posting | None = None
    failure: BaseException | None = None
    is_stopped: bool = False
    _thread: threading.Thread | None = None
    _turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _answers: NodeAnswers = field(default_factory=dict)
    _outcome: list[_Outcome] = field(default_factory=list)

    @property
    def has_begun(self) -> bool:
        """Whether it has had a turn."""
        return self._thread is not None

    @property
    def has_ended(self) -> bool:
        """Whether it came to something."""
        return bool(self._outcome)

    @property
    def is_done(self) -> bool:
        """Whether it came to something, or failed."""
        return self.has_ended or self.failure is not None

    @property
    def outcome(self) -> _Outcome:
        """What it came to; only of one that has ended."""
        return self._outcome[0]

    def take_turn(self) -> None:
        """Go on until it asks, or is done."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._carry_out, name=self.name, daemon=True)
            self._thread.start()
        else:
            self._turn.release()
        self.await_end()

    def await_end(self) -> None:
        """Wait for the end of its turn."""
        self._back.acquire()

    def ask(self, bodies: Mapping[int, bytes]) -> NodeAnswers:
        """In its own thread: what the nodes answer, once it is its turn again.

        Raises
        ------
        StoppedError
            If nothing is answered any more.
        """
        self.asked = Posting(bodies, self.phase, self.is_alone)
        self._back.release()
        self._turn.acquire()
        self.asked = None
        if self.is_stopped:
            raise StoppedError
        return self._answers

    def answer(self, answers: NodeAnswers) -> None:
        """Give it what the nodes answered: it may go on."""
        self.asked, self._answers = None, answers

    def stop(self) -> None:
        """End it where it waits."""
        self.is_stopped = True
        if self.has_begun and not self.is_done:
            self.take_turn()

    def _carry_out(self) -> None:
        try:
            self._outcome.append(self.work())
        except BaseException as failure:  # noqa: BLE001 - it is raised again where all parts come together
            self.failure = failure
        self._back.release()


@dataclass
class Lanes:
    """The parts of a study that are carried out side by side.

    Attributes
    ----------
    send : callable
        Sends what they ask, as `SendTogether`.
    """

    send: SendTogether
    _lanes: dict[str, Lane[object]] = field(default_factory=dict)
    _running: Lane[object] | None = None

    @property
    def is_running(self) -> bool:
        """Whether one of the parts has its turn."""
        return self._running is not None

    def add(
        self,
        name: str,
        phase: str,
        work: Callable[[], _Outcome],
        after: Iterable[str] = (),
        *,
        is_alone: bool = False,
    ) -> Lane[_Outcome]:
        """A part of the study, which begins once others came to something.

        Parameters
        ----------
        name : str
            Which one; no other has the name.
        phase : str
            The study's phase to which it belongs.
        work : callable
            What is done.
        after : iterable of str
            Names of parts that were added before; for others it need not wait.
        is_alone : bool
            Whether its questions travel in messages of their own.
        """
        known = tuple(earlier for earlier in after if earlier in self._lanes)
        lane = Lane(name, phase, work, known, is_alone)
        self._lanes[name] = lane  # type: ignore[assignment]
        return lane

    def ask(self, bodies: Mapping[int, bytes]) -> NodeAnswers:
        """What the nodes answer to the part whose turn it is; meanwhile the others have theirs.

        Raises
        ------
        ValueError
            If it is nobody's turn.
        """
        if self._running is None:
            raise ValueError("no part of the study has its turn")
        return self._running.ask(bodies)

    def run(self) -> None:
        """Carry all parts out.

        What the others were answered in the round in which one failed is still taken in, so that it is on the
        disk when the study is resumed.

        Raises
        ------
        BaseException
            What the first part raised that failed, in the order in which they were added.
        """
        try:
            while True:
                self._give_turns()
                for lane in self._lanes.values():
                    if lane.failure is not None:
                        raise lane.failure
                asking = [(lane, lane.asked) for lane in self._lanes.values() if lane.asked is not None]
                if not asking:
                    return
                asking = [one for one in asking if not one[0].is_alone] or asking[:1]
                answers = self.send([posting for _, posting in asking])
                for (lane, _), of_lane in zip(asking, answers, strict=True):
                    lane.answer(of_lane)
        finally:
            self._stop()

    def _give_turns(self) -> None:
        """Let each part go on, in their order, until all ask, wait or are done."""
        has_moved = True
        while has_moved:
            has_moved = False
            for lane in self._lanes.values():
                if self._may_go_on(lane):
                    self._running = lane
                    lane.take_turn()
                    self._running, has_moved = None, True

    def _may_go_on(self, lane: Lane[object]) -> bool:
        if lane.is_done or lane.asked is not None:
            return False
        if lane.has_begun:
            return True
        under_way = sum(other.has_begun and not other.is_done for other in self._lanes.values())
        return under_way < MOST_UNDER_WAY and all(self._lanes[name].has_ended for name in lane.after)

    def _stop(self) -> None:
        """End the parts that still wait for answers."""
        if self._running is not None:
            # Interrupted from outside: what it is computing is not asked any more
            self._running.await_end()
            self._running = None
        for lane in self._lanes.values():
            lane.stop()
