"""The sums of Table 1: first patients with a value are counted, then what enough of them have is summed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.messages.catalogue import Operation
from common.plan.described_columns import TableColumn, table_columns
from common.plan.matrix import TABLE_PARTS
from common.plan.study import StudyPlan
from common.plan.variables import list_described
from common.program.guard_rounds import judge_counted
from common.program.steps import AskedGroup, GroupSums, Program, Step, ask
from common.stats.guard import GuardResult


@dataclass(frozen=True)
class PatientDescription:
    """The sums of Table 1's columns; at a site, of those to which its patients belong.

    Attributes
    ----------
    guards : mapping of TableColumn to tuple of GuardResult
        Whether enough patients of the column have a value of each variable.
    sums : GroupSums
        Of the variables that may be described.
    """

    guards: Mapping[TableColumn, tuple[GuardResult, ...]]
    sums: GroupSums


def describe_patients(plan: StudyPlan) -> Program[PatientDescription]:
    """The sums of every column of the paper's Table 1, in two rounds."""
    counted = (yield from ask(Step(Operation.GUARD, stage="cohort"))).sums
    guards = {
        column: _judge(plan, column, counted)
        for column in table_columns(plan)
        if counted.concern(column.sites)
    }
    asked = np.zeros((len(plan.site_names), len(TABLE_PARTS), len(list_described(plan))), dtype=np.bool_)
    for column, results in guards.items():
        site_indices = [plan.site_names.index(site) for site in column.sites]
        asked[site_indices, TABLE_PARTS.index(column.taken)] |= [guard.status.ok for guard in results]
    groups = tuple(
        AskedGroup(
            tuple(plan.site_names.index(site) for site in column.sites),
            TABLE_PARTS.index(column.taken),
            np.array([guard.status.ok for guard in results], dtype=np.bool_),
        )
        for column, results in guards.items()
    )
    answered = yield from ask(Step(Operation.COHORT, {"asked": asked}, groups=groups))
    return PatientDescription(guards, answered.sums)


def _judge(plan: StudyPlan, column: TableColumn, counted: GroupSums) -> tuple[GuardResult, ...]:
    """Whether enough patients of the cohort have a value of each variable."""
    of_cohort = counted.of(column.sites).part(column.taken)
    return judge_counted(plan, "cohort", of_cohort, one_site=len(column.sites) == 1)
