"""A question as one site sees it: what was asked, of which patients, and who stands behind each number."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from client.answers.patient_arrays import make_arm_matrix
from client.answers.score_store import ScoreStore
from client.answers.scoreboard import Scoreboard, open_scoreboard
from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from common.messages.catalogue import Operation
from common.messages.groups import groups_of
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters
from common.plan.study import StudyPlan
from common.types import Flags, Reals


@dataclass(frozen=True)
class Backing:
    """The patients of this site behind some numbers of an answer.

    Attributes
    ----------
    what : str
        The numbers in words: "a regression was", which is followed by "asked for with too few patients".
    sites : tuple of str
        Over whom the numbers are added.
    cohort : str
        To which of the cohorts that the site remembers the patients belong.
    complete : bool array, shape (analyses, n)
        Who of them has all that each analysis needs.
    labels : bool array, shape (n,)
        Their outcomes.
    part : str
        How names of the answer's arrays begin that are of these patients; empty if there are no others.
    rows : tuple of str
        How each analysis is named there, if it is.
    columns : tuple of int
        Columns of covariates of each analysis; empty where analyses have none.
    folds : bool array, shape (folds, n), or None
        Who is in each fold of a cross-validation: counted with the analyses before it is asked.
    """

    what: str
    sites: tuple[str, ...]
    cohort: str
    complete: Flags
    labels: Flags
    part: str = ""
    rows: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()
    folds: Flags | None = None


@dataclass(frozen=True)
class Inquiry:
    """One question to one site.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        Its name.
    cases : tuple of PreparedCase
        Its patients.
    store : ScoreStore
        The scores that the study's models gave them.
    seed : int
        With which the site deals its patients into folds.
    header : RequestHeader
        What is asked.
    parameters : Parameters
        What it carries.
    matrices : dict of str to float array
        Design matrices of the training patients that were made before, by arm.
    """

    plan: StudyPlan
    site: str
    cases: tuple[PreparedCase, ...]
    store: ScoreStore
    seed: int
    header: RequestHeader
    parameters: Parameters
    matrices: dict[str, Reals] = field(default_factory=dict, repr=False)

    @property
    def is_guard(self) -> bool:
        """Whether patients are counted alone, before anything else is asked of them."""
        return self.header.operation is Operation.GUARD

    @property
    def row(self) -> int:
        """The site's position among the plan's."""
        return self.plan.site_names.index(self.site)

    @cached_property
    def training(self) -> tuple[PreparedCase, ...]:
        """The patients on whom models of the table are fitted."""
        return cases_of(self.cases, "training")

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The sites over which the answer is added, where it is added as a whole."""
        groups = groups_of(self.plan, self.header.operation, self.header.stage, self.header.arm)
        return next((group.sites for group in groups if self.site in group.sites), groups[0].sites)

    def make_matrix(self) -> Reals:
        """The training patients' design matrix in the arm, whose networks' scores may be covariates."""
        arm = self.header.arm
        if arm not in self.matrices:
            self.matrices[arm] = make_arm_matrix(self.plan, self.store, self.cases, (arm, self.training))
        return self.matrices[arm]

    @cached_property
    def board(self) -> Scoreboard:
        """Every score of every patient."""
        return open_scoreboard(self.plan, self.site, self.cases, self.store)
