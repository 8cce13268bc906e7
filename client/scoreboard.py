"""Every score of every patient of one site: a matrix that never leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from client.covariates import labels_of
from client.prepare import PreparedCase
from client.score_store import ScoreStore
from client.scores import scaled_scores
from common.matrix import Cohort, Part, TablePart, is_available, scorers_of
from common.study import ScoresModel, StudyPlan
from common.types import Counts, Flags, Reals


def cases_of(cases: Sequence[PreparedCase], part: Part | TablePart) -> tuple[PreparedCase, ...]:
    """The patients of a part of the cohort; "training" is whoever is not tested."""
    return tuple(case for case in cases if _is_in(case, part))


@dataclass(frozen=True)
class Scoreboard:
    """The scores of one site's patients.

    Attributes
    ----------
    plan : StudyPlan
    site : str
    cases : tuple of PreparedCase
    scores : float array, shape (scorers, n)
        In [0, 1], in the order of `common.matrix.scorers_of`; NaN where a patient has none, everywhere for a
        model that never came here.
    labels : bool array, shape (n,)
    """

    plan: StudyPlan
    site: str
    cases: tuple[PreparedCase, ...]
    scores: Reals
    labels: Flags

    def members(self, part: Part) -> Counts:
        """Positions of the patients of a part."""
        return np.flatnonzero([_is_in(case, part) for case in self.cases])

    def of_cohort(self, cohort: Cohort) -> Counts:
        """Positions of this site's patients of a cohort; none if it is another site's."""
        return self.members(cohort.part) if self.site in cohort.sites else np.empty(0, dtype=np.int64)


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
            rows.append(scaled_scores(cases, scorer.model))
        elif is_available(plan, scorer, here):
            rows.append(store.find(scorer.model.name, scorer.arm.name, cases))
        else:
            rows.append(np.full(len(cases), np.nan))
    return Scoreboard(plan, site, cases, np.stack(rows), labels_of(cases))


def _is_in(case: PreparedCase, part: Part | TablePart) -> bool:
    if part == "training":
        return case.part != "test"
    return part in {"whole", case.part}
