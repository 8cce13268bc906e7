"""PyRadiomics' texture matrices of grey levels, counted by whole arrays: its C functions' numbers, sooner.

Each function takes what the function of this name in `radiomics.cMatrices` takes, and returns what that
returns. Levels are laid out with a border of zeros, so that one step in any direction is one offset in the
flat array, and a step out of the lesion's box meets a zero.

References
----------
van Griethuysen JJM et al. Cancer Res 2017;77:e104-e107.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.types import Flags, Reals

Levels: TypeAlias = NDArray[Any]
"""Grey levels, whole numbers from 1 on, shape (z, y, x); those outside the lesion do not matter."""


def calculate_glcm(
    levels: Levels, lesion: Flags, _distances: object, highest: int, *_flat: object
) -> tuple[Reals, NDArray[np.intp]]:
    """The grey level co-occurrence matrices, shape (1, levels, levels, directions), and the directions."""
    border, directions = _lay_out(levels, lesion, highest), _list_directions(lesion)
    flat, side = border.ravel(), highest + 1
    inside = np.flatnonzero(flat)
    own = flat[inside] * np.intp(side)
    matrices = np.empty((1, highest, highest, len(directions)))
    for index, direction in enumerate(directions):
        pairs = own + flat[inside + _find_offset(border, direction)]
        counts = np.bincount(pairs, minlength=side * side).reshape(side, side)
        matrices[0, :, :, index] = counts[1:, 1:]
    return matrices, directions


def calculate_glrlm(
    levels: Levels, lesion: Flags, highest: int, longest: int, *_flat: object
) -> tuple[Reals, NDArray[np.intp]]:
    """The grey level run length matrices, shape (1, levels, lengths, directions), and the directions."""
    border, directions = _lay_out(levels, lesion, highest), _list_directions(lesion)
    matrices = np.zeros((1, highest, longest, len(directions)))
    for index, direction in enumerate(directions):
        line = _order_along(border.ravel(), _find_offset(border, direction))
        ends = np.append(np.flatnonzero(line[1:] != line[:-1]), len(line) - 1)
        lengths, values = np.diff(ends, prepend=-1), line[ends]
        runs = np.bincount(
            values * np.intp(longest + 1) + np.where(values, lengths, 0),
            minlength=(highest + 1) * (longest + 1),
        ).reshape(highest + 1, longest + 1)[1:, 1:]
        if runs[:, 1:].any() or _shares_line(lesion, direction):
            matrices[0, :, :, index] = runs
    return matrices, directions


def calculate_gldm(
    levels: Levels, lesion: Flags, _distances: object, highest: int, *_flat: object
) -> NDArray[np.float64]:
    """The grey level dependence matrix, shape (1, levels, 1 + number of equal neighbours)."""
    border, directions = _lay_out(levels, lesion, highest), _list_directions(lesion)
    flat, equal = border.ravel(), np.zeros(border.size, dtype=np.uint8)
    for direction in directions:
        offset = _find_offset(border, direction)
        same = (flat[offset:] == flat[:-offset]).view(np.uint8)
        equal[offset:] += same
        equal[:-offset] += same
    inside = np.flatnonzero(flat)
    columns = 4 * len(directions) + 1
    counts = np.bincount(
        (flat[inside] - np.intp(1)) * columns + equal[inside], minlength=highest * columns
    ).reshape(1, highest, columns)
    return counts.astype(np.float64)


def calculate_ngtdm(
    levels: Levels, lesion: Flags, _distances: object, highest: int, *_flat: object
) -> NDArray[np.float64]:
    """The neighbouring grey tone difference matrix, shape (1, levels, 3): voxels, differences, level."""
    border = _lay_out(levels, lesion, highest)
    flat = border.ravel()
    inside = np.flatnonzero(flat)
    own = flat[inside].astype(np.intp)
    total = _sum_around(border.astype(np.int32)).ravel()[inside] - own
    count = _sum_around((border > 0).astype(np.uint8)).ravel()[inside] - 1
    with np.errstate(invalid="ignore"):
        apart = np.where(count > 0, np.abs(own - total / count), 0.0)
    rows = own - 1
    voxels = np.bincount(rows, minlength=highest)
    # Added voxel by voxel in their order, as the C function does
    differences = np.bincount(rows, apart, minlength=highest)
    return np.stack([voxels, differences, np.arange(1.0, highest + 1)], axis=-1)[None]


def _lay_out(levels: Levels, lesion: Flags, highest: int) -> Levels:
    """The lesion's levels within a border of zeros, in the smallest type that holds them."""
    border = np.zeros(tuple(size + 2 for size in levels.shape), dtype=np.min_scalar_type(highest))
    border[1:-1, 1:-1, 1:-1] = np.where(lesion, levels, 0)
    return border


def _list_directions(lesion: Flags) -> NDArray[np.intp]:
    """One of each two opposite directions to a neighbour, in PyRadiomics' order, shape (directions, 3)."""
    from radiomics import cMatrices

    directions: NDArray[np.intp] = cMatrices.generate_angles(
        np.array(lesion.shape), np.array([1]), False, False, 0
    )
    return directions


def _find_offset(border: Levels, direction: NDArray[np.intp]) -> int:
    _, rows, columns = border.shape
    return int(direction @ (rows * columns, columns, 1))


def _order_along(flat: Levels, offset: int) -> Levels:
    """The values so ordered that a step of so many places leads to the next; zeros separate the lines."""
    whole = np.zeros((-(-len(flat) // offset), offset), dtype=flat.dtype)
    whole.reshape(-1)[: len(flat)] = flat
    return whole.T.ravel()


def _shares_line(lesion: Flags, direction: NDArray[np.intp]) -> bool:
    """Whether two voxels of the lesion lie on one line of this direction."""
    places = np.argwhere(lesion)
    axis = int(np.flatnonzero(direction)[0])
    starts = places - places[:, axis, None] * direction
    return len(np.unique(starts, axis=0)) < len(starts)


def _sum_around(values: NDArray[Any]) -> NDArray[Any]:
    """The sum over each value and its 26 neighbours; of the border's values it means nothing."""
    for axis in range(3):
        sums = values.copy()
        inner, after, before = (
            tuple(part if index == axis else slice(None) for index in range(3))
            for part in (slice(1, -1), slice(2, None), slice(None, -2))
        )
        sums[inner] += values[after]
        sums[inner] += values[before]
        values = sums
    return values
