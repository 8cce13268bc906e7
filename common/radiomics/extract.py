"""The 851 features of a lesion: PyRadiomics' own numbers, without its work outside the lesion."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ScanError
from common.imaging.mask import Mask
from common.imaging.scan import Scan
from common.radiomics.features import FEATURES
from common.radiomics.settings import PARAMETERS, ExtractionSettings
from common.radiomics.volume import LesionVolume, lesion_volume
from common.types import Reals


@dataclass(frozen=True, eq=False)
class Extracted:
    """The features of one lesion, and what a reader should know about it.

    Attributes
    ----------
    values : Reals of shape (851,)
        In the order of `FEATURES`; NaN where a feature does not exist for this lesion.
    voxels : int
        Of the lesion on the extraction's grid.
    components : int
        Parts that are not connected: satellites, islands, or ICH and IVH. All are extracted as one.
    touches_border : bool
        Whether the lesion reaches an end of the scan.
    """

    values: Reals
    voxels: int
    components: int
    touches_border: bool

    def __post_init__(self) -> None:
        if self.values.shape != (len(FEATURES),):
            raise ValueError(f"{self.values.shape} features, not {len(FEATURES)}")

    @property
    def missing(self) -> tuple[str, ...]:
        """Features that do not exist for this lesion."""
        return tuple(name for name, value in zip(FEATURES, self.values, strict=True) if np.isnan(value))


def extract(scan: Scan, mask: Mask, settings: ExtractionSettings | None = None) -> Extracted:
    """The features of a lesion, equal to PyRadiomics' of the whole resampled CT.

    Parameters
    ----------
    scan : Scan
        In HU.
    mask : Mask
        On the scan's grid.
    settings : ExtractionSettings, optional
        The paper's by default.

    Raises
    ------
    ScanError
        If there is no lesion, or PyRadiomics cannot work on it: one voxel, or a line of voxels.

    References
    ----------
    van Griethuysen JJM et al. Cancer Res 2017;77:e104-e107. Ning Y et al. 2025, Methods.
    """
    volume = lesion_volume(scan, mask, settings or ExtractionSettings())
    try:
        values = features_of(volume)
    except ValueError as refusal:
        raise ScanError(
            f"{mask.source}: PyRadiomics refuses the lesion of {volume.voxels} voxels: {refusal} "
            "-> correct the mask"
        ) from None
    return Extracted(values, volume.voxels, volume.components, volume.touches_border)


def features_of(volume: LesionVolume) -> Reals:
    """The 851 features of a lesion, NaN where PyRadiomics gives no finite number.

    Raises
    ------
    ValueError
        If PyRadiomics cannot work on the lesion.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Of a feature that does not exist for a lesion; what comes out of it is flagged as missing
        warnings.simplefilter("ignore", RuntimeWarning)
        found = _computed(volume)
    values = np.array([found[name] for name in FEATURES], dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _computed(volume: LesionVolume) -> dict[str, float]:
    """Every feature by its name, along PyRadiomics' own way through a case."""
    from radiomics import imageoperations

    extractor = _extractor()
    image, mask = _itk(volume)
    box, _ = imageoperations.checkMask(image, mask, **extractor.settings)
    found = dict(extractor.computeShape(image, mask, box, **extractor.settings))
    for filtered, name, settings in _images(extractor, image, mask):
        part, lesion = imageoperations.cropToTumorMask(filtered, mask, box)
        found.update(extractor.computeFeatures(part, lesion, name, **settings))
    return found


def _images(extractor: Any, image: Any, mask: Any) -> Iterator[tuple[Any, str, Mapping[str, Any]]]:
    """The image types of the parameter file: filtered image, name, settings."""
    from radiomics import imageoperations

    for kind, custom in extractor.enabledImagetypes.items():
        filtered: Callable[..., Iterator[tuple[Any, str, Mapping[str, Any]]]]
        filtered = getattr(imageoperations, f"get{kind}Image")
        yield from filtered(image, mask, **{**extractor.settings, **custom})


def _itk(volume: LesionVolume) -> tuple[Any, Any]:
    import SimpleITK as sitk  # noqa: N813 - as its own documentation does

    def image(voxels: NDArray[Any]) -> Any:
        made: Any = sitk.GetImageFromArray(voxels)
        made.SetSpacing(volume.spacing_mm)
        return made

    return image(volume.hu), image(volume.lesion.astype(np.uint32))


@cache
def _extractor() -> Any:
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    # It warns nine times a case that SumAverage is twice JointAverage, and of NaN, which are flagged here
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    with as_file(PARAMETERS) as path, warnings.catch_warnings():
        # Its reader of parameter files loads a module in a way that Python 3.12 has no longer
        warnings.simplefilter("ignore", DeprecationWarning)
        return RadiomicsFeatureExtractor(str(path))
