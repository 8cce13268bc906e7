"""The site's own copy of the study's program: which question follows, given what was answered and opened.

It runs the same procedures as the coordinator, with the sums that this site knows: its own, and those of its
groups once they are proved. After a restart it runs again over what is on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from client.door.comparison import IMPOSSIBLE, MeasureShift, check_parameters
from common.errors import NotThePlanError, UnknownSumError
from common.messages.catalogue import find_question
from common.messages.groups import SiteGroup, groups_of
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters
from common.plan.study import StudyPlan
from common.program.steps import Answered, GroupSums, Program, Step
from common.program.study_program import Procedure, list_procedures
from common.stats.branches import Branches
from common.stats.contract import Summary

GroupSummaries: TypeAlias = dict[tuple[str, ...], Summary]
"""Sums by the sites over whom they are."""


@dataclass(frozen=True)
class AskedStep:
    """A question that was asked of this site.

    Attributes
    ----------
    header : RequestHeader
        What was asked.
    parameters : Parameters
        What it carried, without weights.
    """

    header: RequestHeader
    parameters: Parameters


@dataclass
class Follower:
    """Runs the program as far as the site was asked.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        Its name.
    measure : callable
        How far a linear predictor of the site's patients moves between two sets of coefficients.
    branches : Branches
        Which branches it takes where a statistic is as good as its threshold; by default its own numbers'.
    """

    plan: StudyPlan
    site: str
    measure: MeasureShift
    branches: Branches = field(default_factory=Branches)
    _procedures: tuple[Procedure, ...] = ()
    _place: int = -1
    _number: int = 0
    _program: Program[object] | None = None
    _expected: Step | None = None
    _last: AskedStep | None = None
    _sums: GroupSummaries = field(default_factory=dict)
    _known: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._procedures = list_procedures(self.plan)

    def follow(self, asked: AskedStep) -> bool:
        """Go on to a question, if it is what may be asked now; whether the site's patients are in it.

        Raises
        ------
        NotThePlanError
            If it is not.
        """
        with self.branches.decide():
            return self._follow(asked)

    def _follow(self, asked: AskedStep) -> bool:
        header = asked.header
        place = self._find_place(header.procedure)
        if place < self._place or (place == self._place and header.step <= self._number):
            raise NotThePlanError(
                f"{header.procedure}, step {header.step}: this or a later step was answered"
            )
        if place != self._place:
            self._finish()
            # What asks nothing comes to something, too
            for between in range(self._place + 1, place + 1):
                self._begin(between)
        else:
            self._advance()
        is_member = self.site in self._procedures[place].sites
        if is_member:
            self._match(asked)
        elif any(self.site in group.sites for group in _list_groups(self.plan, header)):
            raise NotThePlanError(f"{header.operation} of this site's patients, in {header.procedure}")
        self._number, self._last, self._sums = header.step, asked, {}
        return is_member

    def learn(self, sums: GroupSummaries) -> None:
        """Take sums of the last question that are known now."""
        self._sums |= sums

    def _find_place(self, name: str) -> int:
        places = [place for place, procedure in enumerate(self._procedures) if procedure.name == name]
        if not places:
            raise NotThePlanError(f"the plan has no procedure {name!r}")
        return places[0]

    def _begin(self, place: int) -> None:
        self._place, self._number, self._last, self._expected = place, 0, None, None
        procedure = self._procedures[place]
        self._program = procedure.begin(self._known) if self.site in procedure.sites else None
        if self._program is not None:
            self._send(None, is_first=True)

    def _finish(self) -> None:
        """End the procedure before another begins: it may have come to something with its last sums."""
        if self._program is None or self._last is None:
            return
        try:
            self._advance()
            while self._expected is not None and self._expected.is_optional:
                self._send(None)
        except NotThePlanError:
            # Not known here: what builds on it will be refused
            return

    def _advance(self) -> None:
        """Give the program what came back from the last question.

        Raises
        ------
        UnknownSumError
            If a sum that comes back to this site was not proved to it.
        """
        if self._program is None or self._last is None:
            return
        last, self._last = self._last, None
        groups = _list_groups(self.plan, last.header)
        known, is_complete = self._sums, all(self.site in group.sites for group in groups)
        question = find_question(last.header.operation, last.header.stage)
        for group in groups:
            comes_back = self.site in group.sites and question.steers_in_all_groups
            if comes_back and group.sites not in known:
                self._program = self._expected = None
                raise UnknownSumError(
                    f"{last.header.procedure}, step {last.header.step}: its sum over "
                    f"{', '.join(group.sites)} was not proved"
                )
        sums = GroupSums(dict(known), self.site)
        self._send(Answered(sums, last.parameters, last.header.regressions, is_complete=is_complete))

    def _send(self, answered: Answered | None, *, is_first: bool = False) -> None:
        """Go on to the next step that is addressed to this site.

        Raises
        ------
        NotThePlanError
            If the program cannot go on without a sum that is not known here.
        """
        if self._program is None:
            return
        try:
            step = next(self._program) if is_first else self._program.send(answered)
            while step.sites and self.site not in step.sites:
                step = self._program.send(Answered(GroupSums({}, self.site), is_complete=False))
            self._expected = step
        except StopIteration as end:
            self._known[self._procedures[self._place].name] = end.value
            self._program = self._expected = None
        except NotThePlanError:
            self._program = self._expected = None
            raise
        except IMPOSSIBLE as failure:
            # What the coordinator chose in the last question leads nowhere
            self._program = self._expected = None
            raise NotThePlanError(
                f"{self._procedures[self._place].name}: what was chosen is impossible ({failure})"
            ) from None

    def _match(self, asked: AskedStep) -> None:
        """Find the step that is asked among those that may follow.

        Raises
        ------
        NotThePlanError
            If there is none.
        """
        header = asked.header
        while self._expected is not None:
            step = self._expected
            if step.is_glance:
                self._send(
                    Answered(
                        GroupSums({}, self.site), asked.parameters, header.regressions, is_complete=False
                    )
                )
                continue
            if _is_about(step, header):
                own = self.plan.site_names.index(self.site)
                check_parameters(step, asked.parameters, own, self.measure)
                return
            if not step.is_optional:
                raise NotThePlanError(
                    f"{header.procedure}, step {header.step}: {header.operation} {header.stage} was asked, "
                    f"{step.operation} {step.stage} follows from the plan"
                )
            self._send(None)
        raise NotThePlanError(f"{header.procedure}, step {header.step}: nothing more follows from the plan")


def _list_groups(plan: StudyPlan, header: RequestHeader) -> tuple[SiteGroup, ...]:
    return groups_of(plan, header.operation, header.stage, header.arm)


def _is_about(step: Step, header: RequestHeader) -> bool:
    """Whether a question is the one of the step, whatever its parameters."""
    return (
        (step.operation, step.model, step.arm, step.stage)
        == (header.operation, header.model, header.arm, header.stage)
        and step.round in {None, header.round}
        and step.regressions in {None, header.regressions}
        and (step.carries_weights or not header.has_weights)
    )
