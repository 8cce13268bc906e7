"""The lesion's rectangle and box on the grid, and their contents resized to a network's input."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from common.imaging.grid import Box
from common.imaging.recipe import Recipe
from common.types import Flags, Pixels, Reals


def find_bounding_box(lesion: Flags, within: Box) -> Box:
    """The smallest box around the lesion, in indices of the grid.

    Parameters
    ----------
    lesion : Flags of shape `within.count`
        True on at least one voxel.
    within : Box
        The part of the grid that `lesion` covers.
    """
    occupied = [
        np.flatnonzero(lesion.any(axis=tuple(other for other in range(3) if other != axis)))
        for axis in range(3)
    ]
    z, y, x = (within.start[axis] + int(occupied[axis][0]) for axis in range(3))
    depth, height, width = (int(indices[-1] - indices[0]) + 1 for indices in occupied)
    return Box((z, y, x), (depth, height, width))


def find_largest_slice(lesion: Flags) -> int:
    """Index of the axial slice with the largest lesion area; the lowest of equals."""
    return int(np.argmax(lesion.sum(axis=(1, 2))))


def widen(box: Box, recipe: Recipe, axes: tuple[int, ...]) -> Box:
    """The box with the recipe's margin on every side along some of the axes (z, y, x), in whole voxels."""
    margins = [
        ceil(recipe.margin_mm / recipe.spacing_mm[2 - axis] - 1e-9) if axis in axes else 0
        for axis in range(3)
    ]
    z, y, x = (first - margin for first, margin in zip(box.start, margins, strict=True))
    depth, height, width = (count + 2 * margin for count, margin in zip(box.count, margins, strict=True))
    return Box((z, y, x), (depth, height, width))


def resize(pixels: Pixels, size: int, recipe: Recipe, axes: tuple[int, ...]) -> Pixels:
    """The box's contents on a grid of `size` along some of its axes (z, y, x), linearly interpolated.

    With "fit" the voxels' outer edges coincide (half-pixel centres, as torch's align_corners=False); with
    "physical" centres coincide at a constant scale, and beyond the box is air.
    """
    for axis in axes:
        pixels = _resize_axis(pixels, _compute_positions(pixels.shape[axis], size, recipe, axis), axis)
    return np.ascontiguousarray(pixels)


def _compute_positions(count: int, size: int, recipe: Recipe, axis: int) -> Reals:
    """Continuous index of the box at each input voxel."""
    steps: Reals = np.arange(size, dtype=np.float64)
    if recipe.scaling == "fit":
        return (steps + 0.5) * (count / size) - 0.5
    scale = recipe.physical_mm_per_pixel / recipe.spacing_mm[2 - axis]
    return (steps - (size - 1) / 2) * scale + (count - 1) / 2


def _resize_axis(pixels: Pixels, positions: Reals, axis: int) -> Pixels:
    count = pixels.shape[axis]
    held = positions.clip(0, count - 1)
    first = np.minimum(held.astype(np.intp), max(count - 2, 0))
    second = np.minimum(first + 1, count - 1)
    beyond = (positions < -0.5 - 1e-9) | (positions > count - 0.5 + 1e-9)
    share = (held - first).astype(np.float32)
    if axis == 0:
        mixed = _mix_slices(pixels, first, second, share)
    else:
        shape = [1] * pixels.ndim
        shape[axis] = -1
        mixed, upper = (np.take(pixels, indices, axis=axis) for indices in (first, second))
        upper -= mixed
        upper *= share.reshape(shape)
        mixed += upper
    if beyond.any():
        np.moveaxis(mixed, axis, 0)[beyond] = 0
    return mixed


def _mix_slices(pixels: Pixels, first: NDArray[np.intp], second: NDArray[np.intp], share: Pixels) -> Pixels:
    """Each slice so much of the way from the first to the second; those between two at a time."""
    mixed = np.empty((len(share), *pixels.shape[1:]), dtype=np.float32)
    changes = np.flatnonzero(np.diff(first)) + 1
    for start, stop in pairwise([0, *changes.tolist(), len(first)]):
        lower = pixels[first[start]]
        np.multiply(pixels[second[start]] - lower, share[start:stop, None, None], out=mixed[start:stop])
        mixed[start:stop] += lower
    return mixed
