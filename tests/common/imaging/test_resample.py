from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from common.imaging.grid import Box, Grid
from common.imaging.resample import resample

TWO_THICKNESS_MM = [0, 2.5, 5, 7.5, 11.25, 16.25, 21.25, 26.25, 31.25]

GEOMETRIES = {
    "upright": {},
    "tilted": {"tilt_degrees": 18.0},
    "tilted the other way": {"tilt_degrees": -25.0},
    "oblique": {"rotation_degrees": (12.0, -7.0, 9.0)},
    "oblique and tilted": {"rotation_degrees": (12.0, -7.0, 9.0), "tilt_degrees": 21.0},
    "two thicknesses": {"heights_mm": TWO_THICKNESS_MM},
    "two thicknesses, tilted": {"heights_mm": TWO_THICKNESS_MM, "tilt_degrees": 15.0},
}


def points_mm(grid: Grid) -> np.ndarray:
    """Where the grid's voxels lie in the patient, shape (z, y, x, 3)."""
    geometry = grid.geometry
    z, y, x = np.meshgrid(*(np.arange(size) for size in grid.shape), indexing="ij")
    offsets = np.stack([x, y, z], axis=-1) * np.array(grid.spacing_mm) + geometry.offsets_mm.min(axis=0)
    return geometry.positions_mm[0] + offsets @ geometry.frame


def inside(grid: Grid) -> np.ndarray:
    """Grid voxels that lie between voxel centres of the scan in every direction."""
    geometry, result = grid.geometry, np.zeros(grid.shape, dtype=bool)
    for plane in range(grid.shape[0]):
        rows, columns = grid.row_positions(plane), grid.column_positions(plane)
        result[plane] = np.outer(
            (rows >= 0) & (rows <= geometry.rows - 1), (columns >= 0) & (columns <= geometry.columns - 1)
        )
    heights = np.arange(grid.shape[0]) * grid.spacing_mm[2]
    result[heights > geometry.offsets_mm[-1, 2]] = False
    return result


def index_space_reference(voxels: np.ndarray, grid: Grid, order: int) -> np.ndarray:
    """SciPy's own interpolation at the scan's continuous indices."""
    result = np.empty(grid.shape)
    for plane in range(grid.shape[0]):
        y, x = np.meshgrid(grid.row_positions(plane), grid.column_positions(plane), indexing="ij")
        z = np.full_like(y, grid.slice_positions[plane])
        result[plane] = map_coordinates(voxels.astype(float), [z, y, x], order=order, mode="mirror")
    return result


