"""A prepared scan as a person checks it: the complete slice with its labels, and the histogram of HU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.imaging.crop import find_largest_slice
from common.imaging.grid import Box, Grid
from common.imaging.masks.mask import Mask
from common.imaging.nearest import resample_labels
from common.imaging.preprocess import Prepared
from common.imaging.recipe import Recipe
from common.imaging.resample import resample
from common.imaging.scan import Scan
from common.imaging.window import window
from common.types import Counts, Labels

HISTOGRAM_HU = (-20, 120)
"""Range of the histogram in HU."""

_BIN_HU = 2
"""Width of a bin."""


@dataclass(frozen=True, eq=False)
class Overview:
    """The axial slice with the largest lesion, on the recipe's grid, and the intensities of the scan.

    Attributes
    ----------
    pixels : Labels of shape (rows, columns)
        Windowed, 0 to 255.
    labels : Labels of shape (rows, columns)
        1 ICH, 2 IVH.
    histogram : Counts of shape (2, bins)
        Number of voxels in each bin of HU, on the scan's own grid: row 0 within the labels, row 1 outside.
    """

    pixels: Labels
    labels: Labels
    histogram: Counts


def make_overview(scan: Scan, mask: Mask, prepared: Prepared, recipe: Recipe) -> Overview:
    """The complete slice of which a 2D network sees a part, with its labels and the histogram."""
    labels, within = resample_labels(mask.voxels, prepared.grid)
    index = prepared.crops.rectangle.start[0] - within.start[0]
    return _show_slice(scan, mask, prepared.grid, (labels, within, index), recipe)


def make_whole_overview(scan: Scan, mask: Mask, recipe: Recipe) -> Overview | None:
    """The slice with the largest area of any label; None if none is left at the recipe's spacing."""
    grid = Grid(scan.geometry, recipe.spacing_mm)
    labels, within = resample_labels(mask.voxels, grid)
    if not labels.any():
        return None
    return _show_slice(scan, mask, grid, (labels, within, find_largest_slice(labels > 0)), recipe)


def _show_slice(
    scan: Scan, mask: Mask, grid: Grid, lesion: tuple[Labels, Box, int], recipe: Recipe
) -> Overview:
    """One slice of the grid; `lesion` are the labels, the box that they fill, and the slice within it."""
    part, within, index = lesion
    _, rows, columns = grid.shape
    plane = Box((within.start[0] + index, 0, 0), (1, rows, columns))
    pixels = window(resample(scan.voxels, grid, plane), recipe)[0]
    labels = np.zeros((rows, columns), dtype=np.uint8)
    labels[within.slices[1:]] = part[index]
    return Overview((pixels * 255).round().astype(np.uint8), labels, _count_hu(scan, mask))


def bin_edges_hu() -> Counts:
    """Edges of the histogram's bins in HU, shape (bins + 1,)."""
    return np.arange(HISTOGRAM_HU[0], HISTOGRAM_HU[1] + 1, _BIN_HU)


def _count_hu(scan: Scan, mask: Mask) -> Counts:
    # A quarter of the rows shows the same distribution; the lesion is counted completely
    within = np.histogram(scan.voxels[mask.voxels > 0], bin_edges_hu())[0]
    rows = scan.voxels[:, ::4]
    around = np.histogram(rows[mask.voxels[:, ::4] == 0], bin_edges_hu())[0]
    return np.stack([within, around]).astype(np.int64)
