"""Suggestions of the NCCT shape markers, computed from the mask by the definitions of the paper's Fig. 3.

References
----------
Ning Y et al. 2025, Fig. 3. Shimoda Y et al. Stroke 2017;48:3090-3092 (satellite). Li Q et al. Stroke
2017;48:3019-3025 (island). Barras CD et al. Stroke 2009;40:1325-1331 (irregular shape).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.signal import find_peaks
from scipy.spatial.distance import pdist

from common.radiomics.hematoma import SPACING_MM, Hematoma, disk, split_components
from common.types import Flags, Reals

SATELLITE_MM = 10.0
"""Largest diameter of a satellite, on any axial section."""
SATELLITE_GAP_MM = (1.0, 20.0)
"""Smallest and largest gap between the margins of a satellite and of the main hematoma."""
ISLANDS_APART, ISLANDS = 3, 4
"""Islands required if all are separate, and if some may be connected with the main hematoma."""
IRREGULAR_FOCI = 2
"""Foci on the margin required: Barras scale III."""

_SMALLEST_MM2 = 3.0
"""Smallest area of a small hematoma; less is an error of the segmentation."""
_SMALL = 0.5
"""Largest size of a small hematoma, as a share of the main one's largest section."""
_PROMINENCE = 0.12
"""Prominence of a focus beyond the ellipse of the hematoma's body, as a share of the radius."""
_ANGLES = 72
"""Directions in which the margin is measured: every 5 degrees."""


def satellite_sign(hematoma: Hematoma) -> bool:
    """Suggests: a small hematoma of at most 10 mm that is 1 to 20 mm away from the main hematoma."""
    away_mm = ndimage.distance_transform_edt(~hematoma.main, sampling=SPACING_MM)
    nearest, farthest = SATELLITE_GAP_MM
    for part in hematoma.parts[1:]:
        # The distance of voxel centres, minus half a voxel on either side
        gap_mm = float(away_mm[part].min()) - 1.0
        area = int(part.sum(axis=(1, 2)).max())
        if area >= _SMALLEST_MM2 and nearest <= gap_mm <= farthest and _diameter_mm(part) <= SATELLITE_MM:
            return True
    return False


def _diameter_mm(part: Flags) -> float:
    """The largest diameter on any axial section, from edge to edge."""
    diameter_mm = 0.0
    for section in part[part.any(axis=(1, 2))]:
        places = np.argwhere(section)
        longest = float(np.ptp(places, axis=0).max())
        # If the extent alone is too large, no pair of pixels needs to be measured
        if longest < SATELLITE_MM and len(places) > 1:
            longest = float(pdist(places).max())
        diameter_mm = max(diameter_mm, longest + 1.0)
    return diameter_mm


def island_sign(hematoma: Hematoma) -> bool:
    """Suggests: three separate small hematomas, or four of which some may be connected with the main one."""
    largest = int(np.count_nonzero(hematoma.main[hematoma.largest_section]))
    areas = [int(part.sum(axis=(1, 2)).max()) for part in hematoma.parts[1:]]
    apart = sum(_SMALLEST_MM2 <= area <= _SMALL * largest for area in areas)
    return apart >= ISLANDS_APART or apart + _count_bulges(hematoma.main[hematoma.largest_section]) >= ISLANDS


def irregular_shape(hematoma: Hematoma) -> bool:
    """Suggests: at least two foci on the margin of the largest section, joined or separate (Barras III)."""
    section = hematoma.largest_section
    beside = split_components(hematoma.lesion[section] & ~hematoma.main[section], _SMALLEST_MM2)
    return len(beside) + _count_bulges(hematoma.main[section]) >= IRREGULAR_FOCI


def _count_bulges(section: Flags) -> int:
    """How many times the margin bulges beyond the ellipse of the hematoma's body."""
    profile = _trace_margin(max(split_components(section, 1), key=np.count_nonzero))
    if not profile.size:
        return 0
    # Three turns, counting only the middle one, so that a bulge at the first angle is counted once
    around = np.concatenate([profile, profile, profile])
    peaks, _ = find_peaks(around, prominence=_PROMINENCE)
    return int(np.count_nonzero((peaks >= _ANGLES) & (peaks < 2 * _ANGLES)))


def _open_body(section: Flags) -> Flags:
    """The section without bulges narrower than half of the hematoma: a morphological opening."""
    radius_mm = float(ndimage.distance_transform_edt(np.pad(section, 1)).max()) / 2
    opened: Flags = ndimage.binary_opening(section, disk(radius_mm))
    return opened if opened.any() else section


def _trace_margin(section: Flags) -> Reals:
    """The margin's radius in each direction, shape (72,), 1 on the ellipse; empty for a line of pixels."""
    places = np.argwhere(_open_body(section)).astype(np.float64)
    centre = places.mean(axis=0)
    spread, directions = np.linalg.eigh(np.cov(places.T) if len(places) > 2 else np.zeros((2, 2)))
    if spread[0] <= 0.25:
        return np.zeros(0)
    margin = np.argwhere(section & ~ndimage.binary_erosion(section)) - centre
    # The radius of an ellipse is twice the square root of its second moment
    whitened = margin @ directions / (2 * np.sqrt(spread))
    angles = np.arctan2(whitened[:, 0], whitened[:, 1])
    radii = np.linalg.norm(whitened, axis=1)
    bins = np.floor((angles + np.pi) / (2 * np.pi) * _ANGLES).astype(int) % _ANGLES
    outermost = np.zeros(_ANGLES)
    np.maximum.at(outermost, bins, radii)
    seen = np.flatnonzero(outermost)
    filled = np.interp(np.arange(_ANGLES), seen, outermost[seen], period=_ANGLES)
    return np.asarray(ndimage.gaussian_filter1d(filled, 1.0, mode="wrap"))
