"""What the link does: it carries the coordinator's messages to the engine and the engine's answers back.

It understands no message. While it waits for the engine, for an hour if need be, its heart beats on; a line
that is cut, a coordinator that is started anew and a gateway that is overloaded only make it wait.
"""

from __future__ import annotations

import ctypes
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

from client.link.announced_message import Delivery
from client.link.connection import EngineLink, EngineWait
from client.link.credentials import Door
from client.link.fleet import FleetLine
from client.link.markers import Trouble, format_connected, format_refused, shorten_name
from client.link.session_file import SessionFile
from client.link.troubles import LineError, UnsureError, WithdrawnError, explain_surprise
from common.errors import ProtocolError, RheError
from common.messages.bundle import bundle_digest
from common.messages.stall_limit import read_stall_limit
from common.runtime.log_lines import clean_text
from common.runtime.processes import ShowLine

_FIRST_RETRY_S, _LAST_RETRY_S = 0.2, 5.0
_SPREAD = random.Random()  # noqa: S311 - no secret: when to try again
_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.02, 2.0
_SHARE_OF_QUIET = 0.1
"""By how much, at most, the pauses prolong the time from one message to the next: a twentieth on the average.

A question costs a processor 2 to 6 ms, most of them because it has forgotten TLS and HTTP since the last."""
_LARGE = 2**20
"""Messages of more bytes leave holes in memory that the C library would keep."""
_BEAT_S, _NEXT_TRY_S = 20.0, 5.0
"""Flower holds a node for gone after 60 s without a heartbeat."""

AnyReturn = TypeVar("AnyReturn")


class _EndedError(Exception):
    """The link ends: a call that fails is not tried again."""


@dataclass
class Patience:
    """Waits after failures, longer each time, and says what is wrong once: a single cut is not worth a line.

    Attributes
    ----------
    say : callable
        Shows a line.
    ending : threading.Event
        Set when nothing is worth waiting for any more.
    """

    say: ShowLine
    ending: threading.Event = field(default_factory=threading.Event)
    _node: int = 0
    _failures: int = 0
    _shown: Trouble | None = None
    _surprises: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def endure(self, error: LineError) -> None:
        """Wait until the call should be tried again.

        Raises
        ------
        _EndedError
            If it should not.
        """
        with self._lock:
            self._failures += 1
            if self._failures > 1 and error.trouble is not self._shown:
                self._shown = error.trouble
                self.say(format_refused(error.trouble, str(error)))
            pause_s = min(_LAST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(self._failures - 1, 10))
        # Spread, so that all sites do not come back in one moment
        if self.ending.wait(pause_s * _SPREAD.uniform(0.8, 1.2)):
            raise _EndedError

    def outlast(self, work: Callable[[], AnyReturn]) -> AnyReturn:
        """The result of work that asks the coordinator; no answer, whatever it does to us, ends the link.

        Raises
        ------
        LineError
            If the work fails as it may.
        _EndedError
            If nothing should be tried again.
        """
        while True:
            try:
                return work()
            except (LineError, _EndedError):
                raise
            except Exception as failure:  # noqa: BLE001 - a fault of ours is in the log, and the site answers on
                self.endure(self.tell_surprise(failure))

    def tell_surprise(self, failure: Exception) -> LineError:
        """Say what nobody foresaw, once in a connection, and return what it is."""
        error = explain_surprise(failure)
        with self._lock:
            if str(error) not in self._surprises:
                self._surprises.add(str(error))
                self._shown = error.trouble
                self.say(format_refused(error.trouble, str(error)))
        return error

    def relieve(self) -> None:
        """A call succeeded: say so if a failure was shown."""
        with self._lock:
            self._failures = 0
            if self._shown is not None:
                self._shown = None
                self.say(format_connected(self._node))

    def connect(self, node: int, *, is_known_fault: bool = False) -> None:
        """The coordinator let the site in as this node, perhaps anew after a fault of ours that was told."""
        with self._lock:
            self._node = node
            if is_known_fault:
                return  # `relieve` says it once the fault is over
            # Failures are counted on: who lets the site in and out again is asked less often
            self._shown = None
            self._surprises.clear()
            self.say(format_connected(node))


@dataclass
class Rhythm:
    """How long to wait before the next question for messages.

    Attributes
    ----------
    last : float
        When the last message came, in seconds of `time.monotonic`.
    """

    last: float = field(default_factory=time.monotonic)

    def pause_s(self) -> float:
        """Seconds: few while a study is under way, up to two when nothing has come for 20 seconds."""
        quiet_s = time.monotonic() - self.last
        return min(_LONGEST_POLL_S, max(_SHORTEST_POLL_S, _SHARE_OF_QUIET * quiet_s))

    def mark_message(self) -> None:
        """A message came."""
        self.last = time.monotonic()


