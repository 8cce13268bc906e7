"""Public parameters of the statistics as arrays of a message, and back; a site checks what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from common.errors import ProtocolError
from common.protocol import Parameters
from common.stats.delong import Placements
from common.stats.newton import Query
from common.stats.stack import Problem
from common.types import Counts, Flags, Reals


def write_newton(problem: Problem, query: Query) -> Parameters:
    """One round of `common.stats.newton`."""
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
    """The round that was asked.

    Parameters
    ----------
    columns : int
        Of the site's design matrix.

    Raises
    ------
    ProtocolError
        If an array is missing or has another shape, or a column does not exist.
    """
    of_models = integers(parameters, "columns", 2)
    if of_models.size and not -1 <= of_models.min() <= of_models.max() < columns:
        raise ProtocolError(
            f"a regression asks for columns {of_models.min()} to {of_models.max()} of {columns}"
        )
    shape = (len(of_models), of_models.shape[1] + 1)
    centre, scale = reals(parameters, "centre", 1), reals(parameters, "scale", 1)
    if centre.shape != scale.shape or centre.size > columns or (of_models >= centre.size).any():
        raise ProtocolError(f"a regression standardises {centre.size} and {scale.size} of {columns} columns")
    problem = Problem(
        of_models, flags(parameters, "free", shape), centre, scale, bool(flags(parameters, "firth", (1,))[0])
    )
    coefficients = reals(parameters, "coefficients", 2)
    inverse = reals(parameters, "inverse", 3) if "inverse" in parameters else None
    if coefficients.shape != shape or (inverse is not None and inverse.shape != (*shape, shape[1])):
        raise ProtocolError(f"a regression of {shape} coefficients came with {coefficients.shape}")
    return problem, Query(coefficients, flags(parameters, "active", shape[:1]), inverse)


def write_coefficients(coefficients: Reals) -> Parameters:
    """A logistic model's, NaN where it has none; no number of a message may be NaN."""
    estimated = ~np.isnan(coefficients)
    return {"coefficients": np.where(estimated, coefficients, 0.0), "estimated": estimated}


def read_coefficients(parameters: Parameters) -> Reals:
    """What `write_coefficients` wrote.

    Raises
    ------
    ProtocolError
        If an array is missing or has another shape.
    """
    coefficients = reals(parameters, "coefficients", 1)
    return np.where(flags(parameters, "estimated", coefficients.shape), coefficients, np.nan)


def write_placements(of_cohorts: Mapping[int, Placements]) -> Parameters:
    """DeLong's second round for several cohorts, by the cohort's number in the plan's list."""
    return {
        f"{cohort}.{name}": array
        for cohort, found in of_cohorts.items()
        for name, array in (("v10", found.v10), ("v01", found.v01), ("auc", found.auc))
    }


def read_placements(parameters: Parameters, cohort: int, shape: tuple[int, int]) -> Placements:
    """What was broadcast for one cohort.

    Parameters
    ----------
    shape : (int, int)
        Scores and bins: finer bins than the plan's would tell single patients.

    Raises
    ------
    ProtocolError
        If an array is missing or of another shape.
    """
    found = Placements(
        reals(parameters, f"{cohort}.v10", 2),
        reals(parameters, f"{cohort}.v01", 2),
        reals(parameters, f"{cohort}.auc", 1),
    )
    if not found.v10.shape == found.v01.shape == shape or found.auc.shape != shape[:1]:
        raise ProtocolError(f"placement values of {found.v10.shape} came for scores and bins {shape}")
    return found


def write_pairs(pairs: Sequence[tuple[int, int]]) -> Counts:
    """Pairs of numbers as an array, shape (pairs, 2)."""
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def read_pairs(parameters: Parameters, name: str, limits: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """The pairs of that name, each number below its limit.

    Raises
    ------
    ProtocolError
        If there are none, or a number is out of range.
    """
    array = integers(parameters, name, 2)
    if array.shape[1] != 2 or (array < 0).any() or (array >= np.array(limits)).any():
        raise ProtocolError(f"pairs {name!r} are not all below {limits}")
    return tuple((int(first), int(second)) for first, second in array)


def reals(parameters: Parameters, name: str, dimensions: int) -> Reals:
    """The float64 array of that name.

    Raises
    ------
    ProtocolError
        If it is missing, or of another type or number of dimensions.
    """
    array = _array(parameters, name)
    if array.dtype != np.float64 or array.ndim != dimensions:
        raise ProtocolError(f"parameter {name!r} is {array.dtype} of shape {array.shape}")
    return array.astype(np.float64, copy=False)


def integers(parameters: Parameters, name: str, dimensions: int) -> Counts:
    """The int64 array of that name; raises as `reals`."""
    array = _array(parameters, name)
    if array.dtype != np.int64 or array.ndim != dimensions:
        raise ProtocolError(f"parameter {name!r} is {array.dtype} of shape {array.shape}")
    return array.astype(np.int64, copy=False)


def flags(parameters: Parameters, name: str, shape: tuple[int, ...]) -> Flags:
    """The bool array of that name and shape; raises as `reals`."""
    array = _array(parameters, name)
    if array.dtype != np.bool_ or array.shape != shape:
        raise ProtocolError(f"parameter {name!r} is {array.dtype} of {array.shape}, not bool of {shape}")
    return array.astype(np.bool_, copy=False)


def _array(parameters: Parameters, name: str) -> Counts | Reals | Flags:
    if name not in parameters:
        raise ProtocolError(f"the parameter {name!r} is missing")
    return parameters[name]
