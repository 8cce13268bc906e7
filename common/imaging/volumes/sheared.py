"""Grids that programs write for scans with a tilted gantry, and the true grid behind them.

The table moves horizontally while the gantry is tilted, so a true stack is sheared: each slice begins a
little further along its plane. Programs state this in different ways, seen in files that they wrote:

- ITK, and so ITK-SNAP, keeps the first slice and lays the others upright on it.
- dcm2niix (1.0.20220720) starts from that upright grid and shears *space* (y grows with z) where it should
  have shifted the slices. The steps from row to row of its `sform` are too long and turned: by 12 % and 2
  degrees at 20 degrees of tilt. Its `pixdim` still holds the true steps, which tell how to undo it. Beside it
  stands a `qform`, the nearest rotation, which ITK reads instead.
"""

from __future__ import annotations

import numpy as np

from common.imaging.geometry import Geometry
from common.types import Reals

_SAME = 1e-3
"""Largest difference between unit vectors that count as equal, up to the rounding of headers."""

_SAME_SPAN_MM = 0.05
"""Grids whose rows and columns part by no more than this from edge to edge are equal."""

_SAME_POINT_MM = 0.02


def undo_shear_of_space(steps_mm: Reals, lengths_mm: Reals) -> Reals | None:
    """The true steps of a tilted scan behind a grid that dcm2niix sheared; None if it is no such grid.

    Parameters
    ----------
    steps_mm : Reals of shape (3, 3)
        Each column leads from one voxel to the next.
    lengths_mm : Reals of shape (3,)
        Steps along columns and rows, and between the planes of neighbouring slices.
    """
    x, y, z = steps_mm / lengths_mm
    # Only y was changed, and it was at right angles to x and z, as long as they are
    upright = np.array([x, np.cross(z, x), z])
    if upright[1] @ y < 0:
        upright[1] = -upright[1]
    shear = (y - upright[1]) @ z
    sheared = np.array([x, upright[1] + shear * z, z])
    is_rotation = np.abs(upright.T @ upright - np.eye(3)).max() < _SAME
    if not is_rotation or np.abs(sheared[1] - y).max() > _SAME:
        return None
    normal = upright[:, 2]
    along = steps_mm[:, 2]
    return np.column_stack([upright[:, :2] * lengths_mm[:2], along * (lengths_mm[2] / (along @ normal))])


def is_drawn_on(mask: Geometry, scan: Geometry) -> bool:
    """Whether each voxel of the mask is the scan's voxel of that index, though its file puts it elsewhere.

    So it is where the mask was drawn by a program that reads this tilted or uneven scan in one of the ways
    above: rows, columns and one corner of the stack are then as that program states them.
    """
    distorted = scan.tilt_degrees > 0.01 or not scan.evenly_spaced
    if not distorted or mask.shape != scan.shape:
        return False
    corners_mm = np.linalg.norm(mask.corners_mm() - scan.corners_mm(), axis=1)
    if corners_mm.min() > _SAME_POINT_MM:
        return False
    stated = mask.axes * np.array(mask.spacing_mm)[:, None]
    reach = max(scan.rows, scan.columns)
    return any(
        np.abs(stated - steps.T[:2]).max() * reach <= _SAME_SPAN_MM for steps in _list_stated_steps(scan)
    )


def _list_stated_steps(scan: Geometry) -> list[Reals]:
    """The steps that programs state for this scan, each of shape (3, 3)."""
    step = (scan.positions_mm[-1] - scan.positions_mm[0]) / (len(scan.positions_mm) - 1)
    in_plane = scan.axes * np.array(scan.spacing_mm)[:, None]
    true = np.vstack([in_plane, step]).T
    normal = scan.frame[2]
    upright = np.vstack([in_plane, normal * (step @ normal)]).T
    # Space is sheared until the normal runs along the line from slice to slice
    shear = (step[1] / step[2] * normal[2] - normal[1]) / normal[2]
    sheared = upright + np.outer([0.0, shear, 0.0], upright[2])
    lengths = np.linalg.norm(upright, axis=0)
    return [true, sheared, *(_find_nearest_rotation(steps) * lengths for steps in (true, sheared))]


def _find_nearest_rotation(steps_mm: Reals) -> Reals:
    """The unit vectors at right angles that are nearest in direction, as a NIfTI `qform` holds them."""
    left, _, right = np.linalg.svd(steps_mm / np.linalg.norm(steps_mm, axis=0))
    nearest: Reals = left @ right
    return nearest
