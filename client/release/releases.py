"""Which cohorts of a site may have numbers released, given all earlier releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self, TypeAlias

from client.cohort.cases import PreparedCase
from client.release.registry import ReleaseRegistry, digest_reading, digest_row
from common.errors import SmallNumberError
from common.plan.study import StudyPlan
from common.stats.minima import minima_of

NamedCohort: TypeAlias = tuple[str, Sequence[PreparedCase]]
"""A cohort by its definition, and its patients."""


@dataclass(frozen=True)
class SiteReleases:
    """Checks cohorts of one site against the registry of released ones.

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

    @classmethod
    def open(cls, plan: StudyPlan, cases: tuple[PreparedCase, ...], state: Path) -> Self:
        """The releases of a site that keeps its state in this folder."""
        return cls(plan, cases, open_registry(plan, state))

    def claim(self, cohort: NamedCohort) -> bool:
        """Whether numbers of a network that is trained or judged on the cohort may leave; remembers it if so.

        It is compared with earlier ones of its own kind alone: a small part differs in few patients from any
        other, and is hidden in sums.

        Raises
        ------
        PolicyError, StorageError
            As `ReleaseRegistry.find_too_close`.
        """
        path = self.registry.path.with_name(f"released-networks-{cohort[0]}.json")
        try:
            replace(self.registry, path=path).remember(*self._digest_rows(*cohort))
        except SmallNumberError:
            return False
        return True

    def find_too_close(self, cohorts: Sequence[NamedCohort], *, read_again: bool) -> tuple[bool, ...]:
        """For each cohort that one stage asks about, in order of precedence, whether the registry forbids it.

        Where it is about repeated readings, a changed reading counts as a changed row.

        Raises
        ------
        PolicyError, StorageError
            As `ReleaseRegistry.find_too_close`.
        """
        rows = self.registry.find_too_close([self._digest_rows(*cohort) for cohort in cohorts])
        if not read_again:
            return rows
        readings = self._readings.find_too_close([self._digest_readings(*cohort) for cohort in cohorts])
        return tuple(by_row or by_reading for by_row, by_reading in zip(rows, readings, strict=True))

    def remember(self, cohorts: Sequence[NamedCohort], *, read_again: bool) -> None:
        """Add the cohorts to the registry, before any number of them leaves.

        Raises
        ------
        SmallNumberError
            If the registry forbids one, even if the guard round's answer was ignored.
        PolicyError, StorageError
            As `ReleaseRegistry.find_too_close`.
        """
        for cohort in cohorts:
            if cohort[0] not in self._remembered:
                self.registry.remember(*self._digest_rows(*cohort))
                if read_again:
                    self._readings.remember(*self._digest_readings(*cohort))
                self._remembered.add(cohort[0])

    @property
    def _readings(self) -> ReleaseRegistry:
        """The registry of readings, in another file: digests of readings never equal digests of rows."""
        return replace(self.registry, path=self.registry.path.with_name("released-readings.json"))

    def _digest_rows(self, name: str, cases: Sequence[PreparedCase]) -> tuple[str, tuple[str, ...]]:
        return self._define(name), tuple(self._digest_by_patient[case.patient.identifier] for case in cases)

    def _digest_readings(self, name: str, cases: Sequence[PreparedCase]) -> tuple[str, tuple[str, ...]]:
        return self._define(name), tuple(digest_reading(case) for case in cases)

    def _define(self, name: str) -> str:
        return f"{self.plan.cohort.outcome.endpoint}, {name}"

    @cached_property
    def _remembered(self) -> set[str]:
        """What this process has added, so that a round of Newton's method does not read the file again."""
        return set()

    @cached_property
    def _digest_by_patient(self) -> dict[str, str]:
        return {case.patient.identifier: digest_row(case) for case in self.cases}


def open_registry(plan: StudyPlan, state: Path) -> ReleaseRegistry:
    """The registry of a site that keeps its state in this folder."""
    return ReleaseRegistry(state / "released.json", plan.cohort.maximum_releases, minima_of(plan.profile))
