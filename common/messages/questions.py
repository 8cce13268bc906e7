"""Public parameters of the statistics as arrays of a message, and back; a site checks what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from common.errors import ProtocolError
from common.messages.protocol import Parameters
from common.stats.delong import Placements
from common.stats.newton import Query
from common.stats.stack import Problem
from common.types import Counts, Flags, Reals


def write_newton(problem: Problem, query: Query) -> Parameters:
    """The parameters of one round of `common.stats.newton`."""
    inverse = {} if query.inverse is None else {"inverse": query.inverse}
    return {
        "columns": problem.columns,
        "free": problem.free,
        "centre": problem.centre,
        "scale": problem.scale,
        "firth": np.array([problem.firth]),
        "coefficients": query.coefficients,
        "active": query.active,
        **inverse,
    }


def read_newton(parameters: Parameters, columns: int) -> tuple[Problem, Query]:
    """The round of `common.stats.newton` in a message.

    Parameters
    ----------
    parameters : Parameters
    columns : int
        Number of columns of the site's design matrix.

    Raises
    ------
    ProtocolError
        If an array is missing or has another shape, or a column does not exist.
    """
    of_models = read_integer_array(parameters, "columns", 2)
    if of_models.size and not -1 <= of_models.min() <= of_models.max() < columns:
        raise ProtocolError(
            f"a regression asks for columns {of_models.min()} to {of_models.max()} of {columns}"
        )
    shape = (len(of_models), of_models.shape[1] + 1)
    centre, scale = read_real_array(parameters, "centre", 1), read_real_array(parameters, "scale", 1)
    if centre.shape != scale.shape or centre.size > columns or (of_models >= centre.size).any():
        raise ProtocolError(f"a regression standardises {centre.size} and {scale.size} of {columns} columns")
    problem = Problem(
        of_models,
        read_flag_array(parameters, "free", shape),
        centre,
        scale,
        bool(read_flag_array(parameters, "firth", (1,))[0]),
    )
    coefficients = read_real_array(parameters, "coefficients", 2)
    inverse = read_real_array(parameters, "inverse", 3) if "inverse" in parameters else None
    if coefficients.shape != shape or (inverse is not None and inverse.shape != (*shape, shape[1])):
        raise ProtocolError(f"a regression of {shape} coefficients came with {coefficients.shape}")
    return problem, Query(coefficients, read_flag_array(parameters, "active", shape[:1]), inverse)


def write_coefficients(coefficients: Reals) -> Parameters:
    """A logistic model's coefficients, NaN where it has none, as arrays without NaN."""
    estimated = ~np.isnan(coefficients)
    return {"coefficients": np.where(estimated, coefficients, 0.0), "estimated": estimated}


def read_coefficients(parameters: Parameters) -> Reals:
    """The coefficients that `write_coefficients` wrote, NaN where the model has none.

    Raises
    ------
    ProtocolError
        If an array is missing or has another shape.
    """
    coefficients = read_real_array(parameters, "coefficients", 1)
    return np.where(read_flag_array(parameters, "estimated", coefficients.shape), coefficients, np.nan)


def write_placements(of_cohorts: Mapping[int, Placements]) -> Parameters:
    """DeLong's second round for several cohorts, each by its number in `common.plan.matrix.cohorts_of`."""
    return {
        f"{cohort}.{name}": array
        for cohort, placements in of_cohorts.items()
        for name, array in (("v10", placements.v10), ("v01", placements.v01), ("auc", placements.auc))
    }


def read_placements(parameters: Parameters, cohort: int, shape: tuple[int, int]) -> Placements:
    """The placement values in a message for one cohort.

    Parameters
    ----------
    shape : (int, int)
        Numbers of scores and bins: bins finer than the plan's would reveal single patients.

    Raises
    ------
    ProtocolError
        If an array is missing or of another shape.
    """
    placements = Placements(
        read_real_array(parameters, f"{cohort}.v10", 2),
        read_real_array(parameters, f"{cohort}.v01", 2),
        read_real_array(parameters, f"{cohort}.auc", 1),
    )
    if not placements.v10.shape == placements.v01.shape == shape or placements.auc.shape != shape[:1]:
        raise ProtocolError(f"placement values of {placements.v10.shape} came for scores and bins {shape}")
    return placements


def write_pairs(pairs: Sequence[tuple[int, int]]) -> Counts:
    """Pairs of numbers as an int64 array, shape (pairs, 2)."""
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def read_pairs(parameters: Parameters, name: str, limits: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """The pairs of that name, each number below its limit.

    Raises
    ------
    ProtocolError
        If the array is missing or of another shape, or a number is out of range.
    """
    array = read_integer_array(parameters, name, 2)
    if array.shape[1] != 2 or (array < 0).any() or (array >= np.array(limits)).any():
        raise ProtocolError(f"pairs {name!r} are not all below {limits}")
    return tuple((int(first), int(second)) for first, second in array)


def read_real_array(parameters: Parameters, name: str, dimensions: int) -> Reals:
    """The float64 array of that name.

    Raises
    ------
    ProtocolError
        If it is missing, or of another type or number of dimensions.
    """
    array = _find_array(parameters, name)
    if array.dtype != np.float64 or array.ndim != dimensions:
        raise ProtocolError(f"parameter {name!r} is {array.dtype} of shape {array.shape}")
    return array.astype(np.float64, copy=False)


def read_integer_array(parameters: Parameters, name: str, dimensions: int) -> Counts:
    """The int64 array of that name.

    Raises
    ------
    ProtocolError
        If it is missing, or of another type or number of dimensions.
    """
    array = _find_array(parameters, name)
    if array.dtype != np.int64 or array.ndim != dimensions:
        raise ProtocolError(f"parameter {name!r} is {array.dtype} of shape {array.shape}")
    return array.astype(np.int64, copy=False)


def read_flag_array(parameters: Parameters, name: str, shape: tuple[int, ...]) -> Flags:
    """The bool array of that name and shape.

    Raises
    ------
    ProtocolError
        If it is missing, or of another type or shape.
    """
    array = _find_array(parameters, name)
    if array.dtype != np.bool_ or array.shape != shape:
        raise ProtocolError(f"parameter {name!r} is {array.dtype} of {array.shape}, not bool of {shape}")
    return array.astype(np.bool_, copy=False)


def _find_array(parameters: Parameters, name: str) -> Counts | Reals | Flags:
    if name not in parameters:
        raise ProtocolError(f"the parameter {name!r} is missing")
    return parameters[name]
