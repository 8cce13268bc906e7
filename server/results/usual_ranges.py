"""Where nearly all patients who trained a model lie, from what Table 1 has released of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from common.cards.card import UsualRange
from common.cohort.schema import VARIABLES
from common.cohort.variable import Variable
from common.plan.study import Arm, StudyPlan
from server.results.cohort import CohortRow, VariableDescription

_REACH = 3
"""Standard deviations beyond the mean, or interquartile ranges beyond the quartiles."""

_DIGITS = 4
"""Significant, of a limit."""


def list_usual_ranges(plan: StudyPlan, arm: Arm, rows: Iterable[CohortRow]) -> Iterator[UsualRange]:
    """The usual range of each continuous variable that Table 1 describes of the arm's training patients.

    Of an arm of one site, Table 1 describes all its patients; of other arms than these and the one of all
    training sites, it describes nobody.
    """
    if set(arm.sites) == set(plan.training_sites):
        column: tuple[str | None, str] = (None, "training")
    elif len(arm.sites) == 1:
        column = (arm.sites[0], "whole")
    else:
        return
    named = {variable.label: variable for variable in (*VARIABLES, *plan.own_variables.values())}
    for row in rows:
        variable = named.get(row.label)
        if (row.site, row.part) == column and variable is not None and variable.kind == "continuous":
            found = _find_range(variable, (row.negative, row.positive))
            if found is not None:
                yield found


def _find_range(variable: Variable, groups: tuple[VariableDescription, ...]) -> UsualRange | None:
    """The wider of both groups' ranges within what is possible; None where a group's is not known.

    Numbers without spread give none: of a volume that is mostly 0, every other value would be unusual.
    """
    moments = [(group.mean, group.sd) for group in groups if group.mean is not None and group.sd]
    quartiles = [
        (group.first_quartile, group.third_quartile)
        for group in groups
        if group.first_quartile is not None
        and group.third_quartile is not None
        and group.first_quartile < group.third_quartile
    ]
    if len(moments) == len(groups):
        limits = [(mean - _REACH * sd, mean + _REACH * sd) for mean, sd in moments]
    elif len(quartiles) == len(groups):
        limits = [
            (first - _REACH * (third - first), third + _REACH * (third - first)) for first, third in quartiles
        ]
    else:
        return None
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    if variable.possible is not None:
        low, high = max(low, variable.possible.low), min(high, variable.possible.high)
    return UsualRange(
        variable=variable.name,
        low=float(f"{low:.{_DIGITS}g}"),
        high=float(f"{high:.{_DIGITS}g}"),
        how="mean and 3 SD" if len(moments) == len(groups) else "quartiles and 3 IQR",
    )
