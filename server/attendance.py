"""Which sites the study waits for, since when and why: told once, repeated rarely, and bounded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from common.errors import StorageError
from common.runtime.watch.plain_times import tell_clock, tell_length, write_moment
from server.watch.watched_parts import PauseEnding, PauseStage

_log = logging.getLogger(__name__)

_REPEAT_S = 600.0
"""Until it is said again for whom the study waits."""


@dataclass(frozen=True)
class Absence:
    """A site that was asked and cannot answer at present.

    Attributes
    ----------
    reason : str
        Why, in words, such as "node not connected".
    remedy : str
        What to do about it.
    since : float
        When this was noticed, in seconds since 1970.
    pause : PauseStage
        Whether the study waits for it.
    """

    reason: str
    remedy: str
    since: float
    pause: PauseStage = "none"

    def describe(self) -> str:
        """Since when and why, such as "since 14:03 (node not connected)"."""
        return f"{self.describe_since()} ({self.reason})"

    def describe_since(self) -> str:
        """Since when, such as "since 14:03"."""
        return f"since {tell_clock(write_moment(self.since))}"


@dataclass
class Attendance:
    """Whom the study waits for; who watches it may read `absent` and `asked` at any time.

    Attributes
    ----------
    wait_s : float
        For how long the study waits for a site that cannot answer, seconds; 0: not at all.
    absent : dict of str to Absence
        By site: whoever is missed now.
    asked : dict of str to float
        By site: since when it is at work on a question, in seconds since 1970.
    epochs : dict of str to (int, int)
        By site: number of the epoch that it trains, and how many there are, as its link told last.
    on_pause : callable
        Is told of each pause that is over: the site's name, since when it was missed, in seconds since 1970,
        for how many seconds, and how the pause ended.
    """

    wait_s: float = 0.0
    absent: dict[str, Absence] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    epochs: dict[str, tuple[int, int]] = field(default_factory=dict)
    on_pause: Callable[[str, float, float, PauseEnding], None] = lambda *_: None
    _told: dict[str, float] = field(default_factory=dict)

    def miss(self, site: str, reason: str, remedy: str) -> None:
        """Note that a site cannot answer; it stays missed since it was missed first."""
        known = self.absent.get(site)
        before = known or Absence(reason, remedy, time.time())
        self.absent[site] = replace(before, reason=reason, remedy=remedy)
        if known is None or known.reason != reason:
            self._told.pop(site, None)
        if self.has_patience(site):
            self.absent[site] = replace(self.absent[site], pause="goes on")
            self.remind(site)

    def remind(self, site: str) -> None:
        """Say for whom the study waits, unless that was said a short time ago."""
        now = time.time()
        if now - self._told.get(site, -_REPEAT_S) < _REPEAT_S:
            return
        self._told[site] = now
        absence = self.absent[site]
        _log.warning(
            "paused, waiting for %s %s -> %s; goes on by itself, waits until %s, Ctrl-C ends it",
            site,
            absence.describe(),
            absence.remedy,
            tell_clock(write_moment(absence.since + self.wait_s)),
        )

    def welcome(self, site: str) -> None:
        """Note that a site has answered."""
        self.asked.pop(site, None)
        self._told.pop(site, None)
        absence = self.absent.pop(site, None)
        if absence is None or absence.pause == "none":
            return
        took = time.time() - absence.since
        _log.info("%s is back after %s; goes on", site, tell_length(took))
        if absence.pause == "goes on":
            self.on_pause(site, absence.since, took, "back")

    def give_up(self, site: str) -> None:
        """Note that the study waits no more for a site, if it did: it goes on without it, or ends."""
        absence = self.absent.get(site)
        if absence is None or absence.pause != "goes on":
            return
        self.absent[site] = replace(absence, pause="is over")
        took = time.time() - absence.since
        _log.warning(
            "waits no longer for %s, after %s: missed %s", site, tell_length(took), absence.describe()
        )
        self.on_pause(site, absence.since, took, "given up")

    @contextmanager
    def attend(self) -> Iterator[None]:
        """A context in which the study runs; if it fails or is ended, so are the pauses that go on.

        They stay in `absent`, for whoever tells of the end.
        """
        try:
            yield
        except BaseException:
            self._end_pauses()
            raise

    def _end_pauses(self) -> None:
        now = time.time()
        for site, absence in self.absent.items():
            if absence.pause == "goes on":
                # Whatever ends the run is told, not that this could not be written
                with suppress(StorageError):
                    self.on_pause(site, absence.since, now - absence.since, "run ended")

    def has_patience(self, site: str) -> bool:
        """Whether to wait on for a site that is missed."""
        absence = self.absent[site]
        return absence.pause != "is over" and time.time() - absence.since < self.wait_s
