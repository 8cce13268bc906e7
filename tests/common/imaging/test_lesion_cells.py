"""Cells about the lesion's centre: what lies so far from it in the scan lies as far from it in the cells."""

from __future__ import annotations

import numpy as np
import pytest

from common.imaging.crop import resize
from common.imaging.grid import Box
from common.imaging.lesion_cells import CELL_MM, CELLS, LesionField, arrange_cells
from common.imaging.recipe import InputShape, Recipe

SIDE_MM = CELLS * CELL_MM / 2
RECIPES = [
    Recipe(spacing_mm=(1.0, 1.0, 5.0), margin_mm=30.0),
    Recipe(spacing_mm=(0.5, 2.0, 5.0), margin_mm=30.0),
    Recipe(spacing_mm=(1.0, 1.0, 5.0), scaling="physical", physical_mm_per_pixel=1.5),
]


def cell_of(right_to_left_mm, front_to_back_mm):
    """Row and column of the cell that holds a place, in mm from the lesion's centre."""
    return tuple(int((mm + SIDE_MM) // CELL_MM) for mm in (front_to_back_mm, right_to_left_mm))


def lesion_about(centre, recipe, radius_mm=12.0, size=200):
    """A round lesion in one slice, on a grid of so many voxels."""
    y, x = np.mgrid[:size, :size].astype(np.float64)
    across_mm = (x - centre[1]) * recipe.spacing_mm[0]
    along_mm = (y - centre[0]) * recipe.spacing_mm[1]
    return (np.hypot(across_mm, along_mm) <= radius_mm)[np.newaxis]


def box_about(lesion, recipe):
    """What a network sees of it: the lesion with 30 mm around it."""
    rows, columns = (np.flatnonzero(lesion.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    margins = [round(30 / recipe.spacing_mm[place]) for place in (1, 0)]
    start = [int(held[0]) - margin for held, margin in zip((rows, columns), margins, strict=True)]
    count = [len(held) + 2 * margin for held, margin in zip((rows, columns), margins, strict=True)]
    return Box((0, *start), (1, *count))


@pytest.mark.parametrize("recipe", RECIPES, ids=["millimetres", "other voxels", "constant scale"])
@pytest.mark.parametrize("offset_mm", [(17.5, -7.5), (-22.5, 12.5)])
def test_a_signal_lies_in_the_cell_at_its_distance_from_the_lesion(recipe, offset_mm):
    lesion = lesion_about((90, 110), recipe)
    shape = InputShape(2, 96)
    box = box_about(lesion, recipe)
    image = np.zeros(lesion.shape, dtype=np.float32)
    y, x = (
        round(middle + mm / recipe.spacing_mm[place])
        for middle, mm, place in ((90, offset_mm[1], 1), (110, offset_mm[0], 0))
    )
    image[0, y - 1 : y + 2, x - 1 : x + 2] = 1
    seen = resize(image[0][box.slices[1:]][np.newaxis], shape.size, recipe, (2, 1))[0]

    cells = arrange_cells(lesion, Box((0, 0, 0), lesion.shape), box, (recipe, shape)).lay_out(seen)

    assert np.unravel_index(cells.argmax(), cells.shape) == cell_of(*offset_mm)


@pytest.mark.parametrize("recipe", RECIPES, ids=["millimetres", "other voxels", "constant scale"])
def test_the_lesion_covers_its_own_cells_wherever_it_lies(recipe):
    shape = InputShape(2, 64)
    laid = []
    for centre in ((60, 60), (120, 141)):
        lesion = lesion_about(centre, recipe, size=240)
        field = arrange_cells(
            lesion, Box((3, 10, 20), lesion.shape), box_about(lesion, recipe), (recipe, shape)
        )
        laid.append(field.lesion)

    np.testing.assert_allclose(laid[0], laid[1], atol=1e-9)
    assert laid[0].sum() * CELL_MM**2 == pytest.approx(np.pi * 12**2, rel=0.05)
    assert laid[0][CELLS // 2, CELLS // 2] == pytest.approx(1)
    assert laid[0][cell_of(0, -20)] == 0


def test_beyond_the_network_s_field_there_is_nothing():
    recipe, shape = Recipe(margin_mm=0.0), InputShape(2, 32)
    lesion = lesion_about((100, 100), recipe)
    box = Box((0, 88, 88), (1, 25, 25))

    cells = arrange_cells(lesion, Box((0, 0, 0), lesion.shape), box, (recipe, shape)).lay_out(
        np.ones((32, 32), np.float32)
    )

    assert cells.sum() * CELL_MM**2 == pytest.approx(25**2, rel=0.1)
    assert cells[cell_of(-17.5, 0)] == 0
    assert cells.max() == pytest.approx(1)


def test_a_map_in_three_dimensions_is_seen_from_above():
    recipe, shape = Recipe(), InputShape(3, 8)
    lesion = np.ones((4, 40, 40), dtype=bool)
    field = arrange_cells(lesion, Box((0, 0, 0), lesion.shape), Box((0, 0, 0), lesion.shape), (recipe, shape))
    heat = np.zeros((8, 8, 8), dtype=np.float32)
    heat[2:4, :4] = 1
    heat[5, :, :4] = 0.5

    cells = field.lay_out(heat)

    # In front on the right 2.5 of 5 parts, on the left 2; behind on the right .5, on the left nothing
    assert cells[10, 10] == pytest.approx(1)
    assert cells[10, 13] == pytest.approx(0.8)
    assert cells[13, 10] == pytest.approx(0.2)
    assert cells[13, 13] == 0


def test_a_field_comes_back_from_the_array_that_is_kept():
    recipe, shape = Recipe(), InputShape(2, 48)
    lesion = lesion_about((100, 90), recipe)
    whole = Box((0, 0, 0), lesion.shape)
    field = arrange_cells(lesion, whole, box_about(lesion, recipe), (recipe, shape))

    again = LesionField.unpack(field.pack())

    for name in ("rows", "columns", "lesion"):
        np.testing.assert_array_equal(getattr(again, name), getattr(field, name))
