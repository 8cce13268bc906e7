"""Any part of a scan on an evenly spaced grid, with the same numbers as resampling the complete grid gives.

The output's axes are the scan's own rows, columns and normal, so that no value is interpolated needlessly.
Interpolation is trilinear (or cubic) between true slice positions: first between slices, then within the
plane, where each plane is shifted as far as the gantry's tilt shifted the scan at that height. Every output
voxel results from the same sequence of float64 operations, whichever part is requested.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.imaging.grid import Box, Grid
from common.imaging.hounsfield import AIR_HU
from common.imaging.nearest import find_changes
from common.imaging.scan import Hounsfield
from common.types import Flags, Reals

Interpolation: TypeAlias = Literal["linear", "bspline"]
"""Trilinear, or the cubic B-spline that passes through the voxels."""

SPLINE_MARGIN = 36
"""Margin in source voxels around a part; voxels beyond it do not change the cubic B-spline's coefficients.

Each voxel damps the influence by 2 - sqrt(3) = 0.268: to 7e-10 after 16, and below the last bit of a float64
after 36.
"""


_TOGETHER = 1 << 16
"""Source pixels that are interpolated at once."""


@dataclass(frozen=True, eq=False)
class _Taps:
    """Which source voxels along one axis make each output voxel, and how much of each.

    Attributes
    ----------
    indices : array of shape (taps, n)
        Source voxels.
    weights : Reals of shape (taps, n)
        Share of each source voxel.
    outside : Flags of shape (n,)
        Output voxels that lie beyond the source.
    """

    indices: NDArray[np.intp]
    weights: Reals
    outside: Flags


def resample(voxels: Hounsfield, grid: Grid, box: Box, interpolation: Interpolation = "linear") -> Reals:
    """HU on a part of the grid, air where it reaches beyond the scan.

    Parameters
    ----------
    voxels : Hounsfield of shape (slices, rows, columns)
        Of the grid's scan.
    grid : Grid
        The grid to resample on.
    box : Box
        The requested part of the grid.
    interpolation : {"linear", "bspline"}
        "bspline": the cubic B-spline that passes through the voxels, mirrored at the scan's ends.

    Returns
    -------
    Reals of shape `box.count`
    """
    result = np.full(box.count, float(AIR_HU))
    inner = grid.clip(box)
    if 0 in inner.count:
        return result
    planes = range(inner.start[0], inner.stop[0])
    rows, columns = slice(inner.start[1], inner.stop[1]), slice(inner.start[2], inner.stop[2])
    row_positions = _cut([grid.row_positions(plane) for plane in planes], rows)
    column_positions = _cut([grid.column_positions(plane) for plane in planes], columns)
    margin = SPLINE_MARGIN if interpolation == "bspline" else 0
    row_range = _find_source_range(row_positions, voxels.shape[1], margin)
    column_range = _find_source_range(column_positions, voxels.shape[2], margin)
    between = _interpolate_slices(voxels[:, row_range, column_range], grid, planes, interpolation)
    resampled = np.empty(inner.count)
    for first, last in pairwise(_divide(row_positions, column_positions, between[0].size)):
        y = _find_taps(row_positions[first], voxels.shape[1], grid.reach(1), interpolation)
        x = _find_taps(column_positions[first], voxels.shape[2], grid.reach(2), interpolation)
        part, out = between[first:last], resampled[first:last]
        coefficients = _prefilter(_prefilter(part, 1), 2) if interpolation == "bspline" else part
        out[...] = _contract(_contract(coefficients, y, row_range.start, 1), x, column_range.start, 2)
        out[:, y.outside] = AIR_HU
        out[:, :, x.outside] = AIR_HU
    offset = [inner.start[axis] - box.start[axis] for axis in range(3)]
    result[tuple(slice(o, o + n) for o, n in zip(offset, inner.count, strict=True))] = resampled
    return result


def _divide(rows: list[Reals], columns: list[Reals], pixels: int) -> list[int]:
    """Where a plane does not lie straight above the one before it, or more planes would not fit the cache.

    Without a tilt all lie straight: small planes together take a third of the time of each by itself.
    """
    most = max(_TOGETHER // pixels, 1)
    changes = pairwise(find_changes(rows, columns))
    return [*(start for first, last in changes for start in range(first, last, most)), len(rows)]


def _cut(positions: list[Reals], part: slice) -> list[Reals]:
    """The part of each array; what was one array is one again."""
    cut = {id(plane): plane[part] for plane in positions}
    return [cut[id(plane)] for plane in positions]


def _find_source_range(positions: list[Reals], size: int, margin: int) -> slice:
    different = {id(plane): plane for plane in positions}.values()
    lowest = min(float(plane.min()) for plane in different)
    highest = max(float(plane.max()) for plane in different)
    first = min(max(int(np.floor(lowest)) - 1 - margin, 0), size - 2)
    last = max(min(int(np.floor(highest)) + 3 + margin, size), 2)
    return slice(min(first, last - 2), last)


def _interpolate_slices(voxels: Hounsfield, grid: Grid, planes: range, interpolation: Interpolation) -> Reals:
    """The scan interpolated at the heights of the grid's planes, shape (planes, rows, columns)."""
    positions = grid.slice_positions[planes.start : planes.stop]
    size = len(voxels)
    if interpolation == "bspline" and not grid.geometry.evenly_spaced:
        from scipy.interpolate import CubicSpline

        # For uneven positions: a slope of 0 at the ends corresponds to mirroring even ones
        heights = np.minimum(
            np.arange(planes.start, planes.stop) * grid.spacing_mm[2], grid.geometry.offsets_mm[-1, 2]
        )
        spline = CubicSpline(grid.geometry.offsets_mm[:, 2], voxels.astype(np.float64), bc_type="clamped")
        return np.asarray(spline(heights))
    part = _find_source_range([positions], size, SPLINE_MARGIN if interpolation == "bspline" else 0)
    block = voxels[part]
    coefficients = _prefilter(block, 0) if interpolation == "bspline" else block
    return _contract(coefficients, _find_taps(positions, size, np.inf, interpolation), part.start, 0)


