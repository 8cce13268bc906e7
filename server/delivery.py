"""Messages on their way to sites and back: what is lost is sent again, once its site can answer.

Flower loses a message when its site's link is started anew, or is not heard of for a minute, while the
message is under way. The same bytes are sent again then, as a resumed study sends them: a site answers them
from its record, or computes the same again. A site that is slow keeps its message: the site itself, which
sees whether its engine gets on, says that it stands still.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from flwr.app import Error, Message, MessageType
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from common.messages.epoch_beat import read_epoch_beat
from common.messages.protocol import to_record
from common.messages.stall_limit import write_stall_limit
from server.attendance import Attendance
from server.reasons import explain_missing, explain_no_answer

_POLL_S = 1.0
"""Longest pause between two looks for answers, in seconds."""
_HASTE_S = 0.01
_LOOK_S = 2.0
"""Between two looks whether links were started anew meanwhile."""
_TTL_S = 90 * 86_400.0
"""No work of a site is cut short by Flower; a run that ends takes its messages with it."""
_TRIES, _SOON_S = 5, 600.0
"""How often a question is lost in a row, each time so soon, until the study gives it up."""
_ASK_STALLED_S, _ASK_ABSENT_S = 600.0, 10.0
"""Until a site is asked again whose engine stands still (or the stall limit, if less), or is not there."""

_LOST = {
    ErrorCode.MESSAGE_UNAVAILABLE: "E_LOST",
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE: "E_LOST",
    ErrorCode.NODE_UNAVAILABLE: "E_NOT_CONNECTED",
}
_PAUSES = frozenset({"E_NOT_CONNECTED", "E_NO_ENGINE", "E_STALLED"})
"""After these the study waits for the site; after the others it asks again at once."""
_ASKED_AGAIN = frozenset({"E_LOST", "E_ENGINE", *_PAUSES})
_CODE = re.compile(r"E_[A-Z_]{1,30}", re.ASCII)

TakeAnswer = Callable[[Message, int, bytes], None]
"""Takes an answer, the node's number and the question; may raise what is wrong with it."""
GiveUp = Callable[[str], None]
"""Takes a sentence about a site that will not answer; may raise it."""


@dataclass
class _Letter:
    """One question to one node, until it is answered."""

    node: int
    body: bytes
    number: str = ""
    """Flower's identifier of the message that is under way; empty if none is."""
    sent: float = 0.0
    """When it was sent last, in seconds since 1970."""
    code: str = ""
    """Why it was lost; empty unless it was."""
    due: float = 0.0
    failures: int = 0
    greets: bool = False
    """Whether the site is asked first who it is: its link was away."""


@dataclass
class Courier:
    """Takes questions to sites and brings their answers.

    Attributes
    ----------
    grid : Grid
        Flower's, or the one of a simulation in one process.
    name_of : callable
        Gives the name of the site that a node's number stands for.
    attendance : Attendance
        Whom the study waits for, and for how long.
    greeting : bytes
        The question that a site is asked first when it is back.
    greet : callable
        Takes its answer.
    count : callable
        Is told the bytes of each message that is sent.
    stall_s : float
        How long a site's engine may show no progress, seconds: each message tells its link.
    """

    grid: Grid
    name_of: Callable[[int], str]
    attendance: Attendance
    greeting: bytes
    greet: TakeAnswer
    count: Callable[[int], None]
    stall_s: float = 3600.0

    def deliver(
        self, bodies: Mapping[int, bytes], take: TakeAnswer, give_up: GiveUp, on_sent: Callable[[], None]
    ) -> None:
        """Ask nodes, until each has answered or was given up.

        Parameters
        ----------
        bodies : mapping of int to bytes
            The question for each node.
        take : callable
            Takes each answer.
        give_up : callable
            Takes why an answer will not come.
        on_sent : callable
            Called when all questions are on their way.

        Raises
        ------
        RheError
            As `take`, `give_up` or the grid raises it.
        """
        post = _Post(self, [_Letter(node, body) for node, body in bodies.items()], take, give_up)
        try:
            post.send(tuple(post.letters))
            on_sent()
            post.await_answers()
        finally:
            for node in bodies:
                self.attendance.asked.pop(self.name_of(node), None)
                self.attendance.epochs.pop(self.name_of(node), None)


