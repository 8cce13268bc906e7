"""A schematic head without hemorrhage: scalp, skull, grey and white matter, CSF spaces, falx and tentorium.

Coordinates are the patient's (LPS): x to the left, y to the back, z to the head, in mm from a point between
the thalami. Structures are ellipsoids and sheets; gyri are the level sets of a smooth random field.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from common.imaging.geometry import Geometry
from common.imaging.hounsfield import AIR_HU
from common.seeds import generator
from common.types import Flags, Pixels
from simulations.phantom.scanners import Scanner

FAT_HU = -90.0
SKIN_HU = 35.0
BONE_HU = 1000.0
DIPLOE_HU = 620.0
GREY_HU = 37.0
WHITE_HU = 30.0
CSF_HU = 6.0
DURA_HU = 46.0
CALCIFICATION_HU = 150.0

SKIN_MM = (78.0, 98.0, 92.0)
"""Semi-axes (x, y, z) of the skin's surface; the skull and the brain lie at fixed depths below it."""
_SCALP_MM, _SKULL_MM, _MENINGES_MM = 6.0, 7.0, 2.0
_DISTENSION = 1.6
_GYRUS_MM = 5.5
_SULCUS_DEPTH_MM = 17.0

Point = tuple[float, float, float]
"""Patient coordinates x, y and z."""


@dataclass(frozen=True)
class Ellipsoid:
    """One structure, mirrored to the other side unless it lies in the midline.

    Attributes
    ----------
    centre_mm, semi_mm : Point
        Centre and semi-axes of the left one.
    turn_degrees : float
        Rotation about the vertical axis; a positive angle turns the front end outwards.
    """

    centre_mm: Point
    semi_mm: Point
    turn_degrees: float = 0.0


_VENTRICLES = (
    Ellipsoid((10, -26, 13), (4.5, 14, 9), 14),
    Ellipsoid((12, -2, 22), (5, 27, 7), -4),
    Ellipsoid((22, 29, 13), (6.5, 17, 11), -22),
    Ellipsoid((26, 50, 7), (4, 14, 6), 6),
    Ellipsoid((31, 14, -14), (3.2, 15, 4), 8),
    Ellipsoid((0, 4, 1), (2.6, 14, 10)),
    Ellipsoid((0, 31, -37), (7, 5.5, 9)),
)
_CISTERNS = (
    Ellipsoid((0, -12, -27), (15, 10, 8)),
    Ellipsoid((14, 14, -24), (4, 15, 6)),
    Ellipsoid((0, 29, -16), (9, 5, 6)),
    Ellipsoid((0, 2, -52), (20, 6, 14)),
)
_DEEP_GREY = (
    Ellipsoid((15, -20, 12), (5, 10, 9)),
    Ellipsoid((26, -3, 4), (7, 17, 12)),
    Ellipsoid((11, 14, 8), (8, 13, 10)),
)
_BRAINSTEM = Ellipsoid((0, 14, -40), (15, 13, 36))
_CEREBELLUM = Ellipsoid((0, 46, -42), (52, 38, 29))
_PETROUS = Ellipsoid((40, 10, -50), (27, 8, 11), -32)
_SELLA = Ellipsoid((0, -16, -50), (13, 10, 13))
_PLEXUS = Ellipsoid((22, 33, 13), (1.6, 3.0, 3))


@dataclass(frozen=True, eq=False)
class Head:
    """A head on a scanner's grid.

    Attributes
    ----------
    geometry : Geometry
        Where the voxels lie.
    hu : Pixels of shape (slices, rows, columns)
        Densities without blur and noise.
    brain, ventricles, sulci, infratentorial : Flags of the same shape
        Parenchyma; the CSF spaces that an IVH and a SAH can fill; everything below the tentorium.
    yielding : Flags of the same shape
        Brain into which a large IVH widens the ventricles.
    """

    geometry: Geometry
    hu: Pixels
    brain: Flags
    ventricles: Flags
    sulci: Flags
    infratentorial: Flags
    yielding: Flags


@dataclass(frozen=True)
class Coordinates:
    """Patient coordinates of a part of a grid, in mm.

    Attributes
    ----------
    x, y, z : Pixels, broadcastable to (slices, rows, columns)
        To the patient's left, to the back and to the head.
    """

    x: Pixels
    y: Pixels
    z: Pixels

    def scale(self, factor: float) -> Coordinates:
        """Coordinates of the same voxels in a head that is smaller by this factor."""
        x, y, z = (axis / np.float32(factor) for axis in (self.x, self.y, self.z))
        return Coordinates(x, y, z)

    def distance_squared(self, point_mm: Point) -> Pixels:
        """The squared distance from a point, in mm squared."""
        x, y, z = (np.float32(mm) for mm in point_mm)
        squared: Pixels = (self.x - x) ** 2 + (self.y - y) ** 2 + (self.z - z) ** 2
        return squared


