"""The cohorts of the evaluation in words, and the role of each in the paper's design."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

from common.plan.matrix import Part
from server.report.words import PART_NAMES
from server.results.evaluation import Cell
from server.results.file import Results

Role: TypeAlias = Literal["training", "internal", "external", "everybody"]

ROLES: dict[Role, str] = {
    "training": "Training",
    "internal": "Internal test",
    "external": "External",
    "everybody": "All patients",
}
"""The rows of the paper's Table 3, in its order; "everybody" appears only if no model was trained."""


class CohortRecord(Protocol):
    """A record that is about a part of the patients of some sites, e.g. a cell or a comparison."""

    @property
    def cohort_sites(self) -> tuple[str, ...]:
        """The sites whose patients it is about, sorted."""

    @property
    def part(self) -> Part:
        """Which of their patients: training, validation, test or all."""


CohortKey: TypeAlias = tuple[tuple[str, ...], Part]
"""Sites and part of a cohort."""
_OfCohort = TypeVar("_OfCohort", bound=CohortRecord)


def key_of(cohort: CohortRecord) -> CohortKey:
    """What distinguishes a cohort from all others: its sites and its part."""
    return cohort.cohort_sites, cohort.part


@dataclass(frozen=True)
class StudyCentres:
    """The study's centres.

    Attributes
    ----------
    training, external : tuple of str
        Names of the centres that train and of those that only evaluate.
    trains : bool
        Whether any model was trained; otherwise all scores were given.
    validates : bool
        Whether some patients are validation patients, who choose the round of a network.
    """

    training: tuple[str, ...]
    external: tuple[str, ...]
    trains: bool
    validates: bool = False

    @property
    def untested(self) -> str:
        """The word for the patients of Tables 1 and 2, who are all but the tested ones.

        Training patients alone are called so only if nobody chooses the round.
        """
        return "training and validation" if self.validates else "training"

    def name_sites(self, sites: Sequence[str]) -> str:
        """The centres in few words; more than three are counted or named by their role."""
        if len(sites) <= 3:
            return " + ".join(sites)
        known = {
            frozenset((*self.training, *self.external)): "All centres together",
            frozenset(self.training): "All training centres",
            frozenset(self.external): "All external centres",
        }
        return known.get(frozenset(sites), f"{len(sites)} centres together")

    def name_cohort(self, cohort: CohortRecord) -> str:
        """The cohort's centres and part, in one line."""
        return f"{self.name_sites(cohort.cohort_sites)}, {PART_NAMES[cohort.part]}"

    def role_of(self, cell: Cell) -> Role | None:
        """The cell's role in the paper's Table 3, or None if the table does not have such a row."""
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


def centres_of(results: Results) -> StudyCentres:
    """The centres of a study."""
    trained = any(cell.kind not in {"given", "earlier"} for cell in results.evaluation)
    return StudyCentres(
        training=tuple(site.name for site in results.sites if site.role == "train"),
        external=tuple(site.name for site in results.sites if site.role == "external"),
        trains=trained or bool(results.training or results.fitted),
        validates=any(
            part.part == "validation" and (part.positive, part.negative) != (0, 0) for part in results.parts
        ),
    )


def keep_largest(cohorts: Iterable[_OfCohort]) -> tuple[_OfCohort, ...]:
    """The cohorts whose centres are not a proper subset of another's."""
    candidates = tuple(cohorts)
    return tuple(
        candidate
        for candidate in candidates
        if not any(set(candidate.cohort_sites) < set(other.cohort_sites) for other in candidates)
    )
