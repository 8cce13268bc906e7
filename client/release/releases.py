"""Which parts of a site's cohort may have numbers released, given all earlier releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from client.release.registry import ReleaseRegistry, digest_reading, digest_row
from common.plan.matrix import Part, TablePart
from common.plan.study import StudyPlan

NamedCohort: TypeAlias = tuple[str, Sequence[PreparedCase]]
"""A cohort that is not one of the plan's parts: its definition, and its patients."""


@dataclass(frozen=True)
class SiteReleases:
    """Checks the parts of one site's cohort against the registry of released cohorts.

    Attributes
    ----------
    plan : StudyPlan
        The approved plan.
    cases : tuple of PreparedCase
        All patients of the site.
    registry : ReleaseRegistry
        The cohorts that were released before.
    """

    plan: StudyPlan
    cases: tuple[PreparedCase, ...]
    registry: ReleaseRegistry

    def find_too_close(self, *parts: Part | TablePart) -> tuple[bool, ...]:
        """For each part that one stage asks about, whether the registry forbids it.

        Raises
        ------
        PolicyError, StorageError
            As `ReleaseRegistry.find_too_close`.
        """
        return self.registry.find_too_close([(self._define(part), self._digests_of(part)) for part in parts])

    def remember(self, *parts: Part | TablePart) -> None:
        """Add the parts to the registry, before any number of them leaves.

        Raises
        ------
        SmallNumberError
            If the registry forbids a part, even if the guard round's answer was ignored.
        PolicyError, StorageError
            As `ReleaseRegistry.find_too_close`.
        """
        for part in parts:
            if part not in self._remembered:
                self.registry.remember(self._define(part), self._digests_of(part))
                self._remembered.add(part)

    def find_too_close_readings(self, cohorts: Sequence[NamedCohort]) -> tuple[bool, ...]:
        """Like `find_too_close`, for repeated readings: a changed reading counts as a changed row."""
        rows = self.registry.find_too_close([self._digest_rows(*cohort) for cohort in cohorts])
        readings = self._readings.find_too_close([self._digest_readings(*cohort) for cohort in cohorts])
        return tuple(by_row or by_reading for by_row, by_reading in zip(rows, readings, strict=True))

    def remember_readings(self, cohorts: Sequence[NamedCohort]) -> None:
        """As `remember`, for patients who were read twice."""
        for cohort in cohorts:
            self.registry.remember(*self._digest_rows(*cohort))
            self._readings.remember(*self._digest_readings(*cohort))

    @property
    def _readings(self) -> ReleaseRegistry:
        """The registry of readings, in another file: digests of readings never equal digests of rows."""
        return replace(self.registry, path=self.registry.path.with_name("released-readings.json"))

    def _digest_rows(self, name: str, cases: Sequence[PreparedCase]) -> tuple[str, tuple[str, ...]]:
        return self._define(name), tuple(self._digest_by_patient[case.patient.identifier] for case in cases)

    def _digest_readings(self, name: str, cases: Sequence[PreparedCase]) -> tuple[str, tuple[str, ...]]:
        return self._define(name), tuple(digest_reading(case) for case in cases)

    @cached_property
    def _remembered(self) -> set[Part | TablePart]:
        """What this process has added, so that a round of Newton's method does not read the file again."""
        return set()

    def _define(self, part: str) -> str:
        return f"{self.plan.cohort.outcome.endpoint}, {part}"

    def _digests_of(self, part: Part | TablePart) -> tuple[str, ...]:
        return tuple(self._digest_by_patient[case.patient.identifier] for case in cases_of(self.cases, part))

    @cached_property
    def _digest_by_patient(self) -> dict[str, str]:
        return {case.patient.identifier: digest_row(case) for case in self.cases}
