"""Scans with known geometry, made of few voxels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from common.imaging.geometry import Geometry

GeometryMaker = Callable[..., Geometry]


def make_geometry(
    shape=(9, 20, 18),
    spacing_mm=(0.7, 0.6, 2.5),
    tilt_degrees=0.0,
    heights_mm=None,
    rotation_degrees=(0.0, 0.0, 0.0),
) -> Geometry:
    """A stack whose slices are shifted backwards as the gantry's tilt would, then rotated in space."""
    slices, rows, columns = shape
    heights = np.arange(slices) * spacing_mm[2] if heights_mm is None else np.asarray(heights_mm, dtype=float)
    offsets = np.zeros((slices, 3))
    offsets[:, 2] = heights
    offsets[:, 1] = heights * np.tan(np.radians(tilt_degrees))
    matrix = np.eye(3)
    for axis, degrees in enumerate(rotation_degrees):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(3)
        i, j = [other for other in range(3) if other != axis]
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        matrix = turn @ matrix
    positions = np.array([-11.0, 7.0, 50.0]) + offsets @ matrix.T
    return Geometry(rows, columns, spacing_mm[:2], matrix.T[:2], positions)


@pytest.fixture(scope="session")
def geometry_of() -> GeometryMaker:
    return make_geometry


@pytest.fixture(scope="session")
def noise() -> Callable[[tuple[int, int, int]], np.ndarray]:
    """HU like nothing in particular, so that every wrong voxel shows."""
    return lambda shape: np.random.default_rng(3).integers(-1000, 1500, shape).astype(np.int16)
