"""Public parameters of the statistics as arrays of a message, and back; a site checks what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from common.errors import ProtocolError
from common.messages.protocol import Parameters
from common.stats.delong import Placements
from common.stats.lasso_binomial import PathQuery
from common.stats.newton import Query
from common.stats.score_grid import ScoreGrid
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
        "fourth": np.array([query.fourth]),
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
    active = read_flag_array(parameters, "active", shape[:1])
    return problem, Query(coefficients, active, inverse, bool(read_flag_array(parameters, "fourth", (1,))[0]))


def write_path(query: PathQuery) -> Parameters:
    """The parameters of one round of `common.stats.lasso_binomial`."""
    return {"coefficients": query.coefficients, "working": query.working, "running": query.running}


def read_path(parameters: Parameters, folds: int, features: int) -> PathQuery:
    """The round of `common.stats.lasso_binomial` in a message.

    Parameters
    ----------
    parameters : Parameters
    folds, features : int
        Numbers of folds and of features that the message is about.

    Raises
    ------
    ProtocolError
        If an array is missing or has another shape, or a feature is asked for that there is not, or twice.
    """
    coefficients, working = (
        read_real_array(parameters, "coefficients", 2),
        read_integer_array(parameters, "working", 2),
    )
    if coefficients.shape != (folds + 1, features + 1) or len(working) != folds + 1:
        raise ProtocolError(f"a path of {folds} folds came with {coefficients.shape} coefficients")
    asked = [row[row >= 0].tolist() for row in working]
    if (
        any(len(set(row)) < len(row) or max(row, default=0) >= features for row in asked)
        or (working < -1).any()
    ):
        raise ProtocolError(f"a path asks for features that are not each one of {features} once")
    return PathQuery(coefficients, working, read_flag_array(parameters, "running", (folds + 1,)))


def write_centre(centre: Reals) -> Parameters:
    """The parameters of a setup: what is subtracted from each column of the design matrix."""
    return {"centre": centre} if centre.any() else {}


def read_centre(parameters: Parameters, columns: int) -> Reals:
    """What is subtracted from each column of the design matrix, shape (columns,); 0 where nothing was sent.

    Raises
    ------
    ProtocolError
        If it is not one number a column.
    """
    if "centre" not in parameters:
        return np.zeros(columns)
    centre = read_real_array(parameters, "centre", 1)
    if centre.shape != (columns,):
        raise ProtocolError(f"{centre.size} centres came for {columns} columns")
    return centre


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


def write_placements(by_name: Mapping[str, Placements]) -> Parameters:
    """DeLong's second round, by the name of each score's patients."""
    return {
        f"{name}.{key}": array
        for name, placements in by_name.items()
        for key, array in (
            ("v10", placements.v10),
            ("v01", placements.v01),
            ("auc", np.array([placements.auc])),
        )
    }


def read_placements(parameters: Parameters, name: str, bins: int) -> Placements:
    """The placement values of that name in a message.

    Parameters
    ----------
    bins : int
        Number of bins of the score's grid.

    Raises
    ------
    ProtocolError
        If an array is missing or of another shape.
    """
    v10, v01, auc = (read_real_array(parameters, f"{name}.{key}", 1) for key in ("v10", "v01", "auc"))
    if not v10.shape == v01.shape == (bins,) or auc.shape != (1,):
        raise ProtocolError(f"placement values of {v10.shape} came for {bins} bins")
    return Placements(v10, v01, float(auc[0]))


def write_grids(grids: Sequence[ScoreGrid]) -> Parameters:
    """The grids of the scores, in their order."""
    return {
        "edges": np.concatenate([np.empty(0), *(grid.edges for grid in grids)]),
        "sizes": np.array([grid.edges.size for grid in grids], dtype=np.int64),
        "values": np.array([grid.one_value for grid in grids], dtype=np.bool_),
    }


def read_grids(parameters: Parameters, scores: int, limit: int) -> tuple[ScoreGrid, ...]:
    """The grid of each score in a message.

    Parameters
    ----------
    scores : int
        Number of scores.
    limit : int
        Largest number of edges of a grid.

    Raises
    ------
    ProtocolError
        If there is not one grid for each score, or one is no grid or has too many bins.
    """
    edges, sizes = read_real_array(parameters, "edges", 1), read_integer_array(parameters, "sizes", 1)
    one_value = read_flag_array(parameters, "values", (scores,))
    if sizes.shape != (scores,) or (sizes < 0).any() or int(sizes.sum()) != edges.size:
        raise ProtocolError(f"{edges.size} edges came for the grids of {scores} scores")
    if int(sizes.max(initial=0)) > limit:
        raise ProtocolError(f"a grid of {int(sizes.max())} edges came, where {limit} are allowed")
    pieces = np.split(edges, np.cumsum(sizes)[:-1]) if scores else []
    try:
        return tuple(ScoreGrid(piece, bool(value)) for piece, value in zip(pieces, one_value, strict=True))
    except ValueError as failure:
        raise ProtocolError(str(failure)) from None


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
