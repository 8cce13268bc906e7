"""Table 1 of one part of a site's patients, as sums; before it, how many have a value of each variable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from client.answers.own_minima import find_short_here, find_widest_group
from client.answers.patient_arrays import find_described, labels_of, table_one_column
from client.cohort.cases import PreparedCase
from common.errors import SmallNumberError
from common.messages.groups import groups_of
from common.messages.headers import Operation
from common.plan.matrix import TablePart
from common.plan.study import StudyPlan
from common.plan.variables import DESCRIBED, table_variables
from common.stats.contract import Summary, join_summaries
from common.stats.guard import Demand, local_guard
from common.stats.table_one import local_table_one
from common.types import Flags

DESCRIPTION = (Demand("description"),) * len(DESCRIBED)
"""What each variable of Table 1 demands."""


def guard_table(
    plan: StudyPlan, site: str, described: tuple[TablePart, Sequence[PreparedCase]], *, near: bool
) -> Summary:
    """R0 of Table 1 of a part's patients.

    Parameters
    ----------
    plan : StudyPlan
    site : str
        The site's name.
    described : (part, sequence of PreparedCase)
        The part, and this site's patients of it.
    near : bool
        Whether they differ too little from a cohort already released.
    """
    _, cases = described
    complete, labels = find_described(cases, DESCRIBED), labels_of(cases)
    short = _find_short(plan, site, described)
    return local_guard(complete, labels, short, np.full(len(complete), near))


def sum_table(
    plan: StudyPlan, site: str, described: tuple[TablePart, Sequence[PreparedCase]], asked: Flags
) -> Summary:
    """Table 1 of a part's patients, of the variables that were asked for; the others are empty.

    Parameters
    ----------
    plan : StudyPlan
    site : str
        The site's name.
    described : (part, sequence of PreparedCase)
        The part, and this site's patients of it.
    asked : bool array, shape (variables,)
        Which variables were asked for.

    Raises
    ------
    SmallNumberError
        If one has too few patients here where these must reach a minimum of their own.
    """
    part, cases = described
    short = _find_short(plan, site, described)
    if short is not None and (short & asked).any():
        raise SmallNumberError(f"Table 1, {part}: asked for with too few patients at this site")
    columns = [
        table_one_column(cases if wanted else (), variable)
        for variable, wanted in zip(DESCRIBED, asked.tolist(), strict=True)
    ]
    groups = [labels_of(cases if wanted else ()).astype(np.int64) for wanted in asked.tolist()]
    return join_summaries(
        local_table_one([column], group, [variable])
        for column, group, variable in zip(columns, groups, table_variables(plan), strict=True)
    )


def _find_short(
    plan: StudyPlan, site: str, described: tuple[TablePart, Sequence[PreparedCase]]
) -> Flags | None:
    part, cases = described
    sites = find_widest_group(groups_of(plan, Operation.COHORT), site, part)
    return find_short_here(plan, sites, (find_described(cases, DESCRIBED), labels_of(cases)), DESCRIPTION)
