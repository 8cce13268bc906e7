"""Which parts of a site's patients numbers may leave of, in this study and after all earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from client.prepare import PreparedCase
from client.registry import ReleaseRegistry, row_digest
from client.scoreboard import cases_of
from common.matrix import Part, TablePart
from common.study import StudyPlan


@dataclass(frozen=True)
class SiteReleases:
    """The parts of one site's cohort against the registry of what was released before.

    Attributes
    ----------
    plan : StudyPlan
    cases : tuple of PreparedCase
    registry : ReleaseRegistry
    """

    plan: StudyPlan
    cases: tuple[PreparedCase, ...]
    registry: ReleaseRegistry

    def too_close(self, *parts: Part | TablePart) -> tuple[bool, ...]:
        """Which of the parts that one stage asks of together the registry forbids."""
        return self.registry.too_close_together(
            [(self._definition(part), self._digests(part)) for part in parts]
        )

    def remember(self, *parts: Part | TablePart) -> None:
        """Before anything leaves: of released cohorts alone, whatever was made of the guard round.

        Raises
        ------
        SmallNumberError
            If the registry forbids a part.
        """
        for part in parts:
            if part not in self._remembered:
                self.registry.remember(self._definition(part), self._digests(part))
                self._remembered.add(part)

    def too_close_cases(self, cohorts: Sequence[tuple[str, Sequence[PreparedCase]]]) -> tuple[bool, ...]:
        """The same of cohorts that are no part of the plan's, each with its definition."""
        return self.registry.too_close_together([self._released(*cohort) for cohort in cohorts])

    def remember_cases(self, cohorts: Sequence[tuple[str, Sequence[PreparedCase]]]) -> None:
        """The same of cohorts that are no part of the plan's; raises as `remember`."""
        for cohort in cohorts:
            self.registry.remember(*self._released(*cohort))

    def _released(self, name: str, cases: Sequence[PreparedCase]) -> tuple[str, tuple[str, ...]]:
        return self._definition(name), tuple(self._digest[case.patient.identifier] for case in cases)

    @cached_property
    def _remembered(self) -> set[Part | TablePart]:
        """Of this process, so that a round of Newton's method does not read the file again."""
        return set()

    def _definition(self, part: str) -> str:
        return f"{self.plan.cohort.outcome.endpoint}, {part}"

    def _digests(self, part: Part | TablePart) -> tuple[str, ...]:
        return tuple(self._digest[case.patient.identifier] for case in cases_of(self.cases, part))

    @cached_property
    def _digest(self) -> dict[str, str]:
        return {case.patient.identifier: row_digest(case) for case in self.cases}
