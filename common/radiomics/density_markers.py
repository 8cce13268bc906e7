"""Suggestions of the NCCT markers of density, computed from HU by the definitions of the paper's Fig. 3.

A definition says what a reader sees; the numbers that turn it into a computation are this file's constants.

References
----------
Ning Y et al. 2025, Fig. 3. Morotti A et al. Ann Neurol 2019;86:480-492. Barras CD et al. Stroke
2009;40:1325-1331.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from common.radiomics.hematoma import DarkRegion, Hematoma, components, dark_regions, disk
from common.types import Flags, Reals

BLACK_HOLE_HU = 28.0
"""Difference between a black hole and the blood around it (Li Q et al. Stroke 2016;47:1777-1781)."""
BLEND_HU = 18.0
"""Difference across a blend sign's margin (Li Q et al. Stroke 2015;46:2119-2123)."""
VISIBLE_HU = 10.0
"""Where the definition has no threshold: the difference that a reader sees at a window of 80 HU."""
FOCUS_MM2 = 9.0
"""Area of the smallest focus: 3 mm across."""

_BLEND_SHARE = 0.10
"""Of the section's blood that either part of a blend or fluid level has at least."""
_RIM_MM = 2.0
"""At the hematoma's margin, where a voxel holds brain as well."""
_LEVEL_MM, _LEVEL_WIDTH = 8.0, 0.6
"""Length of a fluid level, and its share of the section's width."""
_STRAIGHT_MM, _LEVEL_SLOPE = 1.0, 0.27
"""A level's deviation from a straight line, and its slope: 15 degrees, by which a head may be turned."""
_LAYERED = 0.9
"""Of the pixels on either side of a level that must belong there."""


def black_hole_sign(one: Hematoma) -> bool:
    """Suggests: an encapsulated region more than 28 HU darker than the blood around, apart from the brain."""
    regions = dark_regions(one, BLACK_HOLE_HU / 2, FOCUS_MM2)
    return any(region.encapsulated and region.contrast_hu > BLACK_HOLE_HU for region in regions)


def hypodensity(one: Hematoma) -> bool:
    """Suggests: a visibly darker region of any shape that is strictly encapsulated within the hematoma."""
    return any(region.encapsulated for region in dark_regions(one, VISIBLE_HU, FOCUS_MM2))


def blend_sign(one: Hematoma) -> bool:
    """Suggests: a dark part beside a bright one, more than 18 HU apart at a clear margin."""
    return any(_blends(one, region) for region in dark_regions(one, BLEND_HU / 2, FOCUS_MM2))


def _blends(one: Hematoma, region: DarkRegion) -> bool:
    """Whether a region is one of two parts, and not the hematoma's rim."""
    blood = np.count_nonzero(one.main[region.section])
    core = ndimage.binary_opening(region.pixels, disk(_RIM_MM))
    share = np.count_nonzero(core) / blood
    parts = bool(_BLEND_SHARE <= share <= 1 - _BLEND_SHARE)
    return parts and not region.encapsulated and region.margin_hu > BLEND_HU


def fluid_level(one: Hematoma) -> bool:
    """Suggests: a dark part above (in front of) a bright part, a straight horizontal line between them."""
    sections = np.flatnonzero(one.main.any(axis=(1, 2))).tolist()
    return any(_has_level(one.smooth[section], one.main[section], one.clot_hu) for section in sections)


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
    # As many dark pixels as a column has, laid down from its front
    level = _first(inner)[columns] + dark.sum(axis=0)[columns]
    right = np.count_nonzero(inner[:, columns] & (dark[:, columns] == (rows < level)))
    slope, offset = np.polyfit(columns, level, 1)
    deviation = float(np.std(level - (slope * columns + offset)))
    layered = right >= _LAYERED * np.count_nonzero(inner[:, columns])
    return bool(layered and deviation <= _STRAIGHT_MM and abs(slope) <= _LEVEL_SLOPE)


def _first(pixels: Flags) -> Reals:
    """Row of the first pixel in each column."""
    return np.asarray(pixels.argmax(axis=0), dtype=np.float64)


def heterogeneous_density(one: Hematoma) -> bool:
    """Suggests: at least three foci of low attenuation on the largest section (Barras scale III or more)."""
    section = one.largest_section
    inner = ndimage.binary_erosion(one.main[section], disk(_RIM_MM))
    dark = inner & (one.smooth[section] < one.clot_hu - VISIBLE_HU)
    return len(components(dark, FOCUS_MM2)) >= 3


def swirl_sign(one: Hematoma) -> bool:
    """Suggests: a region as dark as the brain or darker, of any form, on two contiguous sections of 5 mm."""
    inner = ndimage.binary_erosion(one.main, disk(_RIM_MM)[None])
    dark = inner & (one.smooth <= one.brain_hu + VISIBLE_HU)
    regions = np.stack([_kept(section) for section in dark])
    labels, count = ndimage.label(regions, np.ones((3, 3, 3)))
    return any(np.count_nonzero((labels == index).any(axis=(1, 2))) >= 2 for index in range(1, count + 1))


def _kept(dark: Flags) -> Flags:
    kept: Flags = np.logical_or.reduce([np.zeros_like(dark), *components(dark, FOCUS_MM2)])
    return kept
