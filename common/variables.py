"""How each variable of the cohort's table is counted: the public grids that every site bins on alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.cohort.schema import TABLE_ONE, Variable
from common.stats.grid import Grid
from common.stats.table_one import Categorical, Continuous, TableVariable
from common.stats.tests import ContinuousTest

if TYPE_CHECKING:
    from common.study import StudyPlan

NEGATIVE, POSITIVE = 0, 1
"""Groups: without and with expansion."""

_GRIDS = {
    "age": Grid(low=0, resolution=1, bins=121),
    "onset_to_ct_h": Grid(low=0, resolution=0.01, bins=2401),
    "sbp_mmhg": Grid(low=40, resolution=1, bins=311),
    "dbp_mmhg": Grid(low=20, resolution=1, bins=231),
    "inr": Grid(low=0.5, resolution=0.01, bins=1951),
    "ich_volume_ml": Grid(low=0, resolution=0.01, bins=40_001),
    "ivh_volume_ml": Grid(low=0, resolution=0.01, bins=40_001),
}
"""At the resolution with which hospitals record; hours end with eligibility, the rest with the schema."""


def levels_of(variable: Variable) -> tuple[str, ...]:
    """The levels of a categorical or binary variable, in the order of its table's rows."""
    return variable.levels or ("no", "yes")


def table_variables(plan: StudyPlan) -> tuple[TableVariable, ...]:
    """`DESCRIBED` as statistics sees them, each with the plan's test.

    Where the plan names none, normality decides between a t-test and ranks; the t-test is Student's in the
    replication profile, as in the paper, else Welch's.
    """
    rule: ContinuousTest = "auto-student" if plan.profile == "replication" else "auto"
    tests = plan.cohort.tests
    return tuple(
        Continuous(variable.name, _GRIDS[variable.name], tests.get(variable.name, rule))
        if variable.kind == "continuous"
        else Categorical(variable.name, levels_of(variable))
        for variable in DESCRIBED
    )


DESCRIBED: tuple[Variable, ...] = TABLE_ONE
"""The paper's Table 1, in its order."""
