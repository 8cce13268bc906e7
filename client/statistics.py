"""Who a site's patients are, by outcome, as sums."""

from __future__ import annotations

import numpy as np

from client.prepare import PreparedCase, PreparedSite
from common.cohort.schema import Variable
from common.stats.contingency import MISSING
from common.stats.contract import Summary
from common.stats.table_one import local_table_one
from common.types import Counts, Reals
from common.variables import DESCRIBED, TABLE_VARIABLES, levels_of


def summarise_cohort(prepared: PreparedSite) -> Summary:
    """Moments, histograms and tables of every variable by outcome, each under the variable's name.

    Volumes are those on which the outcome rests: the table's, or the masks' where the table gives none.
    """
    groups = np.array([case.positive for case in prepared.cases], dtype=np.int64)
    columns = [_column(variable, prepared.cases) for variable in DESCRIBED]
    return local_table_one(columns, groups, TABLE_VARIABLES)


def _column(variable: Variable, cases: tuple[PreparedCase, ...]) -> Reals | Counts:
    if variable.kind == "continuous":
        return np.array([_number(variable, case) for case in cases], dtype=np.float64)
    levels = levels_of(variable)
    return np.array([_code(variable, case, levels) for case in cases], dtype=np.int64)


def _number(variable: Variable, case: PreparedCase) -> float:
    if variable.name == "ich_volume_ml":
        return case.baseline.ich_ml
    if variable.name == "ivh_volume_ml":
        return case.baseline.ivh_ml
    value = case.patient.number(variable.name)
    return np.nan if value is None else value


def _code(variable: Variable, case: PreparedCase, levels: tuple[str, ...]) -> int:
    if variable.kind == "binary":
        flag = case.patient.flag(variable.name)
        return MISSING if flag is None else int(flag)
    level = case.patient.level(variable.name)
    return MISSING if level is None else levels.index(level)
