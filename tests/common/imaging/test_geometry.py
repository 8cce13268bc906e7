"""Indices of points among a scan's slices, even and uneven."""

from __future__ import annotations

import numpy as np
import pytest

UNEVEN_MM = [0.0, 2.5, 5.0, 7.5, 12.5, 17.5]
SHAPE, SPACING_MM = (6, 20, 18), (0.5, 0.5, 2.5)


@pytest.mark.parametrize("tilt_degrees", [0.0, 20.0])
def test_the_index_of_a_voxel_centre_is_its_place(geometry_of, tilt_degrees):
    geometry = geometry_of(shape=SHAPE, spacing_mm=SPACING_MM, tilt_degrees=tilt_degrees)
    centre = geometry.positions_mm[4] + 7 * 0.5 * geometry.axes[0] + 3 * 0.5 * geometry.axes[1]

    assert geometry.indices_of(centre) == pytest.approx([4, 3, 7])


def test_uneven_slices_have_no_index_by_one_step(geometry_of):
    geometry = geometry_of(shape=SHAPE, spacing_mm=SPACING_MM, heights_mm=UNEVEN_MM)

    with pytest.raises(ValueError, match=r"slices are 2\.5 to 5 mm apart, not evenly spaced"):
        geometry.indices_of(geometry.positions_mm[4])


@pytest.mark.parametrize("rotation_degrees", [(0.0, 0.0, 0.0), (10.0, 0.0, 5.0)])
@pytest.mark.parametrize(
    ("heights_mm", "height_mm", "inside"),
    [
        (None, -1.2, True),
        (None, -1.3, False),
        (None, 13.7, True),
        (None, 13.8, False),
        (UNEVEN_MM, -1.2, True),
        (UNEVEN_MM, -1.3, False),
        (UNEVEN_MM, 10.0, True),
        (UNEVEN_MM, 19.9, True),
        (UNEVEN_MM, 20.1, False),
    ],
)
def test_a_scan_reaches_half_a_step_beyond_its_first_and_last_slice(
    geometry_of, rotation_degrees, heights_mm, height_mm, inside
):
    geometry = geometry_of(
        shape=SHAPE, spacing_mm=SPACING_MM, heights_mm=heights_mm, rotation_degrees=rotation_degrees
    )
    middle = geometry.positions_mm[0] + 4 * geometry.axes[0] + 4 * geometry.axes[1]

    assert geometry.contains(middle + height_mm * geometry.frame[2]) == inside


@pytest.mark.parametrize("heights_mm", [None, UNEVEN_MM])
@pytest.mark.parametrize(
    ("columns", "rows", "inside"),
    [(-0.4, 0, True), (-0.6, 0, False), (17.4, 0, True), (17.6, 0, False), (0, 19.4, True), (0, 19.6, False)],
)
def test_a_tilted_scan_reaches_half_a_voxel_beyond_each_slice(geometry_of, heights_mm, columns, rows, inside):
    geometry = geometry_of(shape=SHAPE, spacing_mm=SPACING_MM, tilt_degrees=20.0, heights_mm=heights_mm)
    points = geometry.positions_mm + 0.5 * (columns * geometry.axes[0] + rows * geometry.axes[1])

    assert np.array_equal(geometry.contains(points), np.full(6, inside))