@dataclass
class _Post:
    """The questions that were asked at once."""

    courier: Courier
    letters: list[_Letter]
    take: TakeAnswer
    give_up: GiveUp
    _begun: float = field(default_factory=time.monotonic)
    _looked: float = field(default_factory=time.monotonic)

    def await_answers(self) -> None:
        """Until every question is answered or given up."""
        while self.letters:
            has_come = self._take_answers()
            self._look_after_lost()
            if self.letters and not has_come:
                # A tenth of what it has taken already: so no answer is much later for it
                time.sleep(min(_POLL_S, max(_HASTE_S, (time.monotonic() - self._begun) / 10)))

    def send(self, letters: Iterable[_Letter]) -> None:
        """Send questions, for the first time or once more."""
        courier, chosen, now = self.courier, list(letters), time.time()
        messages = []
        for letter in chosen:
            body = courier.greeting if letter.greets else letter.body
            courier.count(len(body))
            courier.attendance.asked.setdefault(courier.name_of(letter.node), now)
            messages.append(
                Message(
                    to_record(body),
                    dst_node_id=letter.node,
                    message_type=MessageType.QUERY,
                    ttl=_TTL_S,
                    group_id=write_stall_limit(courier.stall_s),
                )
            )
        for letter, number in zip(chosen, courier.grid.push_messages(messages), strict=True):
            letter.number, letter.sent, letter.code = number or "", now, ""
            if not number:
                # Flower does not take a message to a node that it does not know
                self._lose(letter, "E_LOST")

    def _take_answers(self) -> bool:
        """Take what has come; whether anything has."""
        waiting = {letter.number: letter for letter in self.letters if letter.number}
        if not waiting:
            return False
        answers = list(self.courier.grid.pull_messages(sorted(waiting)))
        for answer in answers:
            letter = waiting.pop(answer.metadata.reply_to_message_id, None)
            if letter is not None:
                self._take_one(letter, answer)
        return bool(answers)

    def _take_one(self, letter: _Letter, answer: Message) -> None:
        code = find_code(answer.error) if answer.has_error() else ""
        if code in _ASKED_AGAIN:
            self._lose(letter, code)
        elif code:
            self._drop(letter, code)
        elif letter.greets:
            letter.greets, letter.number = False, ""
            self.courier.greet(answer, letter.node, self.courier.greeting)
            self.send([letter])
        else:
            self.letters.remove(letter)
            self.courier.attendance.welcome(self._name(letter))
            self.take(answer, letter.node, letter.body)

    def _lose(self, letter: _Letter, code: str) -> None:
        """A question was lost: it is sent again, unless that has happened too often."""
        now = time.time()
        letter.number, letter.code, letter.due = "", code, now
        if code == "E_STALLED":
            letter.due = now + min(_ASK_STALLED_S, self.courier.stall_s)
        elif code == "E_NO_ENGINE":
            letter.due = now + _ASK_ABSENT_S
        if code in _PAUSES:
            return
        letter.failures = letter.failures + 1 if now - letter.sent < _SOON_S else 1
        if letter.failures > _TRIES:
            self._drop(letter, code)
        letter.due = now + min(_POLL_S, _HASTE_S * 4**letter.failures)

    def _drop(self, letter: _Letter, code: str) -> None:
        name = self._name(letter)
        absence = self.courier.attendance.absent.get(name)
        self.courier.attendance.give_up(name)
        self.letters.remove(letter)
        self.give_up(explain_no_answer(name, code, "" if absence is None else absence.describe_since()))

    def _look_after_lost(self) -> None:
        """Send again what was lost as soon as its site is there; give up who was awaited in vain."""
        is_any_lost = any(letter.code for letter in self.letters)
        now = time.monotonic()
        if not self.letters or (not is_any_lost and now - self._looked < _LOOK_S):
            return
        self._looked = now
        nodes = tuple(self.courier.grid.get_nodes())
        self._note_epochs({node.node_id: node.heartbeat_interval for node in nodes})
        present = {node.node_id: read_activation(node.last_activated_at) for node in nodes}
        for letter in tuple(self.letters):
            is_anew = present.get(letter.node, 0.0) > letter.sent
            if letter.number and is_anew:
                # Nobody has the question any more: the link was started anew since
                self._lose(letter, "E_NOT_CONNECTED")
            if letter.code and letter.node in present:
                self._send_again(letter, is_anew=is_anew)
            elif letter.code:
                self._wait_for(letter, "E_NOT_CONNECTED")

    def _note_epochs(self, intervals: Mapping[int, float]) -> None:
        """Note at which epoch the sites are that are asked now, by what their links said."""
        for letter in self.letters:
            epoch = read_epoch_beat(intervals.get(letter.node, 0.0))
            if epoch is not None:
                self.courier.attendance.epochs[self._name(letter)] = epoch
            else:
                self.courier.attendance.epochs.pop(self._name(letter), None)

    def _send_again(self, letter: _Letter, *, is_anew: bool) -> None:
        """Send to a site that is connected what it lost, now or when it is due."""
        if letter.due > time.time() and not is_anew:
            if letter.code in _PAUSES:
                self._wait_for(letter, letter.code)
            return
        letter.greets = letter.body != self.courier.greeting and (is_anew or letter.code == "E_NOT_CONNECTED")
        if letter.code not in {"E_STALLED", "E_NO_ENGINE"} or is_anew:
            self.courier.attendance.welcome(self._name(letter))
        self.send([letter])

    def _wait_for(self, letter: _Letter, code: str) -> None:
        """Wait for a site that cannot answer, if the study has patience."""
        name, attendance = self._name(letter), self.courier.attendance
        attendance.miss(name, *explain_missing(code))
        letter.code = code
        if not attendance.has_patience(name):
            self._drop(letter, code)

    def _name(self, letter: _Letter) -> str:
        return self.courier.name_of(letter.node)


def find_code(error: Error) -> str:
    """The code of a reply that is none: what Flower says of the message, or the site's link."""
    if error.code in _LOST:
        return _LOST[error.code]
    if error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION and _CODE.fullmatch(error.reason or ""):
        return str(error.reason)
    return f"E_FLOWER_{error.code}"


def read_activation(text: str) -> float:
    """When a node was signed in last, in seconds since 1970, as Flower tells it; 0 if it does not."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
