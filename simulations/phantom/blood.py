"""The hematoma's density in HU, with the NCCT markers drawn by their definitions.

References
----------
Ning et al. (2025), Scientific Reports, Methods and Fig. 3.
Morotti et al. (2019), Lancet Neurology 18:987-996.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy.ndimage import gaussian_filter

from common.types import Pixels
from simulations.phantom.lesion import HematomaRegion

CLOT_HU = 71.0
_UNCLOTTED_HU = -14.0
"""Fresh blood of a rough hematoma is less dense than clot."""
_BLACK_HOLE_HU = -34.0
"""More than 28 HU darker, even after the kernel."""
_HYPODENSITY_HU = -20.0
_BLEND_HU = -25.0
"""More than 18 HU darker."""
_SERUM_HU = -34.0
_SWIRL_HU = -25.0
_FOCUS_HU = -17.0
_MOTTLE_HU = -27.0
_SOFT_MM = 0.8

Darkening = tuple[float, Pixels]
"""The change in HU (negative), and where it applies: 1 inside, 0 outside, in between at a soft edge."""
Marker = Callable[[HematomaRegion, Pixels, np.random.Generator], list[Darkening]]


def draw_density(region: HematomaRegion, reach: Pixels, random: np.random.Generator) -> Pixels:
    """HU of blood at every voxel of the region.

    Parameters
    ----------
    region : HematomaRegion
    reach : Pixels
        The shape's score divided by its threshold: 0 in the middle, 1 at the margin.
    random : Generator
    """
    clot_hu = CLOT_HU + random.uniform(-2, 2) + _UNCLOTTED_HU * region.lesion.coarseness
    hu = np.full(reach.shape, clot_hu, dtype=np.float32)
    hu -= 4 * np.clip(reach, 0, 1.2) ** 2
    change = np.float32(_MOTTLE_HU * region.lesion.coarseness) * _draw_mottle(region, reach, random)
    for name, draw in _MARKERS.items():
        if name in region.lesion.signs:
            for darkening, where in draw(region, reach, random):
                # Where dark foci overlap, the darker one is seen: their sum would not be blood
                change = np.where(where > 0, np.minimum(change, np.float32(darkening) * where), change)
    hu += change
    blood: Pixels = np.clip(hu, 20, 85)
    return blood


def _draw_mottle(region: HematomaRegion, reach: Pixels, random: np.random.Generator) -> Pixels:
    """Foci of low attenuation: a third of the hematoma, each about a quarter of its radius across."""
    geometry = region.head.geometry
    size_mm = max(0.16 * region.lesion.radius_mm, 1.2)
    steps_mm = (geometry.steps_mm[0], geometry.spacing_mm[1], geometry.spacing_mm[0])
    white = random.standard_normal(region.room.shape, dtype=np.float32)
    field = gaussian_filter(white, [size_mm / step for step in steps_mm], mode="wrap")
    inside = field[reach <= 1]
    foci: Pixels = np.clip(((field - inside.mean()) / inside.std() - 0.2) / 0.5, 0, 1).astype(np.float32)
    return foci * (reach < 0.93)


def _draw_focus(region: HematomaRegion, place: tuple[float, float], size: tuple[float, float]) -> Pixels:
    """An ellipsoid inside the hematoma; `place` and `size` (semi-axes) are in the hematoma's radii."""
    radius_mm, local = region.lesion.radius_mm, region.local
    width, length = (max(half * radius_mm, 1.6) for half in size)
    distance = np.sqrt(
        ((local.x - np.float32(place[0] * radius_mm)) / width) ** 2
        + ((local.y - np.float32(place[1] * radius_mm)) / length) ** 2
        + (local.z / max(width, 4.0)) ** 2
    )
    return _soften_edge((1 - distance) * width)


def _soften_edge(inside_mm: Pixels) -> Pixels:
    """1 inside and 0 outside, from the distance to the edge, with a soft transition."""
    edge: Pixels = np.clip(inside_mm / np.float32(_SOFT_MM) + 0.5, 0, 1).astype(np.float32)
    return edge


def _pick_place(random: np.random.Generator, distance: float) -> tuple[float, float]:
    """A place (x, y) at this distance from the middle, in a random direction."""
    angle = random.uniform(0, 2 * math.pi)
    return distance * math.cos(angle), distance * math.sin(angle)


def _draw_black_hole(region: HematomaRegion, reach: Pixels, random: np.random.Generator) -> list[Darkening]:
    return [(_BLACK_HOLE_HU, _draw_focus(region, _pick_place(random, 0.3), (0.24, 0.28)) * (reach < 0.9))]


def _draw_hypodensity(region: HematomaRegion, reach: Pixels, random: np.random.Generator) -> list[Darkening]:
    if "black_hole_sign" in region.lesion.signs:
        return []  # the black hole is one
    return [(_HYPODENSITY_HU, _draw_focus(region, _pick_place(random, 0.35), (0.2, 0.34)) * (reach < 0.9))]


def _draw_blend(region: HematomaRegion, reach: Pixels, random: np.random.Generator) -> list[Darkening]:
    """One side darker, up to the margin."""
    towards = np.float32(random.choice([-1.0, 1.0])) * region.local.x * np.ones_like(reach)
    return [(_BLEND_HU, _soften_edge(towards - np.quantile(towards[reach <= 1], random.uniform(0.6, 0.7))))]


def _draw_fluid_level(region: HematomaRegion, reach: Pixels, random: np.random.Generator) -> list[Darkening]:
    """Serum above sediment; the patient lies on the back, so the line runs across the slice."""
    above = -region.backwards_mm * np.ones_like(reach)
    return [(_SERUM_HU, _soften_edge(above - np.quantile(above[reach <= 1], random.uniform(0.55, 0.65))))]


def _draw_swirl(region: HematomaRegion, reach: Pixels, random: np.random.Generator) -> list[Darkening]:
    """A band that winds from near the middle to the margin, on every section."""
    start = random.uniform(0, 2 * math.pi)
    turn = np.arctan2(region.local.y, region.local.x) - 2.4 * np.clip(reach, 0, 1) - np.float32(start)
    away = np.abs(np.mod(turn + math.pi, 2 * math.pi) - math.pi)
    inside_mm = (0.42 - away) * np.clip(reach, 0.25, 1) * region.lesion.radius_mm
    return [(_SWIRL_HU, _soften_edge(inside_mm) * (reach > 0.25))]


def _draw_heterogeneous(
    region: HematomaRegion, reach: Pixels, random: np.random.Generator
) -> list[Darkening]:
    """Four foci on four sides."""
    first = random.uniform(0, 2 * math.pi)
    angles = [first + quarter * math.pi / 2 for quarter in range(4)]
    places = [(0.52 * math.cos(angle), 0.52 * math.sin(angle)) for angle in angles]
    return [(_FOCUS_HU, _draw_focus(region, place, (0.17, 0.21)) * (reach < 0.95)) for place in places]


_MARKERS: Mapping[str, Marker] = {
    "black_hole_sign": _draw_black_hole,
    "hypodensity": _draw_hypodensity,
    "blend_sign": _draw_blend,
    "fluid_level": _draw_fluid_level,
    "swirl_sign": _draw_swirl,
    "heterogeneous_density": _draw_heterogeneous,
}
"""Markers of density; `simulations.phantom.lesion` draws those of shape."""
