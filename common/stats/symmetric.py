"""Symmetric matrices without their lower half, so that cross-products travel in half the numbers."""

from __future__ import annotations

import math

import numpy as np

from common.types import Reals


def pack_symmetric(matrices: Reals) -> Reals:
    """The upper triangles, row by row, shape (..., d (d + 1) / 2), of symmetric matrices (..., d, d).

    Examples
    --------
    >>> upper(np.array([[1.0, 2.0], [2.0, 3.0]]))
    array([1., 2., 3.])
    """
    rows, columns = np.triu_indices(matrices.shape[-1])
    return np.asarray(matrices[..., rows, columns])


def unpack_symmetric(triangles: Reals) -> Reals:
    """The symmetric matrices (..., d, d) from which `pack_symmetric` took the triangles.

    Raises
    ------
    ValueError
        If the number of elements of the last axis is not triangular, d (d + 1) / 2.
    """
    elements = triangles.shape[-1]
    size = (math.isqrt(8 * elements + 1) - 1) // 2
    if size * (size + 1) // 2 != elements:
        raise ValueError(f"{elements} numbers are no triangle of a matrix")
    rows, columns = np.triu_indices(size)
    matrices = np.empty((*triangles.shape[:-1], size, size))
    matrices[..., rows, columns] = triangles
    matrices[..., columns, rows] = triangles
    return matrices
