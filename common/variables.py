"""How each variable of the cohort's table is counted: the public grids that every site bins on alike."""

from __future__ import annotations

from common.cohort.schema import TABLE_ONE, Variable
from common.stats.grid import Grid

DESCRIBED: tuple[Variable, ...] = TABLE_ONE
"""The paper's Table 1, in its order."""

NEGATIVE, POSITIVE = 0, 1
"""Groups: without and with expansion."""

_GRIDS = {
    "age": Grid(low=0, resolution=1, bins=121, decimals=2),
    "onset_to_ct_h": Grid(low=0, resolution=0.01, bins=2401, decimals=2),
    "sbp_mmhg": Grid(low=40, resolution=1, bins=311, decimals=2),
    "dbp_mmhg": Grid(low=20, resolution=1, bins=231, decimals=2),
    "inr": Grid(low=0.5, resolution=0.01, bins=1951, decimals=2),
    "ich_volume_ml": Grid(low=0, resolution=0.01, bins=40_001, decimals=2),
    "ivh_volume_ml": Grid(low=0, resolution=0.01, bins=40_001, decimals=2),
}


def grid_of(variable: Variable) -> Grid:
    """The grid of a continuous variable: the resolution with which hospitals record it.

    Raises
    ------
    KeyError
        If the variable has none.
    """
    return _GRIDS[variable.name]


def levels_of(variable: Variable) -> tuple[str, ...]:
    """The levels of a categorical or binary variable, in the order of its table's rows."""
    return variable.levels or ("no", "yes")
