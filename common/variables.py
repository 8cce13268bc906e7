"""How each variable of the cohort's table is counted: the public grids that every site bins on alike."""

from __future__ import annotations

from common.cohort.schema import TABLE_ONE, Variable
from common.stats.grid import Grid
from common.stats.table_one import Categorical, Continuous, TableVariable

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


def _in_table_one(variable: Variable) -> TableVariable:
    if variable.kind == "continuous":
        return Continuous(variable.name, _GRIDS[variable.name])
    return Categorical(variable.name, levels_of(variable))


DESCRIBED: tuple[Variable, ...] = TABLE_ONE
"""The paper's Table 1, in its order."""

TABLE_VARIABLES: tuple[TableVariable, ...] = tuple(_in_table_one(variable) for variable in DESCRIBED)
"""The same variables as statistics sees them."""
