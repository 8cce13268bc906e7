"""A stored stack turned to the project's axes (head, back, left) by flips and transpositions alone."""

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
"""Smallest cosine (41 degrees) between a scan's axis and the patient's axis that it counts as."""

_SQUARE = 1e-3
"""Largest cosine between axes that count as perpendicular, up to the rounding of headers."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Parallel slices as they are stored.

    Attributes
    ----------
    source : Path
        The file or folder, for messages.
    voxels : array of shape (slices, rows, columns)
        Values as stored.
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
    """The voxels with axes towards the patient's (head, back, left), and their geometry.

    Raises
    ------
    ScanError
        If an axis is not clearly one of the patient's, or a stack that must be transposed is oblique or
        unevenly spaced.
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
        stack = _transpose(stack, order)
    return _flip(stack)


def _transpose(stack: Stack, order: list[int]) -> Stack:
    """Sagittal or coronal slices as axial ones; `order[i]` is the stored axis along the patient's axis i.

    Raises
    ------
    ScanError
        If the slices are oblique or uneven.
    """
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


def _flip(stack: Stack) -> tuple[NDArray[Any], Geometry]:
    voxels, across, down, positions = stack.voxels, stack.across_mm, stack.down_mm, stack.positions_mm
    if positions[-1, 2] < positions[0, 2]:
        voxels, positions = voxels[::-1], positions[::-1]
    if down[1] < 0:
        voxels, positions, down = voxels[:, ::-1], positions + down * (voxels.shape[1] - 1), -down
    if across[0] < 0:
        voxels, positions, across = voxels[:, :, ::-1], positions + across * (voxels.shape[2] - 1), -across
    try:
        return voxels, _make_geometry(Stack(stack.source, voxels, across, down, positions))
    except ValueError as failure:
        raise ScanError(f"{stack.source}: {failure} -> export it again from the original series") from None


def _make_geometry(stack: Stack) -> Geometry:
    spacing = (float(np.linalg.norm(stack.across_mm)), float(np.linalg.norm(stack.down_mm)))
    axes = np.vstack([stack.across_mm / spacing[0], stack.down_mm / spacing[1]])
    return Geometry(stack.voxels.shape[1], stack.voxels.shape[2], spacing, axes, stack.positions_mm)
