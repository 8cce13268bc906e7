"""PyRadiomics on a lesion: its own feature classes in its own order, without what they compute in vain.

Each of its six classes copies the image, discretises the same grey levels in a Python loop, counts texture
matrices voxel by voxel, sets NaN aside where there is none, and sorts for each percentile. Here an image is
copied, discretised and sorted once, with PyRadiomics' own bin edges; its classes' own methods are given the
levels, `level_matrices` and plain means. No number changes: integers are the same integers, and sums are
taken in the same order.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file
from types import FunctionType, SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.imaging.nearest import find_extent
from common.radiomics import level_matrices
from common.radiomics.features import FEATURES
from common.radiomics.settings import PARAMETERS
from common.radiomics.volume import LesionVolume
from common.types import Flags, Reals

_Settings: TypeAlias = Mapping[str, Any]
"""Settings as PyRadiomics passes them to its functions."""


@dataclass(frozen=True, eq=False)
class _GreyLevels:
    """An image's grey levels within the lesion's box.

    Attributes
    ----------
    lesion : Flags of shape (z, y, x)
        Voxels of the lesion.
    levels : int array of shape (z, y, x)
        Bins counted from 1; 0 outside.
    present : int array of shape (levels,)
        Those that occur, in rising order.
    """

    lesion: Flags
    levels: NDArray[np.intp]
    present: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _GivenImage:
    """What PyRadiomics' classes ask of an ITK image.

    Attributes
    ----------
    values : array of shape (z, y, x)
        The voxels.
    spacing_mm : tuple of 3 floats
        Voxel spacing (x, y, z), in mm.
    """

    values: NDArray[Any]
    spacing_mm: tuple[float, float, float]

    def GetSpacing(self) -> tuple[float, float, float]:  # noqa: N802 - as ITK names it
        """As `SimpleITK.Image.GetSpacing`."""
        return self.spacing_mm


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
    _convert_lesion(volume)


def _compute(volume: LesionVolume) -> dict[str, float]:
    """Every feature by its name, computed in the order in which PyRadiomics processes a case."""
    from radiomics import getFeatureClasses

    extractor = _load_extractor()
    box, part, mask = _convert_lesion(volume)
    lesion = volume.lesion[box]
    shape = getFeatureClasses()["shape"](part, mask, **extractor.settings).execute()
    features = {f"original_shape_{name}": value for name, value in shape.items()}
    whole = _convert_to_itk(volume.hu, volume), _convert_to_itk(volume.lesion.astype(np.uint32), volume)
    for filtered, name, settings in _filter_images(extractor, *whole):
        values = _GivenImage(_copy_values(filtered)[box], volume.spacing_mm)
        features.update(_compute_image(values, (lesion, mask), name, settings))
    return features


def _filter_images(extractor: Any, image: Any, mask: Any) -> Iterator[tuple[Any, str, _Settings]]:
    """The filtered image, its name and its settings, for each image type of the parameter file."""
    from radiomics import imageoperations

    for kind, custom in extractor.enabledImagetypes.items():
        filtered = getattr(imageoperations, f"get{kind}Image")
        yield from filtered(image, mask, **{**extractor.settings, **custom})


def _compute_image(
    image: _GivenImage, place: tuple[Flags, Any], name: str, settings: _Settings
) -> Iterator[tuple[str, float]]:
    """The name and value of each feature of the classes that the parameter file enables.

    Parameters
    ----------
    image : _GivenImage
        The filtered image within the lesion's box.
    place : tuple of Flags of shape (z, y, x) and ITK image
        The lesion's voxels, in both forms.
    name : str
        Of the filter.
    settings : mapping
        Of the filtered image.
    """
    lesion, mask = place
    levels = _discretise(image.values, lesion, settings)
    for kind, feature_class in _load_classes().items():
        found = feature_class(image, mask, **settings, grey_levels=levels).execute()
        yield from ((f"{name}_{kind}_{feature}", value) for feature, value in found.items())


def _discretise(values: NDArray[Any], lesion: Flags, settings: _Settings) -> _GreyLevels:
    from radiomics import imageoperations

    inside = values[lesion]
    # It uses only the extremes, and finds them fast if it is given two numbers
    edges = imageoperations.getBinEdges(np.array([inside.min(), inside.max()]), **settings)
    bins = np.digitize(inside, edges)
    levels = np.zeros(values.shape, dtype=np.intp)
    levels[lesion] = bins
    # Six classes are given the same arrays
    levels.flags.writeable = lesion.flags.writeable = values.flags.writeable = False
    return _GreyLevels(lesion, levels, np.flatnonzero(np.bincount(bins)))


def _apply_grey_levels(self: Any, _: NDArray[Any]) -> NDArray[np.intp]:
    """The given grey levels, in place of those of `RadiomicsFeaturesBase._applyBinning`."""
    given: _GreyLevels = self.settings["grey_levels"]
    self.coefficients["grayLevels"] = given.present
    self.coefficients["Ng"] = int(given.present[-1])
    return given.levels


def _apply_lesion(self: Any) -> None:
    """The given voxels, in place of those of `RadiomicsFeaturesBase._initSegmentBasedCalculation`."""
    self.maskArray = self.settings["grey_levels"].lesion


def _average(values: NDArray[Any], axis: Any = None, **options: Any) -> Any:
    """As `numpy.nanmean`: a sum and a division, whose result tells whether a value is NaN."""
    if values.dtype == np.float64:
        total = np.add.reduce(values, axis=axis, **options)
        mean = total / (values.size // max(np.size(total), 1))
        if not np.isnan(mean).any():
            return mean
    return np.nanmean(values, axis, **options)


def _sum_up(values: Any, axis: Any = None, **options: Any) -> Any:
    """As `numpy.sum`, without its inspection of what it is given."""
    return np.add.reduce(values, axis=axis, **options)


def _sort_values(self: Any) -> Reals:
    """An image's values in rising order without NaN, shape (1, values); sorted once."""
    ranked: Reals | None = self.coefficients.get("ranked")
    if ranked is None:
        ranked = np.sort(self.targetVoxelArray, axis=1)
        ranked = self.coefficients["ranked"] = ranked[:, : np.count_nonzero(~np.isnan(ranked))]
    return ranked


