"""What a patient's images must show, and the hematoma's shape as a score of every voxel near it.

The hematoma consists of the voxels with the lowest scores, as many as its volume needs: a volume is exact to
the voxel, and a grown hematoma contains the one from which it grew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from common.cohort.outcome import Volumes
from common.types import Flags, Pixels
from simulations.phantom.anatomy import Coordinates, Head, Point, coordinates_of

SEATS: dict[str, tuple[Point, ...]] = {
    "deep": ((26, -2, 6), (24, 6, 10), (20, 14, 9)),
    "lobar": ((34, -42, 26), (34, 34, 34), (44, 4, -8), (28, 58, 14)),
    "infratentorial": ((20, 46, -42), (26, 50, -38), (3, 14, -38)),
}
"""Typical centres by location, on the patient's left, in mm; mirrored for the right."""

_SATELLITE_GAP_MM = (3.0, 8.0)
_ISLAND_GAP_MM = (1.8, 4.0)
_LARGEST_SMALL_MM = 4.6
"""Largest radius of a satellite, which measures at most 10 mm across."""
_BUBBLES = 5
"""Number of small hematomas of an island sign that are connected with the main one: at least four."""
_SEPARATION_MM = 1.6
"""Least width of brain between a small hematoma and the main one."""
_REACH_MM = 22.0
"""Margin around the hematoma for its growth, satellites and edema."""


@dataclass(frozen=True)
class Lesion:
    """One patient's hemorrhage.

    Attributes
    ----------
    location : str
        "lobar", "deep" or "infratentorial".
    baseline, followup : Volumes
        Volumes in ml at the two scans.
    signs : frozenset of str
        Which of the nine NCCT markers, by the cohort table's names, and of "sah" are present.
    roughness : float
        Irregularity of its margin and mottling of its density; about standard normal.
    """

    location: str
    baseline: Volumes
    followup: Volumes
    signs: frozenset[str] = field(default=frozenset())
    roughness: float = 0.0

    @property
    def radius_mm(self) -> float:
        """Radius of a sphere with the baseline's volume."""
        return float(np.cbrt(3 * max(self.baseline.ich_ml, 0.5) * 1000 / (4 * math.pi)))

    @property
    def coarseness(self) -> float:
        """Roughness on a scale between 0 and 1."""
        return 1 / (1 + math.exp(-2 * self.roughness))


@dataclass(frozen=True, eq=False)
class HematomaRegion:
    """The part of a head in which a hematoma lies.

    Attributes
    ----------
    head : Head
        The head without hemorrhage.
    lesion : Lesion
        The hemorrhage to draw.
    seat_mm : Point
        The hematoma's centre.
    part : tuple of 3 slices
        The region in the head's grid (slices, rows, columns).
    local : Coordinates
        Coordinates of that part relative to the seat, rotated by the hematoma's angle in the axial plane.
    """

    head: Head
    lesion: Lesion
    seat_mm: Point
    part: tuple[slice, slice, slice]
    local: Coordinates

    @cached_property
    def room(self) -> Flags:
        """Where the hematoma may lie: on its side of the midline and of the tentorium."""
        below = self.head.infratentorial[self.part]
        inside = self.head.brain[self.part] | self.head.ventricles[self.part] | self.head.sulci[self.part]
        if self.lesion.location == "infratentorial":
            return inside & below
        across = coordinates_of(self.head.geometry, self.part).x
        beside: Flags = across * np.float32(np.sign(self.seat_mm[0])) > 1.5
        return inside & ~below & beside

    @cached_property
    def backwards_mm(self) -> Pixels:
        """Distance behind the seat, independent of the hematoma's angle."""
        return coordinates_of(self.head.geometry, self.part).y - np.float32(self.seat_mm[1])


@dataclass(frozen=True, eq=False)
class Shape:
    """A hematoma before its volume is chosen, on the grid of its region.

    Attributes
    ----------
    score : Pixels of shape (slices, rows, columns)
        Distance from the centre, scaled by the lobulated shape, in mm; infinite where it cannot lie.
    small : Flags of the same shape
        Satellites and islands, separate from the main hematoma.
    """

    score: Pixels
    small: Flags

    def find_threshold(self, voxels: int) -> float:
        """The highest score in a hematoma of this many voxels, small ones included; infinite if none fits."""
        rank = max(voxels - int(np.count_nonzero(self.small)), 1)
        if rank > self.score.size:
            return math.inf
        return float(np.partition(self.score.ravel(), rank - 1)[rank - 1])


def choose_region(head: Head, lesion: Lesion, random: np.random.Generator) -> HematomaRegion:
    """The region of the hematoma: one of its location's typical places, on either side."""
    places = SEATS[lesion.location]
    side = random.choice([-1.0, 1.0])
    x, y, z = np.array(places[int(random.integers(len(places)))]) + random.uniform(-2.5, 2.5, 3)
    # The middle of a slice, so that round shapes are seen at their widest
    heights = head.geometry.positions_mm[:, 2] + (y - head.geometry.positions_mm[0, 1]) * math.tan(
        math.radians(head.geometry.tilt_degrees)
    )
    z = float(heights[np.abs(heights - z).argmin()])
    reach_mm = lesion.radius_mm * 1.9 + _REACH_MM
    part = _crop_around(head, (float(x * side), float(y), z), reach_mm)
    angle = random.uniform(0, math.pi)
    place = coordinates_of(head.geometry, part)
    across, back = place.x - np.float32(x * side), place.y - np.float32(y)
    rotated = Coordinates(
        across * np.float32(math.cos(angle)) + back * np.float32(math.sin(angle)),
        back * np.float32(math.cos(angle)) - across * np.float32(math.sin(angle)),
        place.z - np.float32(z),
    )
    return HematomaRegion(head, lesion, (float(x * side), float(y), z), part, rotated)