def coordinates_of(geometry: Geometry, part: tuple[slice, slice, slice]) -> Coordinates:
    """Coordinates of a part of the grid; a slice's height may change with the row, not with the column."""
    slices, rows, columns = part
    y_step, z_step = geometry.axes[1, 1:] * geometry.spacing_mm[1]
    x_step = geometry.axes[0, 0] * geometry.spacing_mm[0]
    places = geometry.positions_mm[slices]
    along_rows = np.arange(geometry.rows)[rows][None, :, None]
    return Coordinates(
        x=(places[0, 0] + np.arange(geometry.columns)[columns] * x_step)[None, None, :].astype(np.float32),
        y=(places[:, 1, None, None] + along_rows * y_step).astype(np.float32),
        z=(places[:, 2, None, None] + along_rows * z_step).astype(np.float32),
    )


def grid_coordinates_of(geometry: Geometry) -> Coordinates:
    """Coordinates of the whole grid."""
    return coordinates_of(geometry, (slice(None), slice(None), slice(None)))


@lru_cache(maxsize=16)
def build_head(scanner: Scanner, variant: int, *, tilted: bool, atrophy: int) -> Head:
    """A head of one of several builds on the scanner's grid.

    Parameters
    ----------
    scanner : Scanner
    variant : int
        Number of the build, which sets size and gyri.
    tilted : bool
        Whether the gantry is tilted.
    atrophy : {0, 1, 2}
        Width of ventricles and sulci: young, middle-aged or old.
    """
    geometry = scanner.build_geometry(tilted=tilted)
    place = grid_coordinates_of(geometry).scale(1.0 + 0.03 * (variant % 3 - 1))
    depth_mm = _compute_depth_mm(place)
    inner = depth_mm - (_SCALP_MM + _SKULL_MM)
    field = _draw_gyri(geometry, variant)
    widening = (0.85, 1.0, 1.25)[atrophy]
    inside = inner > 0
    ventricles = _mark_structures(place, _VENTRICLES, widening) & (inner > _MENINGES_MM)
    below = (
        _mark_structures(place, (_CEREBELLUM, _BRAINSTEM)) & (place.z < _compute_tentorium_mm(place)) & inside
    )
    sulci = _mark_sulci(place, inner, field, widening) & ~below
    sulci |= (
        inside & _mark_structures(place, _CISTERNS) & ~_mark_structures(place, (_BRAINSTEM,)) & ~ventricles
    )
    bone = _mark_structures(place, (_PETROUS, _SELLA)) & (depth_mm > _SCALP_MM)
    dura = _mark_dura(place, inner)
    hu = _shade_tissue(place, depth_mm, inner, field)
    hu[below] = _shade_folia(place)[below]
    for where, value in ((sulci, CSF_HU), (dura, DURA_HU), (bone, BONE_HU), (ventricles, CSF_HU)):
        hu[where] = value
    plexus = ventricles & _mark_structures(place, (_PLEXUS,))
    hu[plexus] = CALCIFICATION_HU if atrophy else CSF_HU
    brain = (inner > _MENINGES_MM) & ~(sulci | dura | bone | ventricles)
    return Head(
        geometry,
        hu,
        brain,
        ventricles & ~plexus,
        sulci & ~(dura | bone | ventricles),
        below & ~bone,
        brain & _mark_structures(place, _VENTRICLES, widening * _DISTENSION),
    )


def _compute_depth_mm(place: Coordinates) -> Pixels:
    """Depth below the skin, in mm; the head narrows slowly towards its base."""
    x_mm, y_mm, z_mm = SKIN_MM
    # Wider behind the ears than at the forehead
    width = x_mm * (1 + np.float32(0.0012) * place.y)
    in_plane = np.hypot(place.x / width, place.y / y_mm)
    height = np.abs(place.z - 4) / np.where(place.z > 4, z_mm, z_mm * 1.2)
    radius = (in_plane**2.3 + height**2.6) ** np.float32(1 / 2.4)
    depth: Pixels = ((1 - radius) * np.float32((x_mm + y_mm) / 2)).astype(np.float32)
    return depth


def _draw_gyri(geometry: Geometry, variant: int) -> Pixels:
    """A smooth random field of unit variance; its zeros are the middles of the sulci."""
    random = generator(variant, "phantom", "gyri")
    white = random.standard_normal(geometry.shape, dtype=np.float32)
    x_mm, y_mm = geometry.spacing_mm
    field: Pixels = gaussian_filter(
        white, (_GYRUS_MM / geometry.steps_mm[0], _GYRUS_MM / y_mm, _GYRUS_MM / x_mm)
    )
    field /= field.std()
    return field