def _take_percentile(self: Any, percent: float) -> Reals:
    """As `numpy.nanpercentile` of an image's values along axis 1."""
    ranked = _sort_values(self)
    last = ranked.shape[1] - 1
    place = last * (percent / 100)
    before = int(place)
    share = place - before
    lower, upper = ranked[:, before], ranked[:, min(before + 1, last)]
    step = upper - lower
    # Rounded as NumPy does, from the nearer of both
    taken: Reals = upper - step * (1 - share) if share >= 0.5 else lower + step * share
    return taken


def _take_middle(self: Any) -> Reals:
    """As `numpy.nanmedian` of an image's values along axis 1."""
    ranked = _sort_values(self)
    count = ranked.shape[1]
    middle: Reals = (ranked[:, (count - 1) // 2] + ranked[:, count // 2]) / 2
    return middle


_RANKED: Mapping[str, Any] = {
    "get10PercentileFeatureValue": lambda self: _take_percentile(self, 10),
    "get90PercentileFeatureValue": lambda self: _take_percentile(self, 90),
    "getMedianFeatureValue": _take_middle,
    "getInterquartileRangeFeatureValue": lambda self: _take_percentile(self, 75) - _take_percentile(self, 25),
}
"""Methods of `RadiomicsFirstOrder` that sort the values anew each time."""


def _measure_moment(self: Any, values: Reals, moment: int) -> Reals:
    """As `RadiomicsFirstOrder._moment` of the second moment or a higher; each is computed once."""
    known: dict[int, Reals] = self.coefficients.setdefault("moments", {})
    if moment not in known:
        centred = self.coefficients.get("centred")
        if centred is None:
            centred = self.coefficients["centred"] = values - _average(values, 1, keepdims=True)
        known[moment] = _average(np.power(centred, moment), 1)
    return known[moment]


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
        **_rebind_methods(feature_class),
        "__module__": feature_class.__module__,
        "_applyBinning": _apply_grey_levels,
        "_initSegmentBasedCalculation": _apply_lesion,
        # It inspects the class anew for every image: 54 times per lesion
        "getFeatureNames": staticmethod(lambda: dict(names)),
    }
    if kind == "firstorder":
        changes |= {"_moment": _measure_moment, **_RANKED}
    (base,) = feature_class.__bases__
    # It stands between the class and its base, whose `__init__` copies the voxels out of an ITK image
    given = {"sitk": SimpleNamespace(GetArrayFromImage=lambda image: image.values)}
    between = type(base.__name__, (base,), _rebind_methods(base, given))
    return type(kind, (feature_class, between), changes)


def _quicken(scope: Mapping[str, Any]) -> dict[str, Any]:
    """What a class's methods call by the names `cMatrices` and `numpy`, faster."""
    matrices = {name: getattr(level_matrices, name) for name in _COUNTED}
    return {
        "numpy": SimpleNamespace(**{**vars(np), "nanmean": _average, "sum": _sum_up}),
        "cMatrices": SimpleNamespace(**{**vars(scope["cMatrices"]), **matrices}),
    }


def _rebind_methods(feature_class: Any, names: Mapping[str, Any] | None = None) -> dict[str, FunctionType]:
    """The class's own methods, which find by these names what they call."""
    scope = vars(sys.modules[feature_class.__module__])
    faster = _quicken(scope) if names is None else names
    return {
        name: FunctionType(
            method.__code__, {**scope, **faster}, name, method.__defaults__, method.__closure__
        )
        for name, method in vars(feature_class).items()
        if isinstance(method, FunctionType) and method.__globals__ is scope
    }


_COUNTED = ("calculate_glcm", "calculate_glrlm", "calculate_gldm", "calculate_ngtdm")
"""The functions of `cMatrices` that `level_matrices` has; of zones, its own is the fastest."""


def _convert_lesion(volume: LesionVolume) -> tuple[tuple[slice, ...], Any, Any]:
    """The lesion's box, and image and mask within it.

    Raises
    ------
    ValueError
        If PyRadiomics' own check of masks refuses the lesion.
    """
    from radiomics import imageoperations

    box = tuple(slice(first, last + 1) for first, last in find_extent(volume.lesion))
    part = _convert_to_itk(volume.hu[box], volume)
    mask = _convert_to_itk(volume.lesion[box].astype(np.uint32), volume)
    imageoperations.checkMask(part, mask, **_load_extractor().settings)
    return box, part, mask


def _convert_to_itk(voxels: NDArray[Any], volume: LesionVolume) -> Any:
    import SimpleITK as sitk  # noqa: N813 - as its own documentation does

    image: Any = sitk.GetImageFromArray(voxels)
    image.SetSpacing(volume.spacing_mm)
    return image


def _copy_values(image: Any) -> NDArray[Any]:
    import SimpleITK as sitk  # noqa: N813 - as its own documentation does

    values: NDArray[Any] = sitk.GetArrayFromImage(image)
    return values


@cache
def _load_extractor() -> Any:
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    # It warns nine times per case that SumAverage is twice JointAverage, and of NaN, which are flagged here
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    with as_file(PARAMETERS) as path, warnings.catch_warnings():
        # Its reader of parameter files loads a module in a way that Python 3.12 no longer has
        warnings.simplefilter("ignore", DeprecationWarning)
        return RadiomicsFeatureExtractor(str(path))