def keep_link(
    door: Door,
    session: SessionFile,
    engine: EngineLink,
    say: ShowLine,
    wait: EngineWait | None = None,
) -> NoReturn:
    """Answer the coordinator's messages until an exception, such as Ctrl-C; then sign off.

    Parameters
    ----------
    door : Door
        Whom to call.
    session : SessionFile
        Remembers the connection.
    engine : EngineLink
        Answers a message's bytes.
    say : callable
        Shows one line an event; the first words are those of `client.link.markers`.
    wait : EngineWait, optional
        Is told with each message how long the engine may show no progress.

    Raises
    ------
    StorageError
        If another link of this folder is at work.
    """  # noqa: DOC501 - how it ends is nobody's business but this module's

    def say_plainly(text: str) -> None:
        say(clean_text(text))  # some words are the coordinator's, or those of what answers instead

    patience = Patience(say_plainly)
    with session.lock(), FleetLine(door, patience.endure, patience.relieve) as line:
        bound = wait or EngineWait()
        carrier = _Carrier(line, engine, say_plainly, bound)
        with _keep_alive(line, session, patience, bound):
            is_known_fault = False
            while True:
                node = patience.outlast(lambda: line.sign_in(session.killed, session.known))
                session.begin(node)
                patience.connect(node, is_known_fault=is_known_fault)
                is_known_fault = False
                try:
                    carrier.carry()
                except _EndedError:
                    raise
                except UnsureError as error:
                    patience.endure(error)
                except LineError as error:
                    say_plainly(f"signed out: {error}")
                    patience.endure(error)
                except Exception as failure:  # noqa: BLE001 - the site signs in anew, and is asked again
                    is_known_fault = True
                    patience.endure(patience.tell_surprise(failure))


@dataclass
class _Carrier:
    """Carries one message after the other."""

    line: FleetLine
    engine: EngineLink
    say: ShowLine
    wait: EngineWait = field(default_factory=EngineWait)
    rhythm: Rhythm = field(default_factory=Rhythm)
    _runs: set[int] = field(default_factory=set)

    def carry(self) -> NoReturn:
        """Answer messages until the coordinator does not know the node any more.

        Raises
        ------
        LineError
            Then.
        """
        while True:
            delivery = self.line.poll()
            if delivery is None:
                time.sleep(self.rhythm.pause_s())
                continue
            self.rhythm.mark_message()
            size = 0
            try:
                size = self._answer(delivery)
            except WithdrawnError as reason:
                self.say(f"dropped message={delivery.name} run={delivery.run}: {reason}")
            if size > _LARGE:
                _return_memory()
            self.rhythm.mark_message()

    def _answer(self, delivery: Delivery) -> int:
        """Answer a message, and return how many bytes that moved.

        Raises
        ------
        LineError
            If the coordinator does not know the node any more.
        WithdrawnError
            If it does not want the answer any more.
        """
        begun = time.monotonic()
        try:
            self._check_run(delivery.run)
            question = self.line.pull(delivery)
            group = delivery.message.metadata.group_id
            self.wait.stall_s = read_stall_limit(group) or self.wait.stall_s
            answer = self.engine(question)
        except (LineError, WithdrawnError):
            raise
        except RheError as failure:
            self.say(f"failed message={delivery.name} run={delivery.run} code={failure.code}: {failure}")
            self.line.push_failure(delivery, failure.code)
            return _LARGE + 1
        received, seconds = len(question), time.monotonic() - begun
        del question
        self.line.push(delivery, answer, seconds)
        sizes = f"received={received} sent={len(answer)}"
        self.say(f"answered message={delivery.name} run={delivery.run} {sizes} seconds={seconds:.2f}")
        return received + len(answer)

    def _check_run(self, run: int) -> None:
        """Refuse a run that is not of this release; nothing of it reaches the engine.

        Raises
        ------
        ProtocolError
            If it carries another bundle.
        """
        if run in self._runs:
            return
        found, ours = self.line.read_bundle_hash(run), bundle_digest()
        if found != ours:
            raise ProtocolError(
                f"run {run} carries another bundle ({shorten_name(found)} instead of {ours[:12]}): the "
                "coordinator runs another release, or something else -> install the same rhe at both ends"
            )
        self._runs.add(run)


@contextmanager
def _keep_alive(
    line: FleetLine, session: SessionFile, patience: Patience, wait: EngineWait
) -> Iterator[None]:
    """Let the heart beat while the context is open, and sign off at its end."""
    beating, ending = threading.Lock(), patience.ending

    def reach(call: Callable[[], bool]) -> bool:
        try:
            return call()
        except Exception as failure:  # noqa: BLE001 - the heart beats on, and says why it did not
            with suppress(Exception):
                patience.tell_surprise(failure)
            return False

    def beat() -> None:
        pause_s = _BEAT_S
        while not ending.wait(pause_s * _SPREAD.uniform(0.8, 1.0)):
            with beating:
                is_heard = ending.is_set() or reach(lambda: line.beat(wait.doing))
            pause_s = _BEAT_S if is_heard else _NEXT_TRY_S

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        ending.set()
        # A heartbeat that arrives after the sign-off would undo it
        beating.acquire(timeout=1.0)
        if reach(line.sign_off):
            session.end()


def _return_memory() -> None:
    """Give memory that is free inside this process back to the system, where the C library can."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
