"""The site's own copy of the study's program: which questions follow, given what was answered and opened.

It runs the same procedures as the coordinator, with the sums that this site knows: its own, and those of its
groups once they are proved. Several may be on their way at once; one begins once those on which it builds are
finished, and these are then asked nothing more. After a restart it runs again over what is on the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from client.door.comparison import MeasureShift, check_parameters
from client.door.course import AskedStep, Course, GroupSummaries
from common.errors import NotThePlanError
from common.messages.groups import groups_of
from common.messages.headers import RequestHeader
from common.plan.study import StudyPlan
from common.program.steps import Step
from common.program.study_program import Known, Procedure, list_procedures
from common.stats.branches import Branches, Fork


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
    turned : mapping of str to frozenset of Fork
        By procedure, where it takes the other branch, a statistic being as good as its threshold; by default
        it takes those of its own numbers.
    """

    plan: StudyPlan
    site: str
    measure: MeasureShift
    turned: Mapping[str, frozenset[Fork]] = field(default_factory=dict)
    _procedures: dict[str, Procedure] = field(default_factory=dict)
    _courses: dict[str, Course] = field(default_factory=dict)
    _latest: str = ""

    def __post_init__(self) -> None:
        self._procedures = {procedure.name: procedure for procedure in list_procedures(self.plan)}

    def follow(self, asked: AskedStep) -> bool:
        """Go on to a question, if it is what may be asked now; whether the site's patients are in it.

        Raises
        ------
        NotThePlanError
            If it is not.
        """
        header = asked.header
        course = self._open_course(header)
        if course.is_member:
            with course.branches.decide():
                self._match(course, asked)
        elif self._is_about_own(header):
            raise NotThePlanError(f"{header.operation} of this site's patients, in {header.procedure}")
        course.note(asked)
        self._latest = header.procedure
        return course.is_member

    def learn(self, sums: GroupSummaries, procedure: str = "") -> None:
        """Take sums, known now, of the last question of a procedure; by default of the last of all."""
        self._courses[procedure or self._latest].learn(sums)

    def has_finished(self, procedure: str) -> bool:
        """Whether another that builds on a procedure has begun."""
        return self._courses[procedure].is_finished

    def find_expected(self) -> Step | None:
        """Of the procedure that was asked last, the step that it expects; None where nothing follows."""
        course = self._courses.get(self._latest)
        return None if course is None else course.expected

    def list_concerned(self, name: str) -> tuple[Course, ...]:
        """The procedures on whose branches a question of this one depends, itself first, then the latest."""
        if name not in self._procedures:
            return ()
        earlier = reversed(self._procedures[name].builds_on)
        return tuple(self._courses[one] for one in (name, *earlier) if one in self._courses)

    def _open_course(self, header: RequestHeader) -> Course:
        """The procedure of a question, once it has what came back from the question before.

        Raises
        ------
        NotThePlanError
            If the plan has no such procedure, it is finished, or this step was answered.
        """
        course = self._courses.get(header.procedure)
        if header.procedure not in self._procedures:
            raise NotThePlanError(f"the plan has no procedure {header.procedure!r}")
        if course is None:
            return self._begin(header.procedure)
        if course.is_finished or header.step <= course.number:
            raise NotThePlanError(
                f"{header.procedure}, step {header.step}: this or a later step was answered"
            )
        course.advance()
        return course

    def _begin(self, name: str) -> Course:
        """Begin a procedure, once those on which it builds are finished.

        Raises
        ------
        NotThePlanError
            If what it needs of them is not known here.
        """
        procedure = self._procedures[name]
        for earlier in procedure.builds_on:
            # What asks nothing comes to something, too
            (self._courses.get(earlier) or self._begin(earlier)).finish()
        branches = Branches(self.turned.get(name, frozenset()))
        course = self._courses[name] = Course(self.plan, self.site, procedure, branches)
        course.begin(self._find_known(procedure))
        return course

    def _find_known(self, procedure: Procedure) -> Known:
        """What those came to on which a procedure builds: it knows of no others."""
        return {
            name: outcome
            for name in procedure.builds_on
            if name in self._courses
            for outcome in self._courses[name].outcome
        }

    def _match(self, course: Course, asked: AskedStep) -> None:
        """Find the step that is asked among those that may follow.

        Raises
        ------
        NotThePlanError
            If there is none.
        """
        header = asked.header
        while course.expected is not None:
            step = course.expected
            if step.is_glance:
                course.glance(asked)
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
            course.go_on(None)
        raise NotThePlanError(f"{header.procedure}, step {header.step}: nothing more follows from the plan")

    def _is_about_own(self, header: RequestHeader) -> bool:
        groups = groups_of(self.plan, header.operation, header.stage, header.arm)
        return any(self.site in group.sites for group in groups)


def _is_about(step: Step, header: RequestHeader) -> bool:
    """Whether a question is the one of the step, whatever its parameters."""
    return (
        (step.operation, step.model, step.arm, step.stage)
        == (header.operation, header.model, header.arm, header.stage)
        and step.round in {None, header.round}
        and step.regressions in {None, header.regressions}
        and (step.carries_weights or not header.has_weights)
    )
