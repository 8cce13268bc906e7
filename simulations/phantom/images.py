"""Two scans of one patient: the hemorrhage is drawn into the head at baseline and at follow-up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from common.cohort.outcome import Volumes
from common.imaging.geometry import Geometry
from common.imaging.hounsfield import AIR_HU
from common.imaging.masks.mask import ICH, IVH
from common.seeds import generator
from common.types import Flags, Labels, Pixels
from simulations.phantom.anatomy import GREY_HU, Head, grid_coordinates_of
from simulations.phantom.blood import draw_density
from simulations.phantom.lesion import HematomaRegion, Lesion, Shape, choose_region, draw_shape
from simulations.phantom.scanners import Scanner

_EDEMA_HU = -9.0
_EDEMA_MM = 3.0
_IVH_HU, _SAH_HU = 60.0, 56.0
_SAH_REACH_MM = 48.0
_NOISE_AT_BASE = 1.4
"""Noise at the skull's base, relative to the vertex."""


@dataclass(frozen=True, eq=False)
class Image:
    """One simulated CT with its segmentation.

    Attributes
    ----------
    geometry : Geometry
        Where the voxels lie.
    hu : int16 array of shape (slices, rows, columns)
        The scan in HU.
    labels : Labels of the same shape
        1 for ICH, 2 for IVH, 0 elsewhere.
    """

    geometry: Geometry
    hu: NDArray[np.int16]
    labels: Labels

    @property
    def volumes(self) -> Volumes:
        """The volumes in ml of the labelled voxels."""
        voxel_ml = float(self.geometry.voxel_volumes_ml()[0])
        ich, ivh = (int(np.count_nonzero(self.labels == label)) for label in (ICH, IVH))
        return Volumes(ich * voxel_ml, ivh * voxel_ml)


@dataclass(frozen=True, eq=False)
class _Bleeding:
    """A patient's hemorrhage before it is drawn for one point in time.

    Attributes
    ----------
    region : HematomaRegion
        Where the hematoma lies.
    form : Shape
        Its shape.
    filling : int array, shape (voxels,)
        Voxels (flat indices of the head) in the order in which an IVH fills the ventricles.
    """

    region: HematomaRegion
    form: Shape
    filling: NDArray[np.intp]


def scan_patient(head: Head, lesion: Lesion, scanner: Scanner, seed: int) -> tuple[Image, Image]:
    """Baseline and follow-up of one patient, which differ only in growth and noise.

    Raises
    ------
    ValueError
        If a volume does not fit into the head.
    """
    random = generator(seed, "lesion")
    region = choose_region(head, lesion, random)
    form = draw_shape(region, random)
    larger = _cut_hematoma(region, form, max(lesion.baseline.ich_ml, lesion.followup.ich_ml))
    bleeding = _Bleeding(region, form, _order_filling(region, larger))
    drawn = []
    for time, volumes in enumerate((lesion.baseline, lesion.followup)):
        hu, labels = _draw_bleeding(bleeding, volumes, seed)
        pixels = acquire(hu, head, scanner, generator(seed, "noise", time))
        drawn.append(Image(head.geometry, pixels, labels))
    return drawn[0], drawn[1]


def acquire(hu: Pixels, head: Head, scanner: Scanner, random: np.random.Generator) -> NDArray[np.int16]:
    """The scanner's image of the head: with kernel and noise, in whole HU; the air around stays at -1000.

    Returns
    -------
    int16 array, shape (slices, rows, columns)
    """
    occupied = (
        np.flatnonzero((head.hu > AIR_HU).any(axis=(0, 2))),
        np.flatnonzero((head.hu > AIR_HU).any(axis=(0, 1))),
    )
    rows, columns = (slice(max(indices[0] - 3, 0), indices[-1] + 4) for indices in occupied)
    part = hu[:, rows, columns]
    sigma = scanner.blur_mm / scanner.pixel_mm
    white_hu = scanner.noise_hu / _compute_kept_noise(sigma)
    height = np.linspace(_NOISE_AT_BASE, 1.0, len(hu), dtype=np.float32)[:, None, None]
    noisy = random.standard_normal(part.shape, dtype=np.float32)
    noisy *= np.float32(white_hu) * height
    noisy += part
    for axis in (1, 2):
        noisy = gaussian_filter1d(noisy, sigma, axis=axis, truncate=3.0, mode="nearest")
    pixels = np.full(hu.shape, AIR_HU, dtype=np.int16)
    pixels[:, rows, columns] = np.rint(np.clip(noisy, -1024, 3071)).astype(np.int16)
    return pixels


