"""Which parts of a site's patients numbers may leave of, in this study and after all earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from client.prepare import PreparedCase
from client.registry import ReleaseRegistry, reading_digest, row_digest
from client.scoreboard import cases_of
from common.matrix import Part, TablePart
from common.study import StudyPlan

Named: TypeAlias = tuple[str, Sequence[PreparedCase]]
"""A cohort that is no part of the plan's, by its definition."""


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

    def too_close_readings(self, cohorts: Sequence[Named]) -> tuple[bool, ...]:
        """The same of patients who were read twice; another reading of a patient is another row, too."""
        rows = self.registry.too_close_together([self._by_row(*one) for one in cohorts])
        read = self._read.too_close_together([self._by_reading(*one) for one in cohorts])
        return tuple(one or other for one, other in zip(rows, read, strict=True))

    def remember_readings(self, cohorts: Sequence[Named]) -> None:
        """The same of patients who were read twice; raises as `remember`."""
        for one in cohorts:
            self.registry.remember(*self._by_row(*one))
            self._read.remember(*self._by_reading(*one))

    @property
    def _read(self) -> ReleaseRegistry:
        """A file of its own: digests of readings are no digests of rows, and never the same."""
        return replace(self.registry, path=self.registry.path.with_name("released-readings.json"))

    def _by_row(self, name: str, cases: Sequence[PreparedCase]) -> tuple[str, tuple[str, ...]]:
        return self._definition(name), tuple(self._digest[case.patient.identifier] for case in cases)

    def _by_reading(self, name: str, cases: Sequence[PreparedCase]) -> tuple[str, tuple[str, ...]]:
        return self._definition(name), tuple(reading_digest(case) for case in cases)

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
