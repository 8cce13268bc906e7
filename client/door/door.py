"""The one door of a site: a question is answered only if it follows from the plan as far as the study is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from client.door.comparison import MeasureShift
from client.door.course import AskedStep, GroupSummaries
from client.door.follower import Follower
from client.door.forks import follow_any_branch
from client.door.record import DoorRecord
from common.errors import NotThePlanError, SmallNumberError, StorageError
from common.messages.catalogue import Operation, Spared, find_question
from common.messages.groups import groups_of
from common.messages.headers import RequestHeader
from common.messages.protocol import Request
from common.plan.study import StudyPlan
from common.stats.branches import Fork
from common.stats.contract import Summary

_log = logging.getLogger(__name__)
_Asked = TypeVarTuple("_Asked")
_Answer = TypeVar("_Answer")


@dataclass
class StudyDoor:
    """Admits what the approved plan's program asks next, and what was admitted before.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        Its name.
    folder : Path
        Where it keeps what was asked and learnt.
    measure : callable
        How far a linear predictor of the site's patients moves between two sets of coefficients.
    at_least : callable
        How many questions the site's ledger knows to have been admitted: the folder has as many.
    """

    plan: StudyPlan
    site: str
    folder: Path
    measure: MeasureShift
    at_least: Callable[[], int] = lambda: 0
    _follower: Follower | None = field(default=None, repr=False)
    _admitted: dict[str, bool] = field(default_factory=dict, repr=False)
    _arms: dict[str, str] = field(default_factory=dict, repr=False)
    _weights: dict[str, int] = field(default_factory=dict, repr=False)
    _latest: dict[str, str] = field(default_factory=dict, repr=False)
    _proved: set[str] = field(default_factory=set, repr=False)
    _unanswered: str = ""

    def find_weight(self, arm: str) -> int | None:
        """The weight of all sites of an arm in its trainings, once its sum is proved; None before."""
        self._open()
        return self._weights.get(arm)

    def admit(self, request: Request, digest: str, *, is_alone: bool = False) -> bool:
        """Whether this site's patients are in the answer to a question, which is kept before it is answered.

        Parameters
        ----------
        request : Request
            With a verified signature.
        digest : str
            SHA-256 of its bytes. The same bytes may be asked again.
        is_alone : bool
            Whether it is asked outside of sums: then it must be about this site.

        Raises
        ------
        NotThePlanError
            If the question does not follow from the plan and what is known of the sums so far.
        StorageError
            If what was asked before cannot be read, or this cannot be written.
        """
        follower, self._unanswered = self._open(), ""
        if digest in self._admitted:
            return self._admitted[digest]
        step = AskedStep(request.header, request.parameters)
        try:
            self._follower, is_member = self._follow(follower, step, len(self._admitted))
            _insist_member(step, is_member=is_member, is_alone=is_alone)
            # Nobody here has looked at the parameters of a question to which this site adds zeros
            self._record.keep(digest, step if is_member else replace(step, parameters={}))
        except BaseException:
            # It may have gone on: the next question is judged from what is on the disk
            self._follower = None
            raise
        self._note(digest, step, is_member=is_member)
        self._unanswered = digest if is_free_of_choice(request.header) else ""
        return is_member

    def attempt(self, digest: str, compute: Callable[[*_Asked], _Answer], *asked: *_Asked) -> _Answer:
        """What is computed for a question that was admitted just now.

        If a minimum refuses it, nothing of it leaves, and its step is not used up: it may be asked again for
        less. Where the coordinator chooses numbers it stays, because each refusal would tell of patients.

        Raises
        ------
        SmallNumberError
            As it was raised.
        """
        try:
            return compute(*asked)
        except SmallNumberError:
            if digest == self._unanswered:
                self._record.drop_last(digest)
                self._follower, self._unanswered = None, ""
                self._admitted.clear()
                self._latest.clear()
            raise

    def is_current(self, digest: str) -> bool:
        """Whether a question is the last that was admitted in its procedure."""
        self._open()
        return digest in self._latest.values()

    def learn(self, digest: str, sums: GroupSummaries) -> None:
        """Keep sums of a question that was admitted: the site's own, or proved ones.

        What comes once its procedure has gone on without it changes nothing any more, also after a restart:
        questions were admitted meanwhile that may not follow from it.

        Raises
        ------
        NotThePlanError
            If the question was not admitted.
        StorageError
            If they cannot be written.
        """
        follower = self._open()
        if digest not in self._admitted:
            raise NotThePlanError(f"the sum of a question came that was not admitted: {digest[:12]}")
        if not sums:
            return
        procedure = next((name for name, latest in self._latest.items() if latest == digest), "")
        is_late = not procedure or follower.has_finished(procedure)
        self._record.learn(digest, sums, is_late=is_late)
        if any(len(sites) > 1 for sites in sums):
            self._proved.add(digest)
        if not is_late:
            self._take_weight(digest, sums)
            follower.learn(sums, procedure)

    def has_proved(self, digest: str) -> bool:
        """Whether a sum of several sites was proved of a question; False of one that was not admitted.

        Raises
        ------
        StorageError
            As `admit`.
        """
        if digest in self._proved:
            return True
        self._open()
        return digest in self._admitted and self._record.has_proved(digest)

    def _note(self, digest: str, step: AskedStep, *, is_member: bool) -> None:
        self._admitted[digest] = is_member
        self._latest[step.header.procedure] = digest
        if step.header.operation is Operation.WEIGHT:
            self._arms[digest] = step.header.arm

    def _take_weight(self, digest: str, sums: GroupSummaries) -> None:
        arm = self._arms.get(digest)
        summary = None if arm is None else sums.get(self.plan.arm(arm).sites)
        if arm is not None and summary is not None:
            self._weights[arm] = int(summary.counts["patients"])

    @property
    def questions(self) -> int:
        """How many questions of the study were admitted."""
        return len(self._record.list_digests())

    @property
    def _record(self) -> DoorRecord:
        return DoorRecord(self.folder)

    def _open(self) -> Follower:
        """The follower, run again over what is on the disk if this process has not followed yet.

        Raises
        ------
        StorageError
            If the disk holds fewer questions than were admitted, or a damaged one.
        """
        if self._follower is not None:
            return self._follower
        there, needed = self.questions, self.at_least()
        if there < needed:
            raise StorageError(
                f"{self.folder}: has {there} questions, {needed} were admitted by the ledger -> nothing of "
                "this study leaves before it is restored from a backup"
            )
        follower = Follower(self.plan, self.site, self.measure)
        for number, (digest, step, sums) in enumerate(self._record.read()):
            follower, is_member = self._follow(follower, step, number)
            self._note(digest, step, is_member=is_member)
            self._take_weight(digest, sums)
            follower.learn(sums)
        _log.info("door steps=%d", len(self._admitted))
        self._follower = follower
        return follower

    def _follow(self, follower: Follower, step: AskedStep, number: int) -> tuple[Follower, bool]:
        """The follower after the question of this number, from 0; whether the site's patients are in it."""

        def replay(turned: Mapping[str, frozenset[Fork]]) -> Follower:
            other = Follower(self.plan, self.site, self.measure, turned)
            for _, earlier, sums in islice(self._record.read(), number):
                other.follow(earlier)
                other.learn(sums)
            return other

        return follow_any_branch(follower, step, replay)


def is_free_of_choice(header: RequestHeader) -> bool:
    """Whether nothing in a question on patients is the coordinator's choice, but what it leaves out.

    Coefficients are its choice, too, within rounding.
    """
    question = find_question(header.operation, header.stage)
    has_minima = not isinstance(question.demand, Spared)
    return has_minima and not question.chosen and header.operation is not Operation.NEWTON


def _insist_member(step: AskedStep, *, is_member: bool, is_alone: bool) -> None:
    """Refuse a question that is asked alone of a site whose patients it is not about.

    Raises
    ------
    NotThePlanError
        If it is.
    """
    if is_alone and not is_member:
        raise NotThePlanError(f"{step.header.operation} in {step.header.procedure}: not of this site")


def select_own_sums(plan: StudyPlan, header: RequestHeader, site: str, summary: Summary) -> GroupSummaries:
    """Of an answer, the parts that are shown as this site's own, by the group of this site alone."""
    alone = [
        group
        for group in groups_of(plan, header.operation, header.stage, header.arm)
        if group.sites == (site,)
    ]
    selected = {group.sites: group.select(summary) for group in alone}
    return {sites: own for sites, own in selected.items() if own.layout()}
