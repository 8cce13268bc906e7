"""Suggestions of the NCCT markers of shape, computed from the mask by the definitions of the paper's Fig. 3.

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

from common.radiomics.hematoma import SPACING_MM, Hematoma, components, disk
from common.types import Flags, Reals

SATELLITE_MM = 10.0
"""Largest diameter of a satellite."""
SATELLITE_GAP_MM = (1.0, 20.0)
"""Between its margin and the main hematoma's."""
ISLANDS_APART, ISLANDS = 3, 4
"""Small hematomas that are all separate; small hematomas of which some may be connected."""
IRREGULAR_FOCI = 2
"""On the margin: Barras scale III."""

_SMALLEST_MM2 = 3.0
"""Less is a slip of whoever segmented."""
_SMALL = 0.5
"""Largest size of a small hematoma, as a share of the main one's largest section."""
_PROMINENCE = 0.12
"""By how much of the radius a focus stands out from the ellipse of the hematoma's body."""
_ANGLES = 72
"""Directions in which the margin is looked at: every 5 degrees."""


def satellite_sign(one: Hematoma) -> bool:
    """Suggests: a small hematoma of at most 10 mm, 1 to 20 mm away from the main one."""
    away_mm = ndimage.distance_transform_edt(~one.main, sampling=SPACING_MM)
    nearest, farthest = SATELLITE_GAP_MM
    for part in one.parts[1:]:
        # From centre to centre, less half a voxel on either side
        gap_mm = float(away_mm[part].min()) - 1.0
        area = int(part.sum(axis=(1, 2)).max())
        if area >= _SMALLEST_MM2 and nearest <= gap_mm <= farthest and _diameter_mm(part) <= SATELLITE_MM:
            return True
    return False


def _diameter_mm(part: Flags) -> float:
    """Largest diameter on any axial section, from edge to edge."""
    diameter_mm = 0.0
    for section in part[part.any(axis=(1, 2))]:
        places = np.argwhere(section)
        longest = float(np.ptp(places, axis=0).max())
        # No pair of pixels needs to be looked at where the extent alone is too large
        if longest < SATELLITE_MM and len(places) > 1:
            longest = float(pdist(places).max())
        diameter_mm = max(diameter_mm, longest + 1.0)
    return diameter_mm


def island_sign(one: Hematoma) -> bool:
    """Suggests: three small hematomas all apart, or four of which some may be connected with the main one."""
    largest = int(np.count_nonzero(one.main[one.largest_section]))
    areas = [int(part.sum(axis=(1, 2)).max()) for part in one.parts[1:]]
    apart = sum(_SMALLEST_MM2 <= area <= _SMALL * largest for area in areas)
    return apart >= ISLANDS_APART or apart + _bulges(one.main[one.largest_section]) >= ISLANDS


def irregular_shape(one: Hematoma) -> bool:
    """Suggests: at least two foci on the margin of the largest section, joined or apart (Barras III)."""
    section = one.largest_section
    beside = components(one.lesion[section] & ~one.main[section], _SMALLEST_MM2)
    return len(beside) + _bulges(one.main[section]) >= IRREGULAR_FOCI


def _bulges(section: Flags) -> int:
    """How often the margin stands out from the ellipse of the hematoma's body."""
    profile = _profile(max(components(section, 1), key=np.count_nonzero))
    if not profile.size:
        return 0
    # Twice around, so that a bulge at the first angle is one; counted in the middle
    around = np.concatenate([profile, profile, profile])
    peaks, _ = find_peaks(around, prominence=_PROMINENCE)
    return int(np.count_nonzero((peaks >= _ANGLES) & (peaks < 2 * _ANGLES)))


def _body(section: Flags) -> Flags:
    """What is left without bulges narrower than half of the hematoma."""
    radius_mm = float(ndimage.distance_transform_edt(np.pad(section, 1)).max()) / 2
    opened: Flags = ndimage.binary_opening(section, disk(radius_mm))
    return opened if opened.any() else section


def _profile(section: Flags) -> Reals:
    """Radius of the margin in each direction, 1 on the ellipse; empty for a line of pixels."""
    places = np.argwhere(_body(section)).astype(np.float64)
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