def _compute_kept_noise(sigma: float) -> float:
    """The share of white noise's standard deviation that a Gaussian kernel of this width in pixels keeps."""
    response = gaussian_filter1d(np.eye(1, 25, 12)[0], sigma, truncate=3.0)
    return float((response**2).sum())


def _count_voxels(head: Head, volume_ml: float) -> int:
    return round(volume_ml / float(head.geometry.voxel_volumes_ml()[0]))


def _cut_hematoma(region: HematomaRegion, form: Shape, volume_ml: float) -> Flags:
    """The voxels of the hematoma of this volume, small ones included.

    Raises
    ------
    ValueError
        If it does not fit into its location.
    """
    voxels = _count_voxels(region.head, volume_ml)
    if not voxels:
        return np.zeros(form.score.shape, dtype=bool)
    limit = form.find_threshold(voxels)
    if not math.isfinite(limit):
        raise ValueError(
            f"a hematoma of {volume_ml:.1f} ml does not fit into its {region.lesion.location} region"
        )
    return (form.score <= limit) | form.small


def _order_filling(region: HematomaRegion, hematoma: Flags) -> NDArray[np.intp]:
    """Voxels in the order in which an IVH fills them: ventricles before brain, near and low voxels first."""
    head = region.head
    order = np.sqrt(grid_coordinates_of(head.geometry).distance_squared(region.seat_mm))
    order -= np.float32(0.8) * grid_coordinates_of(head.geometry).y
    spaces = []
    for space in (head.ventricles, head.yielding):
        free = space.copy()
        free[region.part] &= ~hematoma
        inside = np.flatnonzero(free)
        spaces.append(inside[np.argsort(order.ravel()[inside], kind="stable")])
    return np.concatenate(spaces)


def _draw_bleeding(bleeding: _Bleeding, volumes: Volumes, seed: int) -> tuple[Pixels, Labels]:
    """The head with its hemorrhage in HU, and the labels.

    Raises
    ------
    ValueError
        If a volume does not fit into the head.
    """
    region, form = bleeding.region, bleeding.form
    head = region.head
    hu, labels = head.hu.copy(), np.zeros(head.hu.shape, dtype=np.uint8)
    if "sah" in region.lesion.signs:
        hu[_mark_subarachnoid(region)] = _SAH_HU
    voxels = _count_voxels(head, volumes.ivh_ml)
    if voxels > len(bleeding.filling):
        raise ValueError(f"an IVH of {volumes.ivh_ml:.1f} ml does not fit into the ventricles")
    filled = bleeding.filling[:voxels]
    hu.reshape(-1)[filled] = _IVH_HU
    labels.reshape(-1)[filled] = IVH
    hematoma = _cut_hematoma(region, form, volumes.ich_ml)
    if hematoma.any():
        _paint(hu[region.part], region, form, hematoma, generator(seed, "density"))
        labels[region.part][hematoma] = ICH
    return hu, labels


def _paint(
    hu: Pixels, region: HematomaRegion, form: Shape, hematoma: Flags, random: np.random.Generator
) -> None:
    """Draw blood and the edema around it into a view of the head, in place."""
    limit = max(float(form.score[hematoma & ~form.small].max()), 1.0)
    reach = np.where(form.small, np.float32(0.5), form.score / np.float32(limit))
    swollen = (form.score < limit + _EDEMA_MM) & ~hematoma & region.head.brain[region.part]
    hu[swollen] = np.minimum(hu[swollen], GREY_HU - 5) + _EDEMA_HU
    blood = draw_density(region, reach.astype(np.float32), random)
    hu[hematoma] = blood[hematoma]


def _mark_subarachnoid(region: HematomaRegion) -> Flags:
    """Mark sulci and cisterns near the hematoma."""
    return region.head.sulci & (
        grid_coordinates_of(region.head.geometry).distance_squared(region.seat_mm) < _SAH_REACH_MM**2
    )
