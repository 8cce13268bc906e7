"""Suggestions of the NCCT density markers, computed from HU by the definitions of the paper's Fig. 3.

A definition says what a reader sees; this file's constants are the numbers that make it computable.

References
----------
Ning Y et al. 2025, Fig. 3. Morotti A et al. Ann Neurol 2019;86:480-492. Barras CD et al. Stroke
2009;40:1325-1331.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from common.radiomics.hematoma import DarkRegion, Hematoma, disk, find_dark_regions, split_components
from common.types import Flags, Reals

BLACK_HOLE_HU = 28.0
"""Difference between a black hole and the blood around it (Li Q et al. Stroke 2016;47:1777-1781)."""
BLEND_HU = 18.0
"""Difference across a blend sign's margin (Li Q et al. Stroke 2015;46:2119-2123)."""
VISIBLE_HU = 10.0
"""Difference that a reader sees at a window of 80 HU, used where a definition has no threshold."""
FOCUS_MM2 = 9.0
"""Area of the smallest focus: 3 mm by 3 mm."""

_BLEND_SHARE = 0.10
"""Smallest share of the section's blood in either part of a blend or fluid level."""
_RIM_MM = 2.0
"""Width of the hematoma's margin, where a voxel also contains brain."""
_LEVEL_MM, _LEVEL_WIDTH = 8.0, 0.6
"""Smallest length of a fluid level, and smallest share of the section's width."""
_STRAIGHT_MM, _LEVEL_SLOPE = 1.0, 0.27
"""Largest SD of a level about a straight line, and its largest slope: a head turned by 15 degrees."""
_LAYERED = 0.9
"""Smallest share of pixels that must lie on the right side of a level."""


def black_hole_sign(hematoma: Hematoma) -> bool:
    """Suggests: an encapsulated region over 28 HU darker than the blood around it, away from the brain."""
    regions = find_dark_regions(hematoma, BLACK_HOLE_HU / 2, FOCUS_MM2)
    return any(region.encapsulated and region.contrast_hu > BLACK_HOLE_HU for region in regions)


def hypodensity(hematoma: Hematoma) -> bool:
    """Suggests: a visibly darker region of any shape, completely encapsulated within the hematoma."""
    return any(region.encapsulated for region in find_dark_regions(hematoma, VISIBLE_HU, FOCUS_MM2))


def blend_sign(hematoma: Hematoma) -> bool:
    """Suggests: a dark part beside a bright part that differ by more than 18 HU at a clear margin."""
    return any(_is_blend(hematoma, region) for region in find_dark_regions(hematoma, BLEND_HU / 2, FOCUS_MM2))


def _is_blend(hematoma: Hematoma, region: DarkRegion) -> bool:
    """Whether a region is one of two parts of a blend, and not the rim of the hematoma."""
    blood = np.count_nonzero(hematoma.main[region.section])
    core = ndimage.binary_opening(region.pixels, disk(_RIM_MM))
    share = np.count_nonzero(core) / blood
    parts = bool(_BLEND_SHARE <= share <= 1 - _BLEND_SHARE)
    return parts and not region.encapsulated and region.margin_hu > BLEND_HU


def fluid_level(hematoma: Hematoma) -> bool:
    """Suggests: a dark part above (in front of) a bright part with a straight horizontal line between."""
    sections = np.flatnonzero(hematoma.main.any(axis=(1, 2))).tolist()
    return any(
        _has_level(hematoma.smooth[section], hematoma.main[section], hematoma.clot_hu) for section in sections
    )


def _has_level(smooth: Reals, blood: Flags, clot_hu: float) -> bool:
    inner = ndimage.binary_erosion(blood, disk(_RIM_MM))
    dark = inner & (smooth < clot_hu - VISIBLE_HU)
    columns = np.flatnonzero(dark.any(axis=0) & (inner & ~dark).any(axis=0))
    width = np.count_nonzero(inner.any(axis=0))
    if columns.size < max(_LEVEL_MM, _LEVEL_WIDTH * width):
        return False
    share = np.count_nonzero(dark) / np.count_nonzero(inner)
    if not _BLEND_SHARE <= share <= 1 - _BLEND_SHARE:
        return False
    rows = np.arange(blood.shape[0])[:, None]
    # The level in each column if its dark pixels were stacked from its front
    level = _first_rows(inner)[columns] + dark.sum(axis=0)[columns]
    right = np.count_nonzero(inner[:, columns] & (dark[:, columns] == (rows < level)))
    slope, offset = np.polyfit(columns, level, 1)
    deviation = float(np.std(level - (slope * columns + offset)))
    layered = right >= _LAYERED * np.count_nonzero(inner[:, columns])
    return bool(layered and deviation <= _STRAIGHT_MM and abs(slope) <= _LEVEL_SLOPE)


def _first_rows(pixels: Flags) -> Reals:
    """The row of the first pixel in each column."""
    return np.asarray(pixels.argmax(axis=0), dtype=np.float64)


def heterogeneous_density(hematoma: Hematoma) -> bool:
    """Suggests: at least three foci of low attenuation on the largest section (Barras scale III or more)."""
    section = hematoma.largest_section
    inner = ndimage.binary_erosion(hematoma.main[section], disk(_RIM_MM))
    dark = inner & (hematoma.smooth[section] < hematoma.clot_hu - VISIBLE_HU)
    return len(split_components(dark, FOCUS_MM2)) >= 3


def swirl_sign(hematoma: Hematoma) -> bool:
    """Suggests: a region of any form, as dark as the brain or darker, on two contiguous sections of 5 mm."""
    inner = ndimage.binary_erosion(hematoma.main, disk(_RIM_MM)[None])
    dark = inner & (hematoma.smooth <= hematoma.brain_hu + VISIBLE_HU)
    regions = np.stack([_keep_foci(section) for section in dark])
    labels, count = ndimage.label(regions, np.ones((3, 3, 3)))
    return any(np.count_nonzero((labels == index).any(axis=(1, 2))) >= 2 for index in range(1, count + 1))


def _keep_foci(dark: Flags) -> Flags:
    foci: Flags = np.logical_or.reduce([np.zeros_like(dark), *split_components(dark, FOCUS_MM2)])
    return foci
