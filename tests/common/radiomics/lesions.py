"""Lesions whose every voxel is known, and PyRadiomics' default call on the whole volume."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from scipy.ndimage import gaussian_filter

from common.cohort.outcome import Volumes
from common.imaging.geometry import Geometry
from common.imaging.grid import Grid
from common.imaging.masks.mask import ICH, IVH, Mask
from common.imaging.nearest import resample_labels
from common.imaging.resample import resample
from common.imaging.scan import Scan
from common.radiomics.features import FEATURES
from common.radiomics.settings import ExtractionSettings

PAPER = ExtractionSettings()


def make_case(voxels, labels, spacing_mm=(1.0, 1.0, 5.0)) -> tuple[Scan, Mask]:
    """A scan and its mask on an upright grid."""
    slices, rows, columns = voxels.shape
    positions = np.zeros((slices, 3))
    positions[:, 2] = np.arange(slices) * spacing_mm[2]
    geometry = Geometry(rows, columns, spacing_mm[:2], np.eye(3)[:2], positions)
    ml = float(np.prod(spacing_mm)) / 1000
    measured = Volumes((labels == ICH).sum() * ml, (labels == IVH).sum() * ml)
    return Scan(Path("ct"), voxels, geometry), Mask(Path("mask"), labels.astype(np.uint8), measured)


def textured(shape, lesion, seed=0, blood_hu=30.0) -> np.ndarray:
    """Brain with noise, and mottled blood where the lesion is, as whole HU."""
    random = np.random.default_rng(seed)
    return np.round(random.normal(33, 9, shape) + blood_hu * (lesion > 0) * random.normal(1, 0.5, shape))


def head_with_lesion(volume_ml: float) -> tuple[Scan, Mask]:
    """Brain with noise of a CT's grain, and a lobulated hematoma in it."""
    random, shape = np.random.default_rng(0), (30, 230, 230)
    z, y, x = np.indices(shape)
    radius_mm = (3 * volume_ml * 1000 / (4 * np.pi)) ** (1 / 3)
    lobes_mm = gaussian_filter(random.normal(0, 60, shape), (1, 4, 4))
    lesion = np.sqrt(((z - 15) * 5) ** 2 + (y - 110) ** 2 + (x - 90) ** 2) + lobes_mm < radius_mm
    hu = 33 + gaussian_filter(random.normal(0, 12, shape), (0, 0.7, 0.7)) + 30 * lesion
    hu[:, :20] = -1000
    return make_case(np.round(hu).astype(np.int16), np.where(lesion, ICH, 0))


def whole_volume(scan: Scan, mask: Mask, settings: ExtractionSettings) -> tuple[sitk.Image, sitk.Image]:
    """All of the CT and of its mask, resampled, as PyRadiomics takes them."""
    grid = Grid(scan.geometry, settings.spacing_mm)
    labels, within = resample_labels(mask.voxels, grid)
    whole = np.zeros(grid.shape, dtype=np.uint8)
    whole[within.slices] = labels == ICH if settings.voi == "ICH" else labels > 0
    hu = resample(scan.voxels, grid, grid.whole, settings.interpolation)
    image, lesion = sitk.GetImageFromArray(hu), sitk.GetImageFromArray(whole)
    for one in (image, lesion):
        one.SetSpacing(settings.spacing_mm)
    return image, lesion


def default_call(scan: Scan, mask: Mask, settings: ExtractionSettings = PAPER) -> np.ndarray:
    """PyRadiomics' default call with Wavelet, on the whole resampled volume."""
    return executed(*whole_volume(scan, mask, settings))


def executed(image: sitk.Image, lesion: sitk.Image) -> np.ndarray:
    """The default call itself."""
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    extractor = RadiomicsFeatureExtractor()
    extractor.enableImageTypeByName("Wavelet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = extractor.execute(image, lesion)
    return np.array([float(found[name]) for name in FEATURES])


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest relative difference; infinite where one is a number and the other is not."""
    if not np.array_equal(np.isfinite(found), np.isfinite(expected)):
        return np.inf
    there = np.isfinite(expected)
    scale = np.maximum(np.abs(expected[there]), 1e-12)
    return float((np.abs(found[there] - expected[there]) / scale).max())