def _mark_structures(place: Coordinates, structures: tuple[Ellipsoid, ...], widening: float = 1.0) -> Flags:
    """Mark the voxels inside one of the structures or their mirror images."""
    aside = np.abs(place.x)
    inside: NDArray[np.bool_] = np.zeros(np.broadcast_shapes(place.x.shape, place.y.shape), dtype=bool)
    for structure in structures:
        angle = np.radians(structure.turn_degrees)
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        width, length, height = structure.semi_mm
        semi_mm = (width * widening, length * (1 + (widening - 1) / 3), height * widening)
        part = _find_box(place, structure, semi_mm)
        slices, rows, columns = part
        x = aside[:, :, columns] - np.float32(structure.centre_mm[0])
        y = place.y[slices, rows] - np.float32(structure.centre_mm[1])
        across = (x * cosine + y * sine) / np.float32(semi_mm[0])
        along = (y * cosine - x * sine) / np.float32(semi_mm[1])
        above = (place.z[slices, rows] - np.float32(structure.centre_mm[2])) / np.float32(semi_mm[2])
        inside[part] |= across**2 + along**2 + above**2 < 1
    return inside


def _find_box(place: Coordinates, structure: Ellipsoid, semi_mm: Point) -> tuple[slice, slice, slice]:
    """A box of voxels outside which none lies in the structure or its mirror image, with 1 mm to spare."""
    reach_mm = max(semi_mm[0], semi_mm[1]) + 1
    near = np.abs(place.y - structure.centre_mm[1]) < reach_mm
    near &= np.abs(place.z - structure.centre_mm[2]) < semi_mm[2] + 1
    beside = np.abs(np.abs(place.x) - structure.centre_mm[0]) < reach_mm
    return _span(near, (1, 2)), _span(near, (0, 2)), _span(beside, (0, 1))


def _span(marked: Flags, across: tuple[int, int]) -> slice:
    indices = np.flatnonzero(marked.any(axis=across))
    return slice(indices[0], indices[-1] + 1) if len(indices) else slice(0, 0)


def _compute_tentorium_mm(place: Coordinates) -> Pixels:
    """Height of the tentorium in mm: highest in the midline, falling to the sides and to the back."""
    aside, behind = np.abs(place.x), np.maximum(place.y - 25, 0)
    height: Pixels = (-12 - 0.28 * aside - 0.12 * behind).astype(np.float32)
    return height


def _mark_sulci(place: Coordinates, inner: Pixels, field: Pixels, widening: float) -> Flags:
    """Mark the CSF between the folds, in the interhemispheric and Sylvian fissures and under the skull."""
    depth = inner - _MENINGES_MM
    width = 0.16 * widening * np.clip(1 - depth / _SULCUS_DEPTH_MM, 0, 1)
    folds = (np.abs(field) < width) & (depth > 0) & (depth < _SULCUS_DEPTH_MM)
    fissure = (np.abs(place.x) < 1.7 * widening) & _mark_interhemispheric(place)
    lateral = np.abs(place.x) - 44 + 0.004 * (place.y + 8) ** 2
    sylvian = (np.abs(lateral) < 1.6 * widening) & (np.abs(place.y + 8) < 24) & (np.abs(place.z - 3) < 12)
    meninges = (inner > 0) & (inner < _MENINGES_MM * widening)
    sulci: Flags = (inner > 0) & (folds | fissure | sylvian | meninges)
    return sulci


def _mark_interhemispheric(place: Coordinates) -> Flags:
    """Mark the heights and depths at which the falx separates the hemispheres."""
    ahead = (place.y < -42) & (place.z > -20)
    behind = (place.y > 50) & (place.z > -4)
    anywhere: Flags = ahead | behind | (place.z > 38)
    return anywhere


def _mark_dura(place: Coordinates, inner: Pixels) -> Flags:
    """Mark falx and tentorium."""
    falx = (np.abs(place.x) < 0.8) & _mark_interhemispheric(place)
    above = place.z - _compute_tentorium_mm(place)
    edge = (place.y > 22) & (np.abs(place.x) > 12)
    dura: Flags = (inner > 0) & (falx | ((np.abs(above) < 0.7) & edge))
    return dura


def _shade_folia(place: Coordinates) -> Pixels:
    """HU of the cerebellum's fine folds, alternating with the distance from the fourth ventricle."""
    distance = np.hypot(place.x, place.y - 22)
    folia = 33 + 2.5 * np.cos(distance * np.float32(1.05)) + 0 * place.z
    return folia.astype(np.float32)


def _shade_tissue(place: Coordinates, depth_mm: Pixels, inner: Pixels, field: Pixels) -> Pixels:
    """HU of the layers from the air inwards, then of grey and white matter."""
    cortex = (inner < _MENINGES_MM + 4.5) | ((np.abs(field) < 0.55) & (inner < _SULCUS_DEPTH_MM + 4))
    grey = cortex | _mark_structures(place, _DEEP_GREY)
    bone = depth_mm - _SCALP_MM
    diploe = (bone > 2) & (bone < _SKULL_MM - 2)
    layers = [depth_mm <= 0, depth_mm < 1.5, bone < 0, diploe, inner < 0, grey]
    values = [AIR_HU, SKIN_HU, FAT_HU, DIPLOE_HU, BONE_HU, GREY_HU]
    hu: Pixels = np.select(layers, values, default=WHITE_HU).astype(np.float32)
    return hu
