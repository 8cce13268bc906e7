"""Transcripts of opened steps, each before the next message to its site, until the site has answered one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.messages.protocol import Reply, has_answered
from common.secagg.coordinator.forwarding import StepToForward, list_steps, read_step
from common.secagg.coordinator.gathering import Coordinator


@dataclass
class TranscriptPost:
    """What the coordinator still has to tell the sites of the steps that it opened.

    A site that did not answer, or refused, is told again: the same bytes, which it may have had before. A
    step stays on the disk until its session goes on or ends: a site that answered, but was not reached by
    what stood before the question, refuses to go on, and is told once more by a coordinator that resumes.

    Attributes
    ----------
    coordinator : Coordinator
        Signs the transcripts.
    sessions : Path
        The folder with the sessions' folders.
    """

    coordinator: Coordinator
    sessions: Path
    _steps: dict[Path, StepToForward] = field(default_factory=dict)
    _told: dict[Path, set[str]] = field(default_factory=dict)
    _done: set[Path] = field(default_factory=set)
    _attached: dict[str, list[Path]] = field(default_factory=dict)

    def attach(self, messages: Mapping[str, bytes]) -> dict[str, bytes]:
        """The messages, by the site's name, with what each site has to be told before its own.

        Raises
        ------
        ResumeError
            If a step that is kept is damaged.
        """
        steps = self._read_steps()
        attached = {}
        for site, message in messages.items():
            waiting = [path for path in steps if self._is_owed(path, site)]
            self._attached[site] = waiting
            number = self._number_of(site)
            told = [steps[path].make_transcript(self.coordinator, number) for path in waiting]
            attached[site] = b"".join((*told, message)) if told else message
        return attached

    def confirm(self, replies: Mapping[str, Reply]) -> None:
        """Note which sites have been told; a step that all have been told is read no more."""
        for site, reply in replies.items():
            attached = self._attached.pop(site, ())
            if attached and has_answered(reply):
                for path in attached:
                    self._told.setdefault(path, set()).add(site)
        for path, step in list(self._steps.items()):
            if self._names_of(step.sites) <= self._told.get(path, set()):
                self._done.add(path)
                self._forget(path)

    def _read_steps(self) -> dict[Path, StepToForward]:
        """The steps that are on the disk; each file is read once."""
        paths = list_steps(self.sessions)
        self._done &= set(paths)
        for path in set(self._steps) - set(paths):
            self._forget(path)
        for path in (path for path in paths if path not in self._done):
            step = self._steps.get(path) or read_step(path)
            if step is not None:
                self._steps[path] = step
        return dict(self._steps)

    def _forget(self, path: Path) -> None:
        del self._steps[path]
        self._told.pop(path, None)

    def _is_owed(self, path: Path, site: str) -> bool:
        is_in_it = self._number_of(site) in self._steps[path].sites
        return is_in_it and site not in self._told.get(path, set())

    def _number_of(self, site: str) -> int:
        return self.coordinator.roster.find_by_name(site).id

    def _names_of(self, numbers: Iterable[int]) -> frozenset[str]:
        return frozenset(self.coordinator.names(numbers))
