"""PyRadiomics' texture matrices of grey levels, counted by whole arrays: its C functions' numbers, sooner.

Each function takes what the function of this name in `radiomics.cMatrices` takes, and returns what that
returns. Levels are laid out with a border of zeros, so that one step in any direction is one offset in the
flat array, and a step out of the lesion's box meets a zero.

References
----------
van Griethuysen JJM et al. Cancer Res 2017;77:e104-e107.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.types import Flags, Reals

Levels: TypeAlias = NDArray[Any]
"""Grey levels, whole numbers from 1 on, shape (z, y, x); those outside the lesion do not matter."""


@dataclass(frozen=True, eq=False)
class _Lines:
    """A lesion's voxels line by line, for each direction in which two voxels are on one line.

    Attributes
    ----------
    directions : int array of shape (directions, 3)
        All of them.
    along : int array of shape (places,)
        The voxels, by their numbers in the order of memory.
    ends : Flags of shape (places,)
        Behind which places no neighbour follows on the line.
    which : int array of shape (places,)
        The direction of each place's line.
    """

    directions: NDArray[np.intp]
    along: NDArray[np.intp]
    ends: Flags
    which: NDArray[np.intp]


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
    lines = _find_lines(lesion.shape, lesion.tobytes())
    own = (levels[lesion] - 1).astype(np.min_scalar_type(highest))
    line, ends, count = own[lines.along], lines.ends.copy(), len(lines.directions)
    ends[:-1] |= line[1:] != line[:-1]
    last = np.flatnonzero(ends)
    lengths = np.diff(last, prepend=-1)
    cells = (line[last] * np.intp(longest) + lengths - 1) * count + lines.which[last]
    runs = np.bincount(cells, minlength=highest * longest * count).astype(np.float64)
    return runs.reshape(1, highest, longest, count), lines.directions


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


@lru_cache(maxsize=1)
def _find_lines(shape: tuple[int, ...], content: bytes) -> _Lines:
    """The lines of a lesion, by the bytes of its flags: the same for the image and its wavelets."""
    lesion = np.frombuffer(content, dtype=bool).reshape(shape)
    border, directions = _lay_out(lesion, lesion, 1), _list_directions(lesion)
    inside = np.flatnonzero(border)
    lines: list[tuple[NDArray[np.intp], Flags, NDArray[np.intp]]] = []
    for index, direction in enumerate(directions):
        offset = _find_offset(border, direction)
        # Voxels of one line leave the same rest, and a stable sort keeps their order
        along = np.argsort((inside % offset).astype(np.min_scalar_type(offset)), kind="stable")
        ends = np.append(np.diff(inside[along]) != offset, True)
        if not ends.all() or _shares_line(lesion, direction):
            lines.append((along, ends, np.full(len(inside), index)))
    directions.flags.writeable = False
    along, ends, which = (np.concatenate(parts) for parts in zip(_NO_LINE, *lines, strict=True))
    return _Lines(directions, along, ends, which)


_NO_LINE = np.empty(0, dtype=np.intp), np.empty(0, dtype=bool), np.empty(0, dtype=np.intp)


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
