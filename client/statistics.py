"""Who a site's patients are, by outcome, as sums."""

from __future__ import annotations

import numpy as np

from client.prepare import PreparedCase, PreparedSite
from common.cohort.schema import Variable
from common.stats.contingency import MISSING, local_contingency
from common.stats.contract import Summary, join
from common.stats.descriptive import local_descriptive
from common.types import Counts
from common.variables import DESCRIBED, grid_of, levels_of


def summarise_cohort(prepared: PreparedSite) -> Summary:
    """Moments, histograms and tables of every variable by outcome, each under the variable's name.

    Volumes are those on which the outcome rests: the table's, or the masks' where the table gives none.
    """
    groups = np.array([case.positive for case in prepared.cases], dtype=np.int64)
    return join(_summarise(variable, prepared.cases, groups).under(variable.name) for variable in DESCRIBED)


def _summarise(variable: Variable, cases: tuple[PreparedCase, ...], groups: Counts) -> Summary:
    if variable.kind == "continuous":
        values = np.array([_number(variable, case) for case in cases], dtype=np.float64)
        return local_descriptive(values, groups, 2, grid_of(variable))
    levels = levels_of(variable)
    codes = np.array([_code(variable, case, levels) for case in cases], dtype=np.int64)
    return local_contingency(codes, groups, 2, len(levels))


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
