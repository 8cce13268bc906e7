"""Turning a stored stack to the project's order of axes (head, back, left): flips and transpositions only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ScanError
from common.imaging.geometry import SAME_GRID_MM, Geometry
from common.types import Reals

_UNAMBIGUOUS = 0.75
"""Least cosine between a scan's axis and the patient's axis that it is taken for (41 degrees)."""

_SQUARE = 1e-3
"""Largest cosine between axes that are at right angles, but for the last digit of a header."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Parallel slices as they are stored.

    Attributes
    ----------
    source : Path
        For messages.
    voxels : array of shape (slices, rows, columns)
    across_mm, down_mm : Reals of shape (3,)
        From one column to the next, and from one row to the next.
    positions_mm : Reals of shape (slices, 3)
        Centre of each slice's first voxel.
    """

    source: Path
    voxels: NDArray[Any]
    across_mm: Reals
    down_mm: Reals
    positions_mm: Reals


def orient(stack: Stack) -> tuple[NDArray[Any], Geometry]:
    """The voxels with axes towards the patient's (head, back, left), and where they lie.

    Raises
    ------
    ScanError
        If an axis is not clearly one of the patient's, or slices and rows of a stack that must be transposed
        are not at right angles or not evenly spaced.
    """
    along = stack.positions_mm[-1] - stack.positions_mm[0]
    steps = np.column_stack([stack.across_mm, stack.down_mm, along])
    cosines = steps / np.linalg.norm(steps, axis=0)
    order = [int(axis) for axis in np.abs(cosines).argmax(axis=1)]
    if sorted(order) != [0, 1, 2] or np.abs(cosines[range(3), order]).min() < _UNAMBIGUOUS:
        raise ScanError(
            f"{stack.source}: stored at an angle at which no axis is clearly the patient's "
            "-> use the axial series, or reformat it"
        )
    if order != [0, 1, 2]:
        stack = _transposed(stack, order)
    return _flipped(stack)


def _transposed(stack: Stack, order: list[int]) -> Stack:
    """Sagittal or coronal slices as axial ones; `order[i]` is the stored axis that is the patient's i."""
    steps = np.diff(stack.positions_mm, axis=0)
    axes = np.vstack([stack.across_mm, stack.down_mm, steps[0]])
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    uneven_mm = np.abs(steps - steps[0]).max()
    if uneven_mm > SAME_GRID_MM or np.abs(axes @ axes.T - np.eye(3)).max() > _SQUARE:
        raise ScanError(
            f"{stack.source}: not axial, and its slices are oblique or uneven -> use the axial series"
        )
    count = len(stack.positions_mm)
    step = (stack.positions_mm[-1] - stack.positions_mm[0]) / (count - 1)
    across, down, along = ((stack.across_mm, stack.down_mm, step)[axis] for axis in order)
    voxels = stack.voxels.transpose([2 - axis for axis in reversed(order)])
    positions = stack.positions_mm[0] + np.arange(len(voxels))[:, None] * along
    return Stack(stack.source, voxels, across, down, positions)


def _flipped(stack: Stack) -> tuple[NDArray[Any], Geometry]:
    voxels, across, down, positions = stack.voxels, stack.across_mm, stack.down_mm, stack.positions_mm
    if positions[-1, 2] < positions[0, 2]:
        voxels, positions = voxels[::-1], positions[::-1]
    if down[1] < 0:
        voxels, positions, down = voxels[:, ::-1], positions + down * (voxels.shape[1] - 1), -down
    if across[0] < 0:
        voxels, positions, across = voxels[:, :, ::-1], positions + across * (voxels.shape[2] - 1), -across
    try:
        return voxels, _geometry(Stack(stack.source, voxels, across, down, positions))
    except ValueError as failure:
        raise ScanError(f"{stack.source}: {failure} -> export it again from the original series") from None


def _geometry(stack: Stack) -> Geometry:
    spacing = (float(np.linalg.norm(stack.across_mm)), float(np.linalg.norm(stack.down_mm)))
    axes = np.vstack([stack.across_mm / spacing[0], stack.down_mm / spacing[1]])
    return Geometry(stack.voxels.shape[1], stack.voxels.shape[2], spacing, axes, stack.positions_mm)
