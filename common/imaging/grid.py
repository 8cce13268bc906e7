"""The evenly spaced grid on which a scan is resampled, and where its voxels lie between the scan's."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from common.imaging.geometry import Geometry
from common.types import Reals

TIE = 1e-6
"""Share of a voxel by which rounding may move a position off a boundary."""


@dataclass(frozen=True)
class Box:
    """A part of a grid; may reach beyond the grid.

    Attributes
    ----------
    start : tuple of 3 ints
        First index along (z, y, x).
    count : tuple of 3 ints
        Voxels along (z, y, x).
    """

    start: tuple[int, int, int]
    count: tuple[int, int, int]

    @property
    def stop(self) -> tuple[int, int, int]:
        """One past the last index."""
        z, y, x = (first + count for first, count in zip(self.start, self.count, strict=True))
        return z, y, x

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """For indexing an array of the whole grid."""
        z, y, x = (slice(first, last) for first, last in zip(self.start, self.stop, strict=True))
        return z, y, x


@dataclass(frozen=True, eq=False)
class Grid:
    """An evenly spaced grid along a scan's own axes that covers all its voxels.

    The first voxel is the scan's first; the last is the nearest to the scan's last.

    Attributes
    ----------
    geometry : Geometry
        The scan's.
    spacing_mm : tuple of 3 floats
        The grid's voxel spacing (x, y, z).
    """

    geometry: Geometry
    spacing_mm: tuple[float, float, float]
    _lowest_mm: Reals = field(init=False, repr=False)
    _known: dict[tuple[int, float], Reals] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lowest_mm", self.geometry.offsets_mm.min(axis=0))

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        geometry = self.geometry
        extent = np.ptp(geometry.offsets_mm, axis=0)
        extent[0] += (geometry.columns - 1) * geometry.spacing_mm[0]
        extent[1] += (geometry.rows - 1) * geometry.spacing_mm[1]
        x, y, z = (round(float(size) / step) + 1 for size, step in zip(extent, self.spacing_mm, strict=True))
        return z, y, x

    @property
    def whole(self) -> Box:
        """The box that covers the grid."""
        return Box((0, 0, 0), self.shape)

    def clip(self, box: Box) -> Box:
        """The part of a box that lies on the grid; one of its counts is 0 if no part does."""
        start = [min(max(first, 0), size) for first, size in zip(box.start, self.shape, strict=True)]
        stop = [min(max(last, 0), size) for last, size in zip(box.stop, self.shape, strict=True)]
        count = [max(0, last - first) for first, last in zip(start, stop, strict=True)]
        return Box((start[0], start[1], start[2]), (count[0], count[1], count[2]))

    @cached_property
    def slice_positions(self) -> Reals:
        """Continuous index of the scan's slice at each grid plane, from the true positions, shape (z,)."""
        heights = np.arange(self.shape[0]) * self.spacing_mm[2]
        indices = np.arange(len(self.geometry.positions_mm), dtype=np.float64)
        positions: Reals = np.interp(heights, self.geometry.offsets_mm[:, 2], indices)
        return positions

    def row_positions(self, plane: int) -> Reals:
        """Continuous index of the scan's row at each grid row of a plane, shape (y,)."""
        return self._in_plane(plane, 1)

    def column_positions(self, plane: int) -> Reals:
        """Continuous index of the scan's column at each grid column of a plane, shape (x,)."""
        return self._in_plane(plane, 0)

    def reach(self, axis: int) -> float:
        """Source voxels beyond a plane's last centre that still belong to it: half a voxel of either grid.

        Parameters
        ----------
        axis : {1, 2}
            Rows or columns.
        """
        return 0.5 * max(1.0, self.spacing_mm[2 - axis] / self.geometry.spacing_mm[2 - axis]) + TIE

    def _in_plane(self, plane: int, axis: int) -> Reals:
        shift = float(self._shifts[plane, axis])
        if (axis, shift) not in self._known:
            places = np.arange(self.shape[2 - axis]) * self.spacing_mm[axis] + (self._lowest_mm[axis] - shift)
            self._known[axis, shift] = places / self.geometry.spacing_mm[axis]
            self._known[axis, shift].flags.writeable = False
        return self._known[axis, shift]

    @cached_property
    def _shifts(self) -> Reals:
        """How far each plane is shifted along x and y, in mm, shape (planes, 2)."""
        slices = np.arange(len(self.geometry.positions_mm))
        return np.column_stack(
            [np.interp(self.slice_positions, slices, self.geometry.offsets_mm[:, axis]) for axis in range(2)]
        )