def _crop_around(head: Head, centre_mm: Point, reach_mm: float) -> tuple[slice, slice, slice]:
    geometry = head.geometry
    middle = geometry.indices_of(np.array(centre_mm))
    steps = (geometry.steps_mm[0], geometry.spacing_mm[1], geometry.spacing_mm[0])
    bounds = [
        (max(int(index - reach_mm / step), 0), min(int(index + reach_mm / step) + 2, size))
        for index, step, size in zip(middle, steps, geometry.shape, strict=True)
    ]
    return slice(*bounds[0]), slice(*bounds[1]), slice(*bounds[2])


def draw_shape(region: HematomaRegion, random: np.random.Generator) -> Shape:
    """The hematoma's shape: an ellipsoid with lobes, and small hematomas where a sign requires them."""
    lesion, local = region.lesion, region.local
    long = random.uniform(1.05, 1.3)
    distance = np.sqrt((local.x * long) ** 2 + (local.y / long) ** 2 + (local.z * 1.05) ** 2)
    score = distance / _draw_lobes(lesion, local, random)
    small, around, taken = (np.zeros(score.shape, dtype=bool) for _ in range(3))
    for radius_mm, gap_mm in _draw_small_hematomas(lesion, random):
        near = _place_beside(region, score, (radius_mm, gap_mm), taken, random)
        small |= (near < radius_mm) & region.room
        around |= near < radius_mm + _SEPARATION_MM
        taken |= near < radius_mm + _SEPARATION_MM + _LARGEST_SMALL_MM
    return Shape(np.where(region.room & ~around, score, np.float32(np.inf)).astype(np.float32), small)


def _draw_lobes(lesion: Lesion, local: Coordinates, random: np.random.Generator) -> Pixels:
    """Relative radius in each direction: smooth, or with as many bulges as the signs of shape require."""
    direction = np.arctan2(local.y, local.x) + local.z * np.float32(0.03)
    form = np.ones(direction.shape, dtype=np.float32)
    waves = [(2, 0.03), (3, 0.02)]
    waves += [(int(random.integers(4, 6)), 0.14 * lesion.coarseness), (7, 0.09 * lesion.coarseness)]
    if "irregular_shape" in lesion.signs:
        waves += [(3, 0.12), (5, 0.08)]
    for count, height in waves:
        phase = random.uniform(0, 2 * math.pi)
        form += np.float32(height) * np.cos(count * direction + np.float32(phase))
    if "island_sign" in lesion.signs and "satellite_sign" not in lesion.signs:
        form += _draw_bubbles(direction, random)
    # Towards the poles lobes flatten, or the lowest and highest slices would show stars
    across = local.x**2 + local.y**2
    flattened = across / (across + local.z**2 + np.float32(1))
    lobes: Pixels = np.clip(1 + (form - 1) * flattened, 0.4, None)
    return lobes


def _draw_bubbles(direction: Pixels, random: np.random.Generator) -> Pixels:
    """What the connected small hematomas of an island sign add to the relative radius in each direction."""
    bulges = np.zeros_like(direction)
    first = random.uniform(0, 2 * math.pi)
    for bubble in range(_BUBBLES):
        angle = first + (bubble + random.uniform(-0.2, 0.2)) * 2 * math.pi / _BUBBLES
        away = np.mod(direction - np.float32(angle) + math.pi, 2 * math.pi) - math.pi
        bulges += np.float32(random.uniform(0.35, 0.55)) * np.exp(-((away / np.float32(0.3)) ** 2))
    return bulges


def _draw_small_hematomas(lesion: Lesion, random: np.random.Generator) -> list[tuple[float, float]]:
    """Radius and gap in mm of each hematoma apart from the main one."""
    if "satellite_sign" not in lesion.signs:
        return []
    count = 3 if "island_sign" in lesion.signs else 1
    gap = _ISLAND_GAP_MM if "island_sign" in lesion.signs else _SATELLITE_GAP_MM
    # All of them together stay small beside the main one
    largest = min(_LARGEST_SMALL_MM, lesion.radius_mm * 0.55)
    return [(random.uniform(0.7, 1.0) * largest, random.uniform(*gap)) for _ in range(count)]


def _place_beside(
    region: HematomaRegion,
    score: Pixels,
    size_mm: tuple[float, float],
    taken: Flags,
    random: np.random.Generator,
) -> Pixels:
    """Distance in mm from the centre of a small hematoma that lies in free brain beside the main one."""
    radius_mm, gap_mm = size_mm
    level = np.abs(region.local.z) < region.head.geometry.steps_mm[0] / 2
    wanted = region.lesion.radius_mm + radius_mm + gap_mm
    brain = region.head.brain[region.part] & region.room & ~taken & level
    offset = np.where(brain, np.abs(score - wanted), np.inf) + random.uniform(0, 1.0, score.shape)
    z, y, x = np.unravel_index(int(offset.argmin()), score.shape)
    local = region.local
    shifted = (
        local.x - local.x[0, y, x],
        local.y - local.y[min(z, local.y.shape[0] - 1), y, x],
        local.z - local.z[z, y, 0],
    )
    distance: Pixels = np.sqrt(sum((axis**2 for axis in shifted), start=np.float32(0)))
    return distance
