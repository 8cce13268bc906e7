"""Cohorts of the evaluation overlap: what is shown of some must not tell what is hidden of another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from common.matrix import SPLITS, Cohort, Part
from common.stats.minima import Minima, minima_of
from common.stats.overlap import shown_together
from common.study import StudyPlan
from common.types import Flags

_PRECEDENCE: tuple[Part, ...] = ("test", "whole", "train", "validation")


def shown_beside(
    plan: StudyPlan, cohorts: Sequence[Cohort], counts: Sequence[tuple[int, ...]]
) -> tuple[bool, ...]:
    """Whether each cohort's counts may be shown; tests take precedence, many centres before one.

    Parameters
    ----------
    cohorts : sequence of Cohort
    counts : sequence of tuples of int
        One tuple a cohort, of the same cells.
    """
    minima: Minima = minima_of(plan.profile)
    if not cohorts or minima.cell == 1:
        return (True,) * len(cohorts)
    order = sorted(
        range(len(cohorts)),
        key=lambda index: (_PRECEDENCE.index(cohorts[index].part), -len(cohorts[index].sites)),
    )
    groups = [_groups(plan, cohorts[index].sites, cohorts[index].part) for index in order]
    table = np.array([counts[index] for index in order], dtype=np.int64)
    shown = shown_together(np.array(groups), table, _unions(plan), minima)
    by_cohort = dict(zip(order, shown.tolist(), strict=True))
    return tuple(by_cohort[index] for index in range(len(cohorts)))


def _unions(plan: StudyPlan) -> Flags:
    """Each part, and each two and three of them, of each centre and of the centres that a study pools."""
    training = plan.training_sites
    external = tuple(site for site in plan.site_names if site not in training)
    pooled = [sites for sites in (training, external, plan.site_names) if sites]
    return np.array(
        [
            np.logical_or.reduce([_groups(plan, sites, part) for part in parts])
            for sites in (*((site,) for site in plan.site_names), *pooled)
            for size in (1, 2, 3)
            for parts in combinations(SPLITS, size)
        ]
    )


def _groups(plan: StudyPlan, sites: Sequence[str], part: Part) -> Flags:
    """Of which parts of which centres a cohort is made, shape (centres * parts,)."""
    return np.array(
        [site in sites and part in {own, "whole"} for site in plan.site_names for own in SPLITS],
        dtype=np.bool_,
    )
