"""Which scores of which patients each site is asked for, and in which groups of sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from common.plan.matrix import PARTS, Cohort, scorers_of
from common.plan.study import StudyPlan
from common.program.steps import AskedGroup
from common.types import Flags


def ask_cohorts(plan: StudyPlan, wanted: Mapping[Cohort, Sequence[bool]]) -> Flags:
    """Which scores each site is asked for, shape (sites, parts, scorers): those of each cohort it is in."""
    asked = np.zeros((len(plan.site_names), len(PARTS), len(scorers_of(plan))), dtype=np.bool_)
    for group in list_groups(plan, wanted):
        asked[list(group.rows), group.part] |= group.permitted
    return asked


def list_groups(plan: StudyPlan, wanted: Mapping[Cohort, Sequence[bool]]) -> tuple[AskedGroup, ...]:
    """The cohorts as groups that are asked as a whole or not at all, each for these scores."""
    return tuple(
        AskedGroup(
            tuple(plan.site_names.index(site) for site in cohort.sites),
            PARTS.index(cohort.part),
            np.array(scores, dtype=np.bool_),
        )
        for cohort, scores in wanted.items()
    )
