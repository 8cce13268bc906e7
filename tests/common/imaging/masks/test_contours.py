"""Contours filled: against areas known by arithmetic, and matplotlib's own test of each pixel."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from common.imaging.masks import contours as module
from common.imaging.masks.contours import fill_contours

SQUARE = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])


def test_a_centre_on_an_edge_counts_left_and_above_so_that_areas_that_touch_share_no_pixel():
    filled = fill_contours([SQUARE], (5, 6))
    assert np.argwhere(filled).tolist() == [[r, c] for r in (1, 2) for c in (1, 2, 3)]
    beside = fill_contours([SQUARE + np.array([3, 0])], (5, 8))
    assert not (fill_contours([SQUARE], (5, 8)) & beside).any()


def test_one_contour_in_another_is_a_hole_and_an_island_in_it_is_not():
    outer = np.array([[0.5, 0.5], [8.5, 0.5], [8.5, 8.5], [0.5, 8.5]])
    hole, island = outer * 0.5 + 2.25, outer * 0.2 + 3.6
    filled = fill_contours([outer, hole, island], (10, 10))
    assert filled.sum() == 64 - 16 + 4 - (4 - np.count_nonzero(fill_contours([island], (10, 10))))


def test_a_hole_that_a_channel_joins_with_the_outside_is_cut_out():
    """The keyhole technique: one contour, whose channel has no width."""
    keyhole = np.array(
        [[0.5, 0.5], [6.5, 0.5], [6.5, 6.5], [0.5, 6.5], [0.5, 3.2], [2.5, 3.2], [2.5, 4.5], [4.5, 4.5],
         [4.5, 2.5], [2.5, 2.5], [2.5, 3.2], [0.5, 3.2]]
    )  # fmt: skip
    assert fill_contours([keyhole], (8, 8)).sum() == 36 - 4


@pytest.mark.parametrize("piece", [1 << 20, 7])
@pytest.mark.parametrize("seed", range(20))
def test_the_pixels_are_those_of_matplotlib(monkeypatch, seed, piece):
    """Polygons that cross themselves and each other, partly beyond the image."""
    monkeypatch.setattr(module, "_PIECE", piece)
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-4, 24, (rng.integers(3, 12), 2)) for _ in range(3)]
    rows, columns = np.mgrid[:20, :18]
    centres = np.c_[columns.ravel(), rows.ravel()]
    crossings = np.zeros(len(centres), dtype=int)
    for polygon in polygons:
        # matplotlib fills by the even-odd rule within one path
        crossings += Outline(np.vstack([polygon, polygon[:1]]), closed=True).contains_points(centres)
    assert np.array_equal(fill_contours(polygons, (20, 18)), (crossings % 2).reshape(20, 18).astype(bool))


@pytest.mark.parametrize("contour", [np.zeros((0, 2)), [[3.0, 3.0]], [[2.0, 2.0], [9.0, 2.0]]])
def test_points_and_lines_have_no_area(contour):
    assert not fill_contours([np.asarray(contour)], (10, 10)).any()
