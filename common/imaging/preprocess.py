"""A CT and its mask as network inputs, by the study's recipe (Ning et al. 2025, Methods).

The steps: locate the lesion, resample the crop, window, resize.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from common.errors import ScanError
from common.imaging.crop import find_bounding_box, find_largest_slice, resize, widen
from common.imaging.grid import Box, Grid
from common.imaging.masks.mask import ICH, Mask
from common.imaging.nearest import resample_labels
from common.imaging.recipe import InputShape, Recipe
from common.imaging.resample import resample
from common.imaging.scan import Scan
from common.imaging.window import window
from common.types import Flags, Labels, Pixels

PREPROCESSING_ALGORITHM = 1
"""Version of the preprocessing, increased whenever the same files give other numbers; part of cache keys."""

_LEAST_SIDE = 2
"""Rows and columns of the smallest crop: a voxel or a line, enlarged to an image, shows no lesion."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Where the lesion lies on the recipe's grid.

    Attributes
    ----------
    rectangle : Box
        One slice: the lesion in the slice where it is largest, with the recipe's margin.
    box : Box
        The complete lesion, with the recipe's margin. Both may reach beyond the grid.
    """

    rectangle: Box
    box: Box

    def of(self, dimensions: Literal[2, 3], slices: int) -> Box:
        """The box that a network of these dimensions and channels sees."""
        if dimensions == 3:
            return self.box
        neighbours = slices // 2
        (z, y, x), (_, height, width) = self.rectangle.start, self.rectangle.count
        return Box((z - neighbours, y, x), (slices, height, width))


@dataclass(frozen=True, eq=False)
class Prepared:
    """One patient's network inputs.

    Attributes
    ----------
    inputs : mapping of InputShape to Pixels
        Each (channels, [z,] y, x) in [0, 1]; three channels are the slices below, at and above the largest.
    grid : Grid
        The grid of which the crops hold indices.
    crops : Crops
        Where the lesion lies on the grid.
    """

    inputs: Mapping[InputShape, Pixels]
    grid: Grid
    crops: Crops


def prepare_inputs(scan: Scan, mask: Mask, recipe: Recipe, shapes: tuple[InputShape, ...]) -> Prepared:
    """The patient's inputs for networks of these shapes.

    Raises
    ------
    ScanError
        If the mask has no voxel of the lesion, or at the recipe's spacing none or only a line is left.
    """
    grid = Grid(scan.geometry, recipe.spacing_mm)
    crops = locate_crops(mask, grid, recipe)
    inputs = {}
    for shape in shapes:
        part = crops.of(shape.dimensions, recipe.slices)
        pixels = window(resample(scan.voxels, grid, part, recipe.interpolation), recipe)
        if shape.dimensions == 3:
            inputs[shape] = resize(pixels, shape.size, recipe, (2, 1, 0))[None]
        else:
            inputs[shape] = resize(pixels, shape.size, recipe, (2, 1))
    return Prepared(inputs, grid, crops)


def select_lesion(labels: Labels, recipe: Recipe) -> Flags:
    """Which voxels of a mask's labels are the lesion that the recipe crops; same shape."""
    return np.asarray(labels == ICH if recipe.lesion == "ICH" else labels > 0)


def locate_crops(mask: Mask, grid: Grid, recipe: Recipe) -> Crops:
    """The lesion's rectangle and box on the grid.

    Raises
    ------
    ScanError
        If the mask has no voxel of the lesion, or at the recipe's spacing none or only a line is left.
    """
    labels, within = resample_labels(mask.voxels, grid, mask.extent)
    lesion = select_lesion(labels, recipe)
    if not lesion.any():
        present = (mask.voxels == ICH).any() if recipe.lesion == "ICH" else True
        why = (
            f"is lost at {'x'.join(f'{step:g}' for step in recipe.spacing_mm)} mm: smaller than a voxel"
            if present
            else "is not in the mask: it has IVH only"
        )
        raise ScanError(f"{mask.source}: the lesion ({recipe.lesion}) {why} -> check the mask")
    index = find_largest_slice(lesion)
    plane = Box((within.start[0] + index, *within.start[1:]), (1, *within.count[1:]))
    rectangle = widen(find_bounding_box(lesion[index : index + 1], plane), recipe, (1, 2))
    _, height, width = rectangle.count
    if min(height, width) < _LEAST_SIDE:
        raise ScanError(
            f"{mask.source}: the lesion ({recipe.lesion}) is too small for an image: its largest slice has "
            f"{width} x {height} voxels of {recipe.spacing_mm[0]:g} x {recipe.spacing_mm[1]:g} mm, at least "
            f"{_LEAST_SIDE} x {_LEAST_SIDE} are needed -> check that the mask marks the whole hematoma, or "
            "exclude the patient"
        )
    return Crops(rectangle, widen(find_bounding_box(lesion, within), recipe, (0, 1, 2)))
