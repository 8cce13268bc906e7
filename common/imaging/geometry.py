"""Where a scan's voxels lie: every slice has its own position, so tilt and uneven steps stay exact."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from common.types import Flags, Reals

SAME_GRID_MM = 1e-3
"""Voxel centres nearer than this are the same."""

_ORTHOGONAL = 1e-3
"""Largest cosine between the in-plane axes."""

_EVEN = 1e-4
"""Steps that differ by less than this share count as equal."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """The voxel centres of a stack of parallel slices.

    Coordinates are the patient's, as in DICOM (LPS): x to the left, y to the back, z to the head; in mm.
    Slices run towards the head, rows to the back, columns to the left, each as nearly as the scan allows.

    Attributes
    ----------
    rows, columns : int
        Voxels of one slice.
    spacing_mm : tuple of 2 floats
        Between columns (x) and between rows (y).
    axes : Reals of shape (2, 3)
        Unit vectors of increasing column and increasing row.
    positions_mm : Reals of shape (slices, 3)
        Centre of each slice's first voxel.
    """

    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    axes: Reals = field(repr=False)
    positions_mm: Reals = field(repr=False)

    def __post_init__(self) -> None:
        if min(self.spacing_mm) <= 0 or not np.isfinite(self.positions_mm).all():
            raise ValueError(f"spacing {self.spacing_mm} or a slice's position is impossible")
        if self.axes.shape != (2, 3) or abs(float(self.axes[0] @ self.axes[1])) > _ORTHOGONAL:
            raise ValueError("rows and columns of a slice are not at right angles")
        if len(self.positions_mm) < 2 or (np.diff(self.offsets_mm[:, 2]) <= 0).any():
            raise ValueError("slices must be at least two, and run along their normal")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return len(self.positions_mm), self.rows, self.columns

    @cached_property
    def frame(self) -> Reals:
        """Unit vectors of columns, rows and the slices' normal, shape (3, 3)."""
        return np.vstack([self.axes, np.cross(self.axes[0], self.axes[1])])

    @cached_property
    def offsets_mm(self) -> Reals:
        """Start of each slice in the scan's own frame (x, y, normal), shape (slices, 3), the first at 0."""
        # A nanometre is far below any scanner's precision, and removes the noise of the projection
        offsets: Reals = np.round((self.positions_mm - self.positions_mm[0]) @ self.frame.T, 9)
        return offsets

    @cached_property
    def steps_mm(self) -> Reals:
        """Distances between neighbouring slices along their normal, shape (slices - 1,)."""
        steps: Reals = np.diff(self.offsets_mm[:, 2])
        return steps

    @cached_property
    def thickness_mm(self) -> Reals:
        """Thickness that each slice represents: half the way to either neighbour, shape (slices,)."""
        steps = self.steps_mm
        thickness: Reals = (np.append(steps[0], steps) + np.append(steps, steps[-1])) / 2
        return thickness

    @property
    def evenly_spaced(self) -> bool:
        """Whether all steps are equal, up to the rounding of headers."""
        return bool((np.abs(self.steps_mm - self.steps_mm.mean()) <= _EVEN * self.steps_mm.mean()).all())

    @property
    def tilt_degrees(self) -> float:
        """The gantry's tilt: angle between the slices' normal and the line from slice to slice."""
        step = self.offsets_mm[-1]
        return float(np.degrees(np.arctan2(np.hypot(step[0], step[1]), step[2])))

    def voxel_volumes_ml(self) -> Reals:
        """Volume of one voxel of each slice, shape (slices,)."""
        volumes: Reals = self.thickness_mm * (self.spacing_mm[0] * self.spacing_mm[1] / 1000.0)
        return volumes

    def corners_mm(self) -> Reals:
        """Centres of the corner voxels of the first and the last slice, shape (8, 3)."""
        across = self.axes[0] * self.spacing_mm[0] * (self.columns - 1)
        down = self.axes[1] * self.spacing_mm[1] * (self.rows - 1)
        return np.array(
            [
                position + i * across + j * down
                for position in self.positions_mm[[0, -1]]
                for i in (0, 1)
                for j in (0, 1)
            ]
        )

    def distance_mm(self, other: Geometry) -> float:
        """Largest distance between voxels of equal index; infinite if the shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        starts = np.linalg.norm(self.positions_mm - other.positions_mm, axis=1).max()
        corners = np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1).max()
        return float(max(starts, corners))

    def locate(self, slices: NDArray[np.intp], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Reals:
        """Centre of each voxel with these indices, shape (voxels, 3)."""
        across, down = self.axes * np.array(self.spacing_mm)[:, None]
        points: Reals = self.positions_mm[slices] + columns[:, None] * across + rows[:, None] * down
        return points

    def indices_of(self, points_mm: Reals) -> Reals:
        """Continuous index (slice, row, column) of each point, shape (..., 3).

        Raises
        ------
        ValueError
            If the slices are not evenly spaced: one step then does not lead from each slice to the next.
        """
        if not self.evenly_spaced:
            raise ValueError(
                f"the slices are {self.steps_mm.min():g} to {self.steps_mm.max():g} mm apart, not evenly "
                "spaced: a point has no index by a single step"
            )
        step = (self.positions_mm[-1] - self.positions_mm[0]) / (len(self.positions_mm) - 1)
        matrix = np.column_stack([step, self.axes[1] * self.spacing_mm[1], self.axes[0] * self.spacing_mm[0]])
        indices: Reals = (points_mm - self.positions_mm[0]) @ np.linalg.inv(matrix).T
        return indices

    def contains(self, points_mm: Reals) -> Flags:
        """Whether each point lies in a voxel, shape (...), for points of shape (..., 3).

        Slices may be unevenly spaced; the first and the last reach outwards by half a step.
        """
        if self.evenly_spaced:
            indices = self.indices_of(points_mm)
            return np.asarray(((indices > -0.5) & (indices < np.array(self.shape) - 0.5)).all(axis=-1))
        first_step, *_, last_step = np.diff(self.offsets_mm, axis=0)
        # Half a step before the first slice, each slice, half a step after the last
        starts = np.vstack(
            [self.offsets_mm[0] - first_step / 2, self.offsets_mm, self.offsets_mm[-1] + last_step / 2]
        )
        x, y, height = np.moveaxis((points_mm - self.positions_mm[0]) @ self.frame.T, -1, 0)
        column = (x - np.interp(height, starts[:, 2], starts[:, 0])) / self.spacing_mm[0]
        row = (y - np.interp(height, starts[:, 2], starts[:, 1])) / self.spacing_mm[1]
        return np.asarray(
            (height > starts[0, 2])
            & (height < starts[-1, 2])
            & (row > -0.5)
            & (row < self.rows - 0.5)
            & (column > -0.5)
            & (column < self.columns - 0.5)
        )