@pytest.mark.parametrize("case", GEOMETRIES.values(), ids=GEOMETRIES)
def test_a_density_that_is_linear_in_space_is_recovered_at_true_positions(geometry_of, case):
    """The specification of tilt and uneven spacing: what counts is where a voxel lies in the patient."""
    geometry = geometry_of(**case)
    slope = np.array([1.3, -2.1, 0.9])
    columns = np.arange(geometry.columns)[:, None] * geometry.spacing_mm[0] * geometry.axes[0]
    rows = np.arange(geometry.rows)[:, None, None] * geometry.spacing_mm[1] * geometry.axes[1]
    voxels = (geometry.positions_mm[:, None, None] + rows + columns) @ slope

    grid = Grid(geometry, (1.0, 1.0, 4.0))
    resampled = resample(voxels.astype(np.float32), grid, grid.whole)

    expected = points_mm(grid) @ slope
    assert inside(grid).mean() > 0.4
    np.testing.assert_allclose(resampled[inside(grid)], expected[inside(grid)], atol=2e-4)


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
@pytest.mark.parametrize("case", GEOMETRIES.values(), ids=GEOMETRIES)
def test_a_part_has_exactly_the_numbers_of_the_whole(geometry_of, noise, case, interpolation):
    """Large enough that the spline's margin of 16 voxels does cut something off."""
    extra = {"heights_mm": np.arange(70) * 2.5} if "heights_mm" not in case else {}
    slices = 70 if extra else 9
    geometry = geometry_of(**{"shape": (slices, 90, 85), **case, **extra})
    grid = Grid(geometry, (1.1, 0.9, 5.0))
    voxels = noise(geometry.shape)
    _, rows, columns = grid.shape
    box = Box((grid.shape[0] // 2 - 1, rows // 2, columns // 2), (2, 7, 6))

    part = resample(voxels, grid, box, interpolation)
    whole = resample(voxels, grid, grid.whole, interpolation)[box.slices]

    assert np.abs(part - whole.astype(part.dtype)).max() <= (0.0 if interpolation == "linear" else 1e-5)
    assert np.array_equal(part.astype(np.float32), whole.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_box_of_any_scan_equals_the_whole_bit_for_bit(data, geometry_of, noise):
    shape = tuple(data.draw(st.integers(2, 12), label="size") for _ in range(3))
    geometry = geometry_of(
        shape=shape,
        spacing_mm=tuple(data.draw(st.floats(0.3, 3.0), label="spacing") for _ in range(3)),
        tilt_degrees=data.draw(st.floats(-30, 30), label="tilt"),
    )
    grid = Grid(geometry, tuple(data.draw(st.floats(0.5, 5.0), label="target") for _ in range(3)))
    start = tuple(data.draw(st.integers(-3, size + 2), label="start") for size in grid.shape)
    count = tuple(data.draw(st.integers(1, 6), label="count") for _ in range(3))
    voxels = noise(shape)

    part = resample(voxels, grid, Box(start, count))

    whole = np.full([size + 12 for size in grid.shape], -1000.0)
    whole[tuple(slice(3, 3 + size) for size in grid.shape)] = resample(voxels, grid, grid.whole)
    expected = whole[
        tuple(slice(first + 3, first + 3 + many) for first, many in zip(start, count, strict=True))
    ]
    clipped = tuple(slice(0, size) for size in expected.shape)
    assert np.array_equal(part[clipped], expected)


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
def test_an_upright_scan_is_resampled_as_by_itk(geometry_of, noise, interpolation):
    geometry = geometry_of(shape=(14, 30, 28))
    grid, voxels = Grid(geometry, (1.0, 1.0, 5.0)), noise(geometry.shape)

    image = sitk.GetImageFromArray(voxels.astype(np.float64))
    image.SetSpacing((0.7, 0.6, 2.5))
    size = grid.shape[::-1]
    method = sitk.sitkLinear if interpolation == "linear" else sitk.sitkBSpline
    itk = sitk.Resample(
        image, size, sitk.Transform(), method, (0.0, 0.0, 0.0), (1.0, 1.0, 5.0), image.GetDirection(), 0.0
    )
    expected = sitk.GetArrayFromImage(itk)

    ours = resample(voxels, grid, grid.whole, interpolation)
    # ITK gives its default value beyond the last voxel centre's half voxel; there we hold the last value
    both = inside(grid)
    assert both.mean() > 0.8
    np.testing.assert_allclose(ours[both], expected[both], atol=1e-6)


@pytest.mark.parametrize(("interpolation", "order"), [("linear", 1), ("bspline", 3)])
@pytest.mark.parametrize("name", ["upright", "oblique", "tilted", "oblique and tilted"])
def test_evenly_spaced_scans_are_resampled_as_by_scipy(geometry_of, noise, name, interpolation, order):
    geometry = geometry_of(**GEOMETRIES[name])
    grid, voxels = Grid(geometry, (1.0, 1.0, 4.0)), noise(geometry.shape)

    ours = resample(voxels, grid, grid.whole, interpolation)

    where = inside(grid)
    np.testing.assert_allclose(ours[where], index_space_reference(voxels, grid, order)[where], atol=1e-8)


def test_a_spline_over_uneven_slices_passes_through_them(geometry_of, noise):
    geometry = geometry_of(spacing_mm=(1.0, 1.0, 2.5), heights_mm=TWO_THICKNESS_MM)
    grid, voxels = Grid(geometry, (1.0, 1.0, 1.25)), noise(geometry.shape)

    resampled = resample(voxels, grid, grid.whole, "bspline")

    planes = (np.array(TWO_THICKNESS_MM) / 1.25).astype(int)
    np.testing.assert_allclose(resampled[planes], voxels, atol=1e-9)


def test_a_spline_over_even_slices_is_the_same_by_either_route(geometry_of, noise, monkeypatch):
    geometry = geometry_of()
    grid, voxels = Grid(geometry, (1.0, 1.0, 1.7)), noise(geometry.shape)
    by_filter = resample(voxels, grid, grid.whole, "bspline")

    monkeypatch.setattr(type(geometry), "evenly_spaced", property(lambda _: False))
    by_positions = resample(voxels, grid, grid.whole, "bspline")

    np.testing.assert_allclose(by_positions, by_filter, atol=1e-9)


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
@pytest.mark.parametrize("tilt_degrees", [0.0, 15.0])
def test_planes_together_have_the_numbers_of_each_by_itself(
    geometry_of, noise, monkeypatch, tilt_degrees, interpolation
):
    geometry = geometry_of(tilt_degrees=tilt_degrees)
    grid, voxels = Grid(geometry, (1.0, 1.0, 3.0)), noise(geometry.shape)
    together = resample(voxels, grid, grid.whole, interpolation)

    monkeypatch.setattr("common.imaging.resample._TOGETHER", 1)
    assert np.array_equal(resample(voxels, grid, grid.whole, interpolation), together)


def test_beyond_the_scan_is_air(geometry_of):
    geometry = geometry_of(shape=(3, 4, 4), spacing_mm=(1.0, 1.0, 5.0))
    grid = Grid(geometry, (1.0, 1.0, 5.0))
    voxels = np.full(geometry.shape, 40, dtype=np.int16)

    resampled = resample(voxels, grid, Box((-1, -1, -1), (5, 6, 6)))

    assert (resampled[1:-1, 1:-1, 1:-1] == 40).all()
    assert (resampled == -1000).sum() == 5 * 6 * 6 - 3 * 4 * 4


def test_a_grid_of_the_scans_own_spacing_gives_the_voxels_back(geometry_of, noise):
    geometry = geometry_of(spacing_mm=(1.0, 1.0, 5.0))
    grid, voxels = Grid(geometry, (1.0, 1.0, 5.0)), noise(geometry.shape)

    assert grid.shape == geometry.shape
    assert np.array_equal(resample(voxels, grid, grid.whole), voxels)


@pytest.mark.parametrize(
    ("slices", "step_mm", "planes"), [(30, 5.0, 30), (30, 4.9, 29), (31, 2.5, 16), (4, 3.0, 3)]
)
def test_the_grid_ends_at_the_voxel_nearest_to_the_scans_last(geometry_of, slices, step_mm, planes):
    """142.1 mm are 28.4 steps of 5 mm, 9 mm are 1.8: 28 and 2 steps beyond the first."""
    geometry = geometry_of(shape=(slices, 4, 4), spacing_mm=(1.0, 1.0, step_mm))
    assert Grid(geometry, (1.0, 1.0, 5.0)).shape == (planes, 4, 4)


def test_a_tilted_scan_leaves_air_where_no_slice_reaches(geometry_of):
    geometry = geometry_of(shape=(5, 10, 10), spacing_mm=(1.0, 1.0, 5.0), tilt_degrees=45.0)
    grid = Grid(geometry, (1.0, 1.0, 5.0))

    resampled = resample(np.full(geometry.shape, 40, dtype=np.int16), grid, grid.whole)

    assert grid.shape == (5, 30, 10)
    for plane in range(5):
        assert (resampled[plane, 5 * plane : 5 * plane + 10] == 40).all()
        assert (resampled[plane] == 40).sum() == 100
