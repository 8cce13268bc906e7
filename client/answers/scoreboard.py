"""Every score of every patient of one site: a matrix that never leaves it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from client.answers.patient_arrays import labels_of
from client.answers.score_store import ScoreStore
from client.cohort.cases import PreparedCase
from client.cohort.given_scores import find_scaled_scores
from client.cohort.parts import is_in
from common.plan.matrix import Cohort, Part, is_available, scorers_of
from common.plan.study import ScoresModel, StudyPlan
from common.types import Counts, Flags, Reals


@dataclass(frozen=True)
class Scoreboard:
    """The scores of one site's patients.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        The site's name.
    cases : tuple of PreparedCase
        Its patients.
    scores : float array, shape (scorers, n)
        In [0, 1], in the order of `common.plan.matrix.scorers_of`; NaN where a patient has
        none, and everywhere for a model that never came here.
    labels : bool array, shape (n,)
        Whether the plan's endpoint was reached.
    """

    plan: StudyPlan
    site: str
    cases: tuple[PreparedCase, ...]
    scores: Reals
    labels: Flags

    def find_members(self, part: Part) -> Counts:
        """Positions of the patients of a part."""
        return np.flatnonzero([is_in(case, part) for case in self.cases])

    def find_cohort(self, cohort: Cohort) -> Counts:
        """Positions of this site's patients of a cohort; none if it is another site's."""
        return self.find_members(cohort.part) if self.site in cohort.sites else np.empty(0, dtype=np.int64)


def open_scoreboard(
    plan: StudyPlan, site: str, cases: tuple[PreparedCase, ...], store: ScoreStore
) -> Scoreboard:
    """The scores of a site's patients, from the table and from what its models gave them.

    Raises
    ------
    ProtocolError
        If a model has not scored yet.
    StorageError
        If scores that are kept are damaged.
    """
    here = Cohort((site,), "whole")
    rows = []
    for scorer in scorers_of(plan):
        if isinstance(scorer.model, ScoresModel):
            rows.append(find_scaled_scores(cases, scorer.model))
        elif is_available(plan, scorer, here):
            rows.append(store.find(scorer.model.name, scorer.arm.name, cases))
        else:
            rows.append(np.full(len(cases), np.nan))
    return Scoreboard(plan, site, cases, np.stack(rows), labels_of(cases))
