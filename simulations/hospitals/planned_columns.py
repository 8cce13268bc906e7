"""The columns that a plan wants beyond the paper's: scores, the plan's own variables, a 0/1 outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from common.cohort.schema import BY_NAME
from common.plan.models import ScoresModel
from common.plan.own_variables import PlannedVariable
from common.plan.study import StudyPlan
from common.seeds import generator
from simulations.hospitals.patients import SimulatedPatient, TableValue

_SPREAD, _WITHOUT, _WITH = 0.2, 0.35, 0.6
"""Standard deviation of a value, and its mean without and with the outcome, as shares of the range."""
_DECIMALS = 6


def list_planned_columns(plan: StudyPlan) -> tuple[str, ...]:
    """Names of the columns, each once, in the order in which `draw_planned_columns` fills them."""
    return tuple(_list_draws(plan))


def draw_planned_columns(plan: StudyPlan, patient: SimulatedPatient, seed: int) -> dict[str, TableValue]:
    """A value of each column; on average it is larger, or a score nearer to its risk, where growth follows.

    Parameters
    ----------
    plan : StudyPlan
    patient : SimulatedPatient
    seed : int
        The same seed gives the same values, whatever other columns there are.
    """
    values: dict[str, TableValue] = {}
    for name, make in _list_draws(plan).items():
        share = generator(seed, "planned column", name).normal(
            _WITH if patient.positive else _WITHOUT, _SPREAD
        )
        values[name] = make(float(np.clip(share, 0.0, 1.0)))
    outcome = plan.cohort.outcome
    if not outcome.by_volumes:
        values[outcome.column] = int(patient.positive)
    return values


def _list_draws(plan: StudyPlan) -> dict[str, Callable[[float], TableValue]]:
    """How a share of a column's range becomes a cell."""
    return dict(_pair_draws(plan))


def _pair_draws(plan: StudyPlan) -> Iterator[tuple[str, Callable[[float], TableValue]]]:
    for model in plan.scores:
        if model.column not in BY_NAME:
            yield model.column, partial(_write_score, model)
    falling = {model.column for model in plan.scores if model.risk == "falls"}
    for variable in plan.variables:
        yield variable.name, partial(_write_variable, variable, falls=variable.name in falling)
    if not plan.cohort.outcome.by_volumes:
        yield plan.cohort.outcome.column, lambda share: int(share > (_WITH + _WITHOUT) / 2)


def _write_score(model: ScoresModel, share: float) -> TableValue:
    value = model.unscale(share)
    if model.step is not None:
        value = model.low + round((value - model.low) / model.step) * model.step
    return round(value, _DECIMALS)


def _write_variable(variable: PlannedVariable, share: float, *, falls: bool = False) -> TableValue:
    """A cell; of a number that is also a score whose risk falls, the smaller the larger the share is."""
    if variable.kind == "binary":
        return int(share > (_WITH + _WITHOUT) / 2)
    if variable.kind == "categorical":
        return variable.levels[min(int(share * len(variable.levels)), len(variable.levels) - 1)]
    grid = variable.grid
    along = 1 - share if falls else share
    value = round(grid.low + round(along * (grid.bins - 1)) * grid.resolution, grid.decimals)
    return int(value) if variable.kind == "count" else value
