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
_SOFT_HU = (0, 100)
"""Between fluid and bone."""


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
    labels, within = resample_labels(mask.voxels, prepared.grid, mask.extent)
    index = prepared.crops.rectangle.start[0] - within.start[0]
    return _show_slice(scan, mask.voxels, prepared.grid, (labels, within, index), recipe)


def make_whole_overview(scan: Scan, mask: Mask, recipe: Recipe) -> Overview | None:
    """The slice with the largest area of any label; None if none is left at the recipe's spacing."""
    grid = Grid(scan.geometry, recipe.spacing_mm)
    labels, within = resample_labels(mask.voxels, grid, mask.extent)
    if not labels.any():
        return None
    return _show_slice(scan, mask.voxels, grid, (labels, within, find_largest_slice(labels > 0)), recipe)


def make_scan_overview(scan: Scan, labels: Labels | None, recipe: Recipe) -> Overview:
    """A slice of a CT without mask, or with one that is refused.

    Parameters
    ----------
    scan : Scan
        In HU.
    labels : Labels of shape (slices, rows, columns), or None
        What a refused mask marks: the slice with most of it is shown, else that with most soft tissue.
    recipe : Recipe
        Spacing and window of the networks' inputs.
    """
    grid = Grid(scan.geometry, recipe.spacing_mm)
    stored = np.zeros(scan.voxels.shape, dtype=np.uint8) if labels is None else labels
    shown, within = resample_labels(stored, grid) if stored.any() else (stored[:0], Box((0, 0, 0), (0, 0, 0)))
    if shown.any():
        return _show_slice(scan, stored, grid, (shown, within, find_largest_slice(shown > 0)), recipe)
    _, rows, columns = grid.shape
    sparse = scan.voxels[:, ::4, ::4]
    soft = np.count_nonzero((sparse > _SOFT_HU[0]) & (sparse < _SOFT_HU[1]), axis=(1, 2))
    place = int(soft.argmax()) / max(len(soft) - 1, 1)
    plane = Box((round(place * (grid.shape[0] - 1)), 0, 0), (1, rows, columns))
    return _show_slice(scan, stored, grid, (np.zeros(plane.count, dtype=np.uint8), plane, 0), recipe)


def _show_slice(
    scan: Scan, mask: Labels, grid: Grid, lesion: tuple[Labels, Box, int], recipe: Recipe
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


def _count_hu(scan: Scan, mask: Labels) -> Counts:
    # A quarter of the rows shows the same distribution; the lesion is counted completely
    within = np.histogram(scan.voxels[mask > 0], bin_edges_hu())[0]
    rows = scan.voxels[:, ::4]
    around = np.histogram(rows[mask[:, ::4] == 0], bin_edges_hu())[0]
    return np.stack([within, around]).astype(np.int64)
