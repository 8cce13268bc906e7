"""Where a scan's voxels truly lie: every slice has its own position, so tilt and uneven steps stay exact."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from common.types import Reals

SAME_GRID_MM = 1e-3
"""Voxel centres nearer than this are the same."""

_ORTHOGONAL = 1e-3
"""Largest cosine between the in-plane axes."""

_EVEN = 1e-4
"""Steps that differ by less than this share are one step."""


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
        """Where each slice begins in the scan's own frame (x, y, along the normal), the first at 0."""
        # A nanometre is far below any scanner's precision, and removes the noise of the projection
        offsets: Reals = np.round((self.positions_mm - self.positions_mm[0]) @ self.frame.T, 9)
        return offsets

    @cached_property
    def steps_mm(self) -> Reals:
        """Distances between neighbouring slices along their normal."""
        steps: Reals = np.diff(self.offsets_mm[:, 2])
        return steps

    @cached_property
    def thickness_mm(self) -> Reals:
        """What each slice stands for along the normal: half the way to either neighbour."""
        steps = self.steps_mm
        thickness: Reals = (np.append(steps[0], steps) + np.append(steps, steps[-1])) / 2
        return thickness

    @property
    def evenly_spaced(self) -> bool:
        """Whether all steps are one, but for the last digit of a header."""
        return bool((np.abs(self.steps_mm - self.steps_mm.mean()) <= _EVEN * self.steps_mm.mean()).all())

    @property
    def tilt_degrees(self) -> float:
        """Angle between the slices' normal and the way from slice to slice: the gantry's tilt."""
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
        """Largest distance between voxels of one index; infinite if the shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        starts = np.linalg.norm(self.positions_mm - other.positions_mm, axis=1).max()
        corners = np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1).max()
        return float(max(starts, corners))

    def indices_of(self, points_mm: Reals) -> Reals:
        """Continuous index (slice, row, column) of each point, shape (..., 3); for evenly spaced slices."""
        step = (self.positions_mm[-1] - self.positions_mm[0]) / (len(self.positions_mm) - 1)
        matrix = np.column_stack([step, self.axes[1] * self.spacing_mm[1], self.axes[0] * self.spacing_mm[0]])
        indices: Reals = (points_mm - self.positions_mm[0]) @ np.linalg.inv(matrix).T
        return indices
