"""One procedure of the study's program as a site follows it: the step it expects, the sums it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from client.door.comparison import IMPOSSIBLE
from common.errors import NotThePlanError, UnknownSumError
from common.messages.catalogue import find_question
from common.messages.groups import groups_of
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters
from common.plan.study import StudyPlan
from common.program.steps import Answered, GroupSums, Step
from common.program.study_program import Known, Procedure
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
class Course:
    """A procedure, as far as the site was asked.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        Its name.
    procedure : Procedure
        Which one.
    branches : Branches
        Which branches it takes where a statistic is as good as its threshold.
    number : int
        Of the step that was asked last; 0 before the first.
    expected : Step or None
        The step that may be asked next, unless the program has to be given the last sums first; None where
        nothing follows.
    is_finished : bool
        Whether another that builds on it has begun: nothing of it is asked any more.
    outcome : tuple of object
        What it came to, in a tuple; an empty one before it ended, or where that is not known here.
    """

    plan: StudyPlan
    site: str
    procedure: Procedure
    branches: Branches
    number: int = 0
    expected: Step | None = None
    is_finished: bool = False
    outcome: tuple[object, ...] = ()
    _send: Callable[[Answered | None], Step] | None = None
    _last: AskedStep | None = None
    _sums: GroupSummaries = field(default_factory=dict)

    @property
    def is_member(self) -> bool:
        """Whether it is about this site's patients."""
        return self.site in self.procedure.sites

    def begin(self, known: Known) -> None:
        """Go to the first step, from what the procedures on which it builds came to.

        Raises
        ------
        NotThePlanError
            If the program cannot begin without what is not known here.
        """
        program = self.procedure.begin(known) if self.is_member else None
        if program is not None:
            self._send = program.send
            self.go_on(None)

    def note(self, asked: AskedStep) -> None:
        """Remember a question that was admitted."""
        self.number, self._last, self._sums = asked.header.step, asked, {}

    def learn(self, sums: GroupSummaries) -> None:
        """Take sums of the last question that are known now."""
        self._sums |= sums

    def advance(self) -> None:
        """Give the program what came back from the last question.

        Raises
        ------
        UnknownSumError
            If a sum that comes back to this site was not proved to it.
        NotThePlanError
            As `go_on`.
        """
        if self._send is None or self._last is None:
            return
        last, self._last = self._last, None
        header = last.header
        groups = groups_of(self.plan, header.operation, header.stage, header.arm)
        known, is_complete = self._sums, all(self.site in group.sites for group in groups)
        question = find_question(header.operation, header.stage)
        for group in groups:
            comes_back = self.site in group.sites and question.steers_in_all_groups
            if comes_back and group.sites not in known:
                self._send = self.expected = None
                raise UnknownSumError(
                    f"{header.procedure}, step {header.step}: its sum over "
                    f"{', '.join(group.sites)} was not proved"
                )
        sums = GroupSums(dict(known), self.site)
        self.go_on(Answered(sums, last.parameters, header.regressions, is_complete=is_complete))

    def glance(self, asked: AskedStep) -> None:
        """Let the program look at what is asked, before it is compared with what it expects."""
        sums = GroupSums({}, self.site)
        self.go_on(Answered(sums, asked.parameters, asked.header.regressions, is_complete=False))

    def finish(self) -> None:
        """End it, because another that builds on it begins: its last sums may make it come to something."""
        self.is_finished = True
        if self._send is None or self._last is None:
            return
        try:
            self.advance()
            while self.expected is not None and self.expected.is_optional:
                self.go_on(None)
        except NotThePlanError:
            # Not known here: what builds on it will be refused
            return

    def go_on(self, answered: Answered | None) -> None:
        """Go on to the next step that is addressed to this site.

        Raises
        ------
        NotThePlanError
            If the program cannot go on without a sum that is not known here, or from what was chosen.
        """
        if self._send is None:
            return
        try:
            with self.branches.decide():
                step = self._send(answered)
                while step.sites and self.site not in step.sites:
                    step = self._send(Answered(GroupSums({}, self.site), is_complete=False))
            self.expected = step
        except StopIteration as end:
            self.outcome = (end.value,)
            self._send = self.expected = None
        except NotThePlanError:
            self._send = self.expected = None
            raise
        except IMPOSSIBLE as failure:
            # What the coordinator chose in the last question leads nowhere
            self._send = self.expected = None
            raise NotThePlanError(
                f"{self.procedure.name}: what was chosen is impossible ({failure})"
            ) from None
