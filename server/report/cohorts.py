"""Whose patients: the cohorts of the evaluation in words, and which place each has in the paper's design."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

from server.analyses import Part
from server.report.words import PARTS
from server.results import Cell, Results

Role: TypeAlias = Literal["training", "internal", "external", "everybody"]

ROLES: dict[Role, str] = {
    "training": "Training",
    "internal": "Internal test",
    "external": "External",
    "everybody": "All patients",
}
"""The rows of the paper's Table 3, in its order; everybody is judged where nothing was trained."""


class Cohort(Protocol):
    """Whatever is said of some patients of some sites."""

    @property
    def cohort_sites(self) -> tuple[str, ...]:
        """Whose patients."""

    @property
    def part(self) -> Part:
        """Which of them."""


CohortKey: TypeAlias = tuple[tuple[str, ...], Part]
_OfCohort = TypeVar("_OfCohort", bound=Cohort)


def key_of(cohort: Cohort) -> CohortKey:
    """What tells two cohorts apart."""
    return cohort.cohort_sites, cohort.part


@dataclass(frozen=True)
class Places:
    """The study's centres.

    Attributes
    ----------
    training, external : tuple of str
        By what they do in the study.
    trains : bool
        Whether any model was trained; else all scores were given.
    """

    training: tuple[str, ...]
    external: tuple[str, ...]
    trains: bool

    def label(self, sites: Sequence[str]) -> str:
        """Centres in few words; more than three are counted or named by what they do."""
        if len(sites) <= 3:
            return " + ".join(sites)
        known = {
            frozenset((*self.training, *self.external)): "All centres together",
            frozenset(self.training): "All training centres",
            frozenset(self.external): "All external centres",
        }
        return known.get(frozenset(sites), f"{len(sites)} centres together")

    def cohort(self, cohort: Cohort) -> str:
        """Whose and which patients, in one line."""
        return f"{self.label(cohort.cohort_sites)}, {PARTS[cohort.part]}"

    def role(self, cell: Cell) -> Role | None:
        """The cell's row in the paper's Table 3, if it has one."""
        given = cell.relation == "given"
        if cell.part == "train" and (given or cell.relation == "apparent"):
            return "training"
        if cell.part == "test" and (given or cell.relation == "internal"):
            return "internal"
        if cell.part != "whole":
            return None
        if cell.relation == "external" or (given and set(cell.cohort_sites) <= set(self.external)):
            return "external"
        everybody = set(cell.cohort_sites) == {*self.training, *self.external}
        return "everybody" if given and everybody and not self.trains else None


def places_of(results: Results) -> Places:
    """The centres of a study."""
    trained = any(cell.kind != "given" for cell in results.evaluation)
    return Places(
        training=tuple(site.name for site in results.sites if site.role == "train"),
        external=tuple(site.name for site in results.sites if site.role == "external"),
        trains=trained or bool(results.training or results.fitted),
    )


def largest(cohorts: Iterable[_OfCohort]) -> tuple[_OfCohort, ...]:
    """Those whose centres are not all in another's: centres together, where there is such a cohort."""
    found = tuple(cohorts)
    return tuple(
        one for one in found if not any(set(one.cohort_sites) < set(other.cohort_sites) for other in found)
    )
