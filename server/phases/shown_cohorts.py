"""Cohorts of the evaluation overlap: what is shown of some must not disclose what is hidden of another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from common.plan.matrix import SPLITS, Cohort, Part
from common.plan.study import StudyPlan
from common.stats.minima import Minima, minima_of
from common.stats.overlap import choose_shown_cohorts
from common.types import Flags

_PRECEDENCE: tuple[Part, ...] = ("test", "whole", "train", "validation")


def may_show_beside(
    plan: StudyPlan, cohorts: Sequence[Cohort], counts: Sequence[tuple[int, ...]]
) -> tuple[bool, ...]:
    """Whether each cohort's counts may be shown beside the others'.

    Test cohorts take precedence over other parts, and cohorts of many centres over those of few. Before all
    come cohorts without a patient to count: their numbers of 0 are known, so hiding them protects nobody.

    Parameters
    ----------
    plan : StudyPlan
        Its profile sets the smallest number that may be shown.
    cohorts : sequence of Cohort
        On which something was counted.
    counts : sequence of tuples of int
        One tuple for each cohort, of the same cells.

    Returns
    -------
    tuple of bool
        In the order of the cohorts.
    """
    minima: Minima = minima_of(plan.profile)
    if not cohorts or minima.cell == 1:
        return (True,) * len(cohorts)
    order = sorted(
        range(len(cohorts)),
        key=lambda index: (
            any(counts[index]),
            _PRECEDENCE.index(cohorts[index].part),
            -len(cohorts[index].sites),
        ),
    )
    groups = [_parts_of(plan, cohorts[index].sites, cohorts[index].part) for index in order]
    table = np.array([counts[index] for index in order], dtype=np.int64)
    shown = choose_shown_cohorts(np.array(groups), table, _list_unions(plan), minima)
    by_cohort = dict(zip(order, shown.tolist(), strict=True))
    return tuple(by_cohort[index] for index in range(len(cohorts)))


def _list_unions(plan: StudyPlan) -> Flags:
    """Every union of one, two or three parts of each centre and of the centres that a study pools.

    Returns
    -------
    bool array, shape (unions, centres * parts)
        Which parts of which centres make up each union.
    """
    training = plan.training_sites
    external = tuple(site for site in plan.site_names if site not in training)
    pooled = [sites for sites in (training, external, plan.site_names) if sites]
    return np.array(
        [
            np.logical_or.reduce([_parts_of(plan, sites, part) for part in parts])
            for sites in (*((site,) for site in plan.site_names), *pooled)
            for size in (1, 2, 3)
            for parts in combinations(SPLITS, size)
        ]
    )


def _parts_of(plan: StudyPlan, sites: Sequence[str], part: Part) -> Flags:
    """Which parts of which centres make up a cohort: bool array, shape (centres * parts,)."""
    return np.array(
        [site in sites and part in {split, "whole"} for site in plan.site_names for split in SPLITS],
        dtype=np.bool_,
    )
