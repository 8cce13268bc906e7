"""Two scans of one patient: the hemorrhage drawn into the head at baseline and at follow-up, then scanned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from common.cohort.outcome import Volumes
from common.imaging.geometry import Geometry
from common.imaging.mask import ICH, IVH
from common.seeds import generator
from common.types import Flags, Labels, Pixels
from simulations.phantom.anatomy import AIR_HU, GREY_HU, Head, everywhere
from simulations.phantom.blood import density
from simulations.phantom.lesion import Lesion, Shape, Site, seat, shape
from simulations.phantom.scanners import Scanner

_EDEMA_HU = -9.0
_EDEMA_MM = 3.0
_IVH_HU, _SAH_HU = 60.0, 56.0
_SAH_REACH_MM = 48.0
_NOISE_AT_BASE = 1.4
"""How much noisier the skull's base is than the vertex."""


@dataclass(frozen=True, eq=False)
class Image:
    """One simulated CT with its segmentation.

    Attributes
    ----------
    geometry : Geometry
    hu : int16 array of shape (slices, rows, columns)
    labels : Labels of the same shape
        1 ICH, 2 IVH.
    """

    geometry: Geometry
    hu: NDArray[np.int16]
    labels: Labels

    @property
    def volumes(self) -> Volumes:
        """As the mask holds them."""
        voxel_ml = float(self.geometry.voxel_volumes_ml()[0])
        ich, ivh = (int(np.count_nonzero(self.labels == label)) for label in (ICH, IVH))
        return Volumes(ich * voxel_ml, ivh * voxel_ml)


@dataclass(frozen=True, eq=False)
class _Bleeding:
    """A patient's hemorrhage that is not yet drawn for one point in time.

    Attributes
    ----------
    site, form : Site, Shape
    filling : NDArray of int
        Voxels (flat indices of the head) in the order in which an IVH fills the ventricles.
    """

    site: Site
    form: Shape
    filling: NDArray[np.intp]


def scan_patient(head: Head, lesion: Lesion, scanner: Scanner, seed: int) -> tuple[Image, Image]:
    """Baseline and follow-up of one patient, alike but for the growth and the noise.

    Raises
    ------
    ValueError
        If a volume does not fit into the head.
    """
    random = generator(seed, "lesion")
    site = seat(head, lesion, random)
    form = shape(site, random)
    larger = _main(site, form, max(lesion.baseline.ich_ml, lesion.followup.ich_ml))
    bleeding = _Bleeding(site, form, _filling(site, larger))
    drawn = []
    for time, volumes in enumerate((lesion.baseline, lesion.followup)):
        hu, labels = _bled(bleeding, volumes, seed)
        pixels = acquire(hu, head, scanner, generator(seed, "noise", time))
        drawn.append(Image(head.geometry, pixels, labels))
    return drawn[0], drawn[1]


def acquire(hu: Pixels, head: Head, scanner: Scanner, random: np.random.Generator) -> NDArray[np.int16]:
    """The head as the scanner sees it: kernel and noise, whole HU; the air around stays -1000."""
    found = (
        np.flatnonzero((head.hu > AIR_HU).any(axis=(0, 2))),
        np.flatnonzero((head.hu > AIR_HU).any(axis=(0, 1))),
    )
    rows, columns = (slice(max(one[0] - 3, 0), one[-1] + 4) for one in found)
    part = hu[:, rows, columns]
    sigma = scanner.blur_mm / scanner.pixel_mm
    white_hu = scanner.noise_hu / _kept_noise(sigma)
    height = np.linspace(_NOISE_AT_BASE, 1.0, len(hu), dtype=np.float32)[:, None, None]
    noisy = random.standard_normal(part.shape, dtype=np.float32)
    noisy *= np.float32(white_hu) * height
    noisy += part
    for axis in (1, 2):
        noisy = gaussian_filter1d(noisy, sigma, axis=axis, truncate=3.0, mode="nearest")
    pixels = np.full(hu.shape, int(AIR_HU), dtype=np.int16)
    pixels[:, rows, columns] = np.rint(np.clip(noisy, -1024, 3071)).astype(np.int16)
    return pixels


def _kept_noise(sigma: float) -> float:
    """What a Gaussian kernel of this width in pixels leaves of white noise's standard deviation."""
    response = gaussian_filter1d(np.eye(1, 25, 12)[0], sigma, truncate=3.0)
    return float((response**2).sum())


def _count(head: Head, volume_ml: float) -> int:
    return round(volume_ml / float(head.geometry.voxel_volumes_ml()[0]))


def _main(site: Site, form: Shape, volume_ml: float) -> Flags:
    """The hematoma of this volume, small ones included."""
    voxels = _count(site.head, volume_ml)
    if not voxels:
        return np.zeros(form.score.shape, dtype=bool)
    limit = form.threshold(voxels)
    if not math.isfinite(limit):
        raise ValueError(
            f"a hematoma of {volume_ml:.1f} ml does not fit into its {site.lesion.location} place"
        )
    return (form.score <= limit) | form.small


def _filling(site: Site, hematoma: Flags) -> NDArray[np.intp]:
    """Voxels in the order in which an IVH fills them: ventricles, then brain; near and low ones first."""
    head = site.head
    order = np.sqrt(everywhere(head.geometry).distance_squared(site.seat_mm))
    order -= np.float32(0.8) * everywhere(head.geometry).y
    spaces = []
    for space in (head.ventricles, head.yielding):
        free = space.copy()
        free[site.part] &= ~hematoma
        inside = np.flatnonzero(free)
        spaces.append(inside[np.argsort(order.ravel()[inside], kind="stable")])
    return np.concatenate(spaces)


def _bled(bleeding: _Bleeding, volumes: Volumes, seed: int) -> tuple[Pixels, Labels]:
    """Head with hemorrhage, and its labels."""
    site, form = bleeding.site, bleeding.form
    head = site.head
    hu, labels = head.hu.copy(), np.zeros(head.hu.shape, dtype=np.uint8)
    if "sah" in site.lesion.signs:
        hu[_subarachnoid(site)] = _SAH_HU
    voxels = _count(head, volumes.ivh_ml)
    if voxels > len(bleeding.filling):
        raise ValueError(f"an IVH of {volumes.ivh_ml:.1f} ml does not fit into the ventricles")
    filled = bleeding.filling[:voxels]
    hu.reshape(-1)[filled] = _IVH_HU
    labels.reshape(-1)[filled] = IVH
    hematoma = _main(site, form, volumes.ich_ml)
    if hematoma.any():
        _paint(hu[site.part], site, form, hematoma, generator(seed, "density"))
        labels[site.part][hematoma] = ICH
    return hu, labels


def _paint(hu: Pixels, site: Site, form: Shape, hematoma: Flags, random: np.random.Generator) -> None:
    """Blood and the edema around it, into a view of the head."""
    limit = max(float(form.score[hematoma & ~form.small].max()), 1.0)
    reach = np.where(form.small, np.float32(0.5), form.score / np.float32(limit))
    swollen = (form.score < limit + _EDEMA_MM) & ~hematoma & site.head.brain[site.part]
    hu[swollen] = np.minimum(hu[swollen], GREY_HU - 5) + _EDEMA_HU
    blood = density(site, reach.astype(np.float32), random)
    hu[hematoma] = blood[hematoma]


def _subarachnoid(site: Site) -> Flags:
    """Sulci and cisterns near the hematoma."""
    return site.head.sulci & (
        everywhere(site.head.geometry).distance_squared(site.seat_mm) < _SAH_REACH_MM**2
    )
