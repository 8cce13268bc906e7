"""How each variable of the cohort table is counted: every site bins values on the same public grids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.cohort.schema import TABLE_ONE, Variable
from common.plan.own_variables import list_described_names
from common.stats.recording_grid import RecordingGrid
from common.stats.table_one import Categorical, Continuous, TableVariable
from common.stats.tests import ContinuousTest

if TYPE_CHECKING:
    from common.plan.study import StudyPlan

NOT_EXPANDED, EXPANDED = 0, 1
"""Indices of the patients without and with expansion in counts by outcome."""

_GRIDS = {
    "age": RecordingGrid(low=0, resolution=1, bins=121),
    "onset_to_ct_h": RecordingGrid(low=0, resolution=0.01, bins=2401),
    "sbp_mmhg": RecordingGrid(low=40, resolution=1, bins=311),
    "dbp_mmhg": RecordingGrid(low=20, resolution=1, bins=231),
    "inr": RecordingGrid(low=0.5, resolution=0.01, bins=1951),
    "ich_volume_ml": RecordingGrid(low=0, resolution=0.01, bins=40_001),
    "ivh_volume_ml": RecordingGrid(low=0, resolution=0.01, bins=40_001),
}
"""At the resolution of hospitals' records; hours end with eligibility, other grids with the schema."""


def levels_of(variable: Variable) -> tuple[str, ...]:
    """The levels of a categorical or binary variable, in the order of its table's rows."""
    return variable.levels or ("no", "yes")


def table_variables(plan: StudyPlan) -> tuple[TableVariable, ...]:
    """The variables of Table 1 as the statistics take them, each with the plan's test.

    Where the plan names no test, normality decides between a t-test and ranks. The t-test is Student's in the
    replication profile, as in the paper, otherwise Welch's.
    """
    rule: ContinuousTest = "auto-student" if plan.profile == "replication" else "auto"
    tests = plan.cohort.tests
    grids = {planned.name: planned.grid for planned in plan.variables if planned.is_number}
    return tuple(
        Continuous(
            variable.name, grids.get(variable.name) or _GRIDS[variable.name], tests.get(variable.name, rule)
        )
        if variable.kind == "continuous"
        else Categorical(variable.name, levels_of(variable))
        for variable in list_described(plan)
    )


def list_described(plan: StudyPlan) -> tuple[Variable, ...]:
    """The variables of Table 1, in its order: those that the plan lists, else the paper's and its own."""
    names = plan.cohort.described or list_described_names(plan.variables)
    return tuple(plan.variable(name) for name in names)


DESCRIBED: tuple[Variable, ...] = TABLE_ONE
"""The variables of the paper's Table 1, in its order: what a plan without own variables describes."""
