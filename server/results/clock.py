"""How long each phase of a run takes, and what it exchanges with the sites, written down as it happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from common.runtime.watch.plain_times import write_moment
from server.results.journal import Journal, PauseLine, PhaseLine, RunLine, add_up

if TYPE_CHECKING:
    from server.exchange import Traffic
    from server.watch.watched_parts import PauseEnding


@dataclass
class PhaseClock:
    """Measures the phases of one run, in the study's journal.

    Attributes
    ----------
    traffic : Traffic
        What was exchanged with the sites in this run so far.
    journal : Journal
        Of the study.
    run : int
        Number of the run.
    on_phase : callable
        Makes a context of each phase's name that is open as long as the phase.
    """

    traffic: Traffic
    journal: Journal
    run: int
    on_phase: Callable[[str], AbstractContextManager[object]] = nullcontext
    _phase: str = field(default="", repr=False)
    _began: float = field(default=0.0, repr=False)
    _before: Traffic | None = field(default=None, repr=False)
    _known: list[PhaseLine] = field(default_factory=list, repr=False)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """A context whose time and traffic are written down as the cost of this phase.

        Raises
        ------
        StorageError
            If the journal cannot be written.
        """
        self._begin(name)
        try:
            with self.on_phase(name):
                yield
        finally:
            self.note()
            self._before = None

    @contextmanager
    def measure_together(self, names: Sequence[str]) -> Iterator[Callable[[str], None]]:
        """A context of phases whose questions travel together; it gives what is told of which a round is.

        Parameters
        ----------
        names : sequence of str
            All of them, in the study's order.

        Raises
        ------
        StorageError
            If the journal cannot be written.
        """
        for name in names:
            # So they stand in the journal in their order, also those that never have a round to themselves
            self._begin(name)
            self.note()
        self._before = None
        with ExitStack() as leading:

            def lead(name: str) -> None:
                if self._before is None or name != self._phase:
                    leading.close()
                    leading.enter_context(self.measure(name))

            yield lead

    def _begin(self, name: str) -> None:
        self._phase, self._began, self._before = name, time.perf_counter(), replace(self.traffic)
        self._known = [line for line in self.journal.phases if (line.run, line.phase) == (self.run, name)]

    def note(self) -> None:
        """Write down what the phase has cost so far; nothing between phases.

        Raises
        ------
        StorageError
            If the journal cannot be written.
        """
        before, now = self._before, self.traffic
        if before is None:
            return
        line = PhaseLine(
            run=self.run,
            phase=self._phase,
            at=tell_time(),
            seconds=round(time.perf_counter() - self._began, 3),
            rounds=now.rounds - before.rounds,
            messages=now.messages - before.messages,
            bytes_sent=now.bytes_sent - before.bytes_sent,
            bytes_received=now.bytes_received - before.bytes_received,
        )
        self.journal.append(add_up([*self._known, line])[line.phase])

    def note_pause(self, site: str, since: float, seconds: float, ending: PauseEnding) -> None:
        """Write down that the study has waited for a site, and does so no more.

        Parameters
        ----------
        site : str
            Its name.
        since : float
            When it was missed first, in seconds since 1970.
        seconds : float
            Until the pause was over.
        ending : PauseEnding
            How it ended.

        Raises
        ------
        StorageError
            If the journal cannot be written.
        """
        line = PauseLine(
            run=self.run,
            site=site,
            since=write_moment(since),
            at=tell_time(),
            seconds=round(max(seconds, 0.0), 3),
            ending=ending,
        )
        self.journal.append(line)


def start_clock(
    traffic: Traffic, journal: Journal, versions: Mapping[str, str], *, earlier: bool
) -> PhaseClock:
    """The clock of a new run, whose beginning is now in the journal.

    Parameters
    ----------
    traffic : Traffic
        What is exchanged with the sites in this run.
    journal : Journal
        Of the study.
    versions : mapping of str to str
        Of the coordinator's Python and packages.
    earlier : bool
        Whether the study's folder shows that runs before this one left no line in the journal.

    Raises
    ------
    StorageError
        If the journal cannot be written.
    """
    number = len(journal.runs) + 1
    journal.append(RunLine(run=number, started=tell_time(), versions=dict(versions), earlier=earlier))
    return PhaseClock(traffic, journal, number)


def tell_time() -> str:
    """Now, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
