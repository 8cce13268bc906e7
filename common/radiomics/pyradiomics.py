"""PyRadiomics on a lesion: its own classes and their own order, with one discretisation for all of them.

Each of its six classes discretises the same grey levels anew, in a loop of Python. Here an image is
discretised once, on PyRadiomics' own bin edges, and all classes are given the result: the same integers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import as_file
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.radiomics.features import FEATURES
from common.radiomics.settings import PARAMETERS
from common.radiomics.volume import LesionVolume
from common.types import Reals

_Settings: TypeAlias = Mapping[str, Any]
"""As PyRadiomics hands them to its functions."""


def features_of(volume: LesionVolume) -> Reals:
    """The 851 features of a lesion, NaN where PyRadiomics gives no finite number.

    Raises
    ------
    ValueError
        If PyRadiomics cannot work on the lesion.

    References
    ----------
    van Griethuysen JJM et al. Cancer Res 2017;77:e104-e107.
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
        found.update(_of_image(part, lesion, name, settings))
    return found


def _images(extractor: Any, image: Any, mask: Any) -> Iterator[tuple[Any, str, _Settings]]:
    """The image types of the parameter file: filtered image, name, settings."""
    from radiomics import imageoperations

    for kind, custom in extractor.enabledImagetypes.items():
        filtered = getattr(imageoperations, f"get{kind}Image")
        yield from filtered(image, mask, **{**extractor.settings, **custom})


def _of_image(image: Any, mask: Any, name: str, settings: _Settings) -> Iterator[tuple[str, float]]:
    """Each feature's name and value, of the classes that the parameter file enables."""
    levels = _grey_levels(image, mask, settings)
    for kind, made in _classes().items():
        values = made(image, mask, **settings, grey_levels=levels).execute()
        yield from ((f"{name}_{kind}_{feature}", value) for feature, value in values.items())


def _grey_levels(image: Any, mask: Any, settings: _Settings) -> NDArray[np.intp]:
    """The lesion's bins, counted from 1; 0 outside."""
    import SimpleITK as sitk  # noqa: N813 - as its own documentation does
    from radiomics import imageoperations

    values, inside = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask) == 1
    lesion = values[inside]
    # Only the extremes matter to it, and of two numbers Python's min and max are fast
    edges = imageoperations.getBinEdges(np.array([lesion.min(), lesion.max()]), **settings)
    levels = np.zeros(values.shape, dtype=np.intp)
    levels[inside] = np.digitize(lesion, edges)
    return levels


def _apply_grey_levels(self: Any, _: NDArray[Any]) -> NDArray[np.intp]:
    """In place of `RadiomicsFeaturesBase._applyBinning`."""
    levels: NDArray[np.intp] = self.settings["grey_levels"].copy()
    self.coefficients["grayLevels"] = np.unique(levels[self.maskArray])
    self.coefficients["Ng"] = int(self.coefficients["grayLevels"].max())
    return levels


@cache
def _classes() -> Mapping[str, Any]:
    """The enabled feature classes but shape, each taking the grey levels that it is given."""
    from radiomics import getFeatureClasses

    known = getFeatureClasses()
    return {
        kind: type(
            kind, (known[kind],), {"__module__": known[kind].__module__, "_applyBinning": _apply_grey_levels}
        )
        for kind in _extractor().enabledFeatures
        if kind != "shape"
    }


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
