"""Lesion-centred cells: a network's field and the lesion in the axial plane, in mm from the lesion's centre.

Cells of 5 mm: as thick as the paper's slices, and no coarser than the feature maps from which attention comes
(at least 4 cells on a field of 20 to 80 mm). 60 mm to each side hold all but the largest fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from common.imaging.grid import Box, Grid
from common.imaging.masks.mask import Mask
from common.imaging.nearest import resample_labels
from common.imaging.preprocess import locate_crops, select_lesion
from common.imaging.recipe import InputShape, Recipe
from common.imaging.scan import Scan
from common.types import Flags, Pixels, Reals

CELL_MM: Final = 5.0
"""Width and height of a cell."""
CELLS: Final = 24
"""Cells along each axis; the lesion's centre lies between the twelfth and the thirteenth."""
_SAMPLES = 5
"""Points along each axis of a cell at which a map is read: one every millimetre."""


@dataclass(frozen=True, eq=False)
class LesionField:
    """Where a network's input lies about the lesion, and what of each cell the lesion fills.

    Attributes
    ----------
    rows, columns : float array, shape (cells, input size)
        Share of each row, and of each column, of the input in the mean over a cell; 0 beyond the input.
    lesion : float array, shape (cells, cells)
        Share of each cell that the lesion covers in [0, 1]: in the slice of a 2D network, in any slice for a
        3D one. Rows run to the patient's back, columns to the patient's left.
    """

    rows: Reals
    columns: Reals
    lesion: Reals

    def pack(self) -> Reals:
        """The same as one array, shape (cells, 2 x input size + cells)."""
        return np.concatenate([self.rows, self.columns, self.lesion], axis=1)

    @classmethod
    def unpack(cls, packed: Reals) -> LesionField:
        """What `pack` wrote."""
        size = (packed.shape[1] - CELLS) // 2
        return cls(packed[:, :size], packed[:, size : 2 * size], packed[:, 2 * size :])

    def lay_out(self, heat: Pixels) -> Reals:
        """A map on the grid of the input as means over the cells, shape (cells, cells), in [0, 1].

        Parameters
        ----------
        heat : float32 array, shape ([z,] y, x)
            In [0, 1]. A 3D map is averaged along z, and divided by its largest value.
        """
        plane = np.asarray(heat, dtype=np.float64)
        if plane.ndim == 3:
            plane = plane.mean(axis=0)
            plane = plane / max(float(plane.max()), np.finfo(np.float64).tiny)
        return np.clip(self.rows @ plane @ self.columns.T, 0.0, 1.0)


def locate_fields(
    scan: Scan, mask: Mask, recipe: Recipe, shapes: Sequence[InputShape]
) -> dict[InputShape, LesionField]:
    """The networks' inputs about the centre of the lesion that the recipe crops.

    Raises
    ------
    ScanError
        If the mask has no voxel of the lesion, or at the recipe's spacing none or only a line is left.
    """
    grid = Grid(scan.geometry, recipe.spacing_mm)
    crops = locate_crops(mask, grid, recipe)
    labels, within = resample_labels(mask.voxels, grid, mask.extent)
    lesion = select_lesion(labels, recipe)
    plane = crops.rectangle.start[0] - within.start[0]
    seen = {2: lesion[plane : plane + 1], 3: lesion}
    return {
        shape: arrange_cells(seen[shape.dimensions], within, crops.of(shape.dimensions, 1), (recipe, shape))
        for shape in shapes
    }


def arrange_cells(lesion: Flags, within: Box, box: Box, made: tuple[Recipe, InputShape]) -> LesionField:
    """The cells about the centre of some voxels.

    Parameters
    ----------
    lesion : bool array, shape (z, y, x)
        True on at least one voxel.
    within : Box
        The part of the grid that `lesion` covers along y and x.
    box : Box
        What the network sees.
    made : (Recipe, InputShape)
        How the box becomes the network's input.
    """
    recipe, shape = made
    shares, covered = [], []
    for axis in (1, 2):
        profile = lesion.sum(axis=tuple(other for other in range(3) if other != axis), dtype=np.float64)
        indices = np.arange(lesion.shape[axis], dtype=np.float64)
        centre = float(profile @ indices / profile.sum())
        places = centre + _list_offsets_mm() / recipe.spacing_mm[2 - axis]
        covered.append(_share_out(places, lesion.shape[axis]))
        inputs = _find_input_positions(places + within.start[axis], box, axis, made)
        shares.append(_share_out(inputs, shape.size))
    area: Reals = covered[0] @ lesion.any(axis=0).astype(np.float64) @ covered[1].T
    return LesionField(shares[0], shares[1], np.clip(area, 0.0, 1.0))


def _list_offsets_mm() -> Reals:
    """The points at which maps are read, from the lesion's centre, shape (cells x samples,)."""
    step_mm = CELL_MM / _SAMPLES
    offsets: Reals = (np.arange(CELLS * _SAMPLES, dtype=np.float64) + 0.5) * step_mm - CELLS * CELL_MM / 2
    return offsets


def _find_input_positions(places: Reals, box: Box, axis: int, made: tuple[Recipe, InputShape]) -> Reals:
    """Continuous index of the network's input at indices of the grid: the inverse of `crop.resize`."""
    recipe, shape = made
    start, count = box.start[axis], box.count[axis]
    if recipe.scaling == "fit":
        return (places - start + 0.5) * (shape.size / count) - 0.5
    scale = recipe.spacing_mm[2 - axis] / recipe.physical_mm_per_pixel
    return (places - (start + (count - 1) / 2)) * scale + (shape.size - 1) / 2


def _share_out(positions: Reals, size: int) -> Reals:
    """What each of `size` voxels contributes to the mean over each cell, linearly interpolated."""
    inside = (positions >= -0.5) & (positions <= size - 0.5)
    held = positions.clip(0, size - 1)
    first = np.minimum(held.astype(np.intp), max(size - 2, 0))
    second = np.minimum(first + 1, size - 1)
    upper = held - first
    cells = np.repeat(np.arange(CELLS), _SAMPLES)
    shares = np.zeros((CELLS, size))
    np.add.at(shares, (cells, first), (1 - upper) * inside / _SAMPLES)
    np.add.at(shares, (cells, second), upper * inside / _SAMPLES)
    return shares
