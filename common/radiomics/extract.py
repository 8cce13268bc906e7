"""The 851 features of a lesion: PyRadiomics' own numbers, without its computations outside the lesion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.errors import ScanError
from common.imaging.masks.mask import Mask
from common.imaging.scan import Scan
from common.radiomics.features import FEATURES
from common.radiomics.pyradiomics import features_of, require_size
from common.radiomics.settings import ExtractionSettings
from common.radiomics.volume import LesionVolume, cut_lesion_volume
from common.runtime.machine import bind_threads
from common.types import Reals


@dataclass(frozen=True, eq=False)
class LesionFeatures:
    """The features of one lesion, with facts that help to judge them.

    Attributes
    ----------
    values : Reals of shape (851,)
        In the order of `FEATURES`; float64, NaN where a feature does not exist for this lesion.
    voxels : int
        Number of the lesion's voxels on the extraction's grid.
    components : int
        Number of unconnected parts: satellites, islands, or ICH and IVH. All are extracted as one lesion.
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
        """Names of the features that do not exist for this lesion."""
        return tuple(name for name, value in zip(FEATURES, self.values, strict=True) if np.isnan(value))


def extract(scan: Scan, mask: Mask, settings: ExtractionSettings | None = None) -> LesionFeatures:
    """The features of a lesion, equal to those that PyRadiomics computes on the whole resampled CT.

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
    volume = cut_lesion_volume(scan, mask, settings or ExtractionSettings())
    try:
        # One thread, because a lesion's numbers may not depend on how many processes share the lesions
        with bind_threads(1):
            values = features_of(volume)
    except ValueError as refusal:
        raise ScanError(_describe_refusal(mask, volume, refusal)) from None
    return LesionFeatures(values, volume.voxels, volume.components, volume.touches_border)


def judge_lesion(scan: Scan, mask: Mask, settings: ExtractionSettings) -> LesionVolume:
    """The volume of which features would be extracted.

    Raises
    ------
    ScanError
        If `extract` refuses the lesion because there is none, or for its size.
    """
    volume = cut_lesion_volume(scan, mask, settings)
    try:
        require_size(volume)
    except ValueError as refusal:
        raise ScanError(_describe_refusal(mask, volume, refusal)) from None
    return volume


def _describe_refusal(mask: Mask, volume: LesionVolume, refusal: ValueError) -> str:
    return (
        f"{mask.source}: PyRadiomics refuses the lesion of {volume.voxels} voxels: {refusal} "
        "-> correct the mask"
    )
