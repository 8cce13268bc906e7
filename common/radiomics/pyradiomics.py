"""PyRadiomics on a lesion: its own feature classes in its own order, with one discretisation for all.

Each of its six classes discretises the same grey levels again, in a Python loop. Here an image is discretised
once, with PyRadiomics' own bin edges, and all classes are given the result: the same integers.
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
"""Settings as PyRadiomics passes them to its functions."""


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
        # It warns of features that do not exist for a lesion; these are flagged as missing
        warnings.simplefilter("ignore", RuntimeWarning)
        features = _compute(volume)
    values = np.array([features[name] for name in FEATURES], dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def require_size(volume: LesionVolume) -> None:
    """Refuse a lesion that PyRadiomics' own check of masks refuses: one voxel, or a line of voxels.

    Raises
    ------
    ValueError
        With PyRadiomics' reason.
    """
    from radiomics import imageoperations

    imageoperations.checkMask(*_convert_to_itk(volume), **_load_extractor().settings)


def _compute(volume: LesionVolume) -> dict[str, float]:
    """Every feature by its name, computed in the order in which PyRadiomics processes a case."""
    from radiomics import imageoperations

    extractor = _load_extractor()
    image, mask = _convert_to_itk(volume)
    box, _ = imageoperations.checkMask(image, mask, **extractor.settings)
    features = dict(extractor.computeShape(image, mask, box, **extractor.settings))
    for filtered, name, settings in _filter_images(extractor, image, mask):
        part, lesion = imageoperations.cropToTumorMask(filtered, mask, box)
        features.update(_compute_image(part, lesion, name, settings))
    return features


def _filter_images(extractor: Any, image: Any, mask: Any) -> Iterator[tuple[Any, str, _Settings]]:
    """The filtered image, its name and its settings, for each image type of the parameter file."""
    from radiomics import imageoperations

    for kind, custom in extractor.enabledImagetypes.items():
        filtered = getattr(imageoperations, f"get{kind}Image")
        yield from filtered(image, mask, **{**extractor.settings, **custom})


def _compute_image(image: Any, mask: Any, name: str, settings: _Settings) -> Iterator[tuple[str, float]]:
    """The name and value of each feature of the classes that the parameter file enables."""
    levels = _discretise(image, mask, settings)
    for kind, feature_class in _load_classes().items():
        values = feature_class(image, mask, **settings, grey_levels=levels).execute()
        yield from ((f"{name}_{kind}_{feature}", value) for feature, value in values.items())


def _discretise(image: Any, mask: Any, settings: _Settings) -> NDArray[np.intp]:
    """The bin of each voxel of the lesion, counted from 1; 0 outside. The shape is the image's."""
    import SimpleITK as sitk  # noqa: N813 - as its own documentation does
    from radiomics import imageoperations

    values, inside = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask) == 1
    lesion = values[inside]
    # It uses only the extremes, and finds them fast if it is given two numbers
    edges = imageoperations.getBinEdges(np.array([lesion.min(), lesion.max()]), **settings)
    levels = np.zeros(values.shape, dtype=np.intp)
    levels[inside] = np.digitize(lesion, edges)
    return levels


def _apply_grey_levels(self: Any, _: NDArray[Any]) -> NDArray[np.intp]:
    """The given grey levels, in place of those of `RadiomicsFeaturesBase._applyBinning`."""
    levels: NDArray[np.intp] = self.settings["grey_levels"].copy()
    self.coefficients["grayLevels"] = np.unique(levels[self.maskArray])
    self.coefficients["Ng"] = int(self.coefficients["grayLevels"].max())
    return levels


@cache
def _load_classes() -> Mapping[str, Any]:
    """The enabled feature classes except shape, each changed to use the grey levels that it is given."""
    from radiomics import getFeatureClasses

    feature_classes = getFeatureClasses()
    return {
        kind: _change_class(kind, feature_classes[kind])
        for kind in _load_extractor().enabledFeatures
        if kind != "shape"
    }


def _change_class(kind: str, feature_class: Any) -> Any:
    names = feature_class.getFeatureNames()
    changes = {
        "__module__": feature_class.__module__,
        "_applyBinning": _apply_grey_levels,
        # It inspects the class anew for every image: 54 times per lesion
        "getFeatureNames": staticmethod(lambda: dict(names)),
    }
    return type(kind, (feature_class,), changes)


def _convert_to_itk(volume: LesionVolume) -> tuple[Any, Any]:
    import SimpleITK as sitk  # noqa: N813 - as its own documentation does

    def convert(voxels: NDArray[Any]) -> Any:
        itk_image: Any = sitk.GetImageFromArray(voxels)
        itk_image.SetSpacing(volume.spacing_mm)
        return itk_image

    return convert(volume.hu), convert(volume.lesion.astype(np.uint32))


@cache
def _load_extractor() -> Any:
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    # It warns nine times per case that SumAverage is twice JointAverage, and of NaN, which are flagged here
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    with as_file(PARAMETERS) as path, warnings.catch_warnings():
        # Its reader of parameter files loads a module in a way that Python 3.12 no longer has
        warnings.simplefilter("ignore", DeprecationWarning)
        return RadiomicsFeatureExtractor(str(path))