def _prefilter(values: Hounsfield | Reals, axis: int) -> Reals:
    """Cubic B-spline coefficients along one axis (Unser 1993), mirrored at its ends."""
    from scipy.ndimage import spline_filter1d

    return np.asarray(spline_filter1d(values, order=3, axis=axis, mode="mirror", output=np.float64))


def _find_taps(positions: Reals, size: int, reach: float, interpolation: Interpolation) -> _Taps:
    """Source voxels and weights for continuous indices; up to `reach` beyond an end its voxel repeats."""
    outside = (positions < -reach) | (positions > size - 1 + reach)
    held = np.clip(positions, 0.0, size - 1.0)
    first = np.minimum(held.astype(np.intp), size - 2)
    t = held - first
    if interpolation == "linear":
        return _Taps(np.stack([first, first + 1]), np.stack([1.0 - t, t]), outside)
    indices = first + np.arange(-1, 3)[:, None]
    mirrored = np.abs(indices)
    mirrored = np.where(mirrored > size - 1, 2 * (size - 1) - mirrored, mirrored)
    s = 1.0 - t
    weights = [s**3 / 6, 2 / 3 - t * t * (2 - t) / 2, 2 / 3 - s * s * (2 - s) / 2, t**3 / 6]
    return _Taps(mirrored, np.stack(weights), outside)


def _contract(values: Hounsfield | Reals, taps: _Taps, start: int, axis: int) -> Reals:
    """The weighted sum of source voxels along one axis; `values` begins at source index `start`."""
    shape = [1] * values.ndim
    shape[axis] = -1
    total: Reals | None = None
    for indices, weights in zip(taps.indices, taps.weights, strict=True):
        term = np.take(values, indices - start, axis=axis) * weights.reshape(shape)
        total = term if total is None else np.add(total, term, out=total)
    return np.asarray(total)
