"""The nine NCCT markers as computed suggestions, which never replace a reader's finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from common.imaging.masks.mask import Mask
from common.imaging.scan import Scan
from common.radiomics.density_markers import (
    black_hole_sign,
    blend_sign,
    fluid_level,
    heterogeneous_density,
    hypodensity,
    swirl_sign,
)
from common.radiomics.hematoma import Hematoma, cut_hematoma
from common.radiomics.shape_markers import irregular_shape, island_sign, satellite_sign

Suggest: TypeAlias = Callable[[Hematoma], bool]
"""Whether a hematoma shows one marker."""

SUGGESTIONS: Mapping[str, Suggest] = MappingProxyType(
    {
        suggest.__name__: suggest
        for suggest in (
            irregular_shape,
            satellite_sign,
            island_sign,
            black_hole_sign,
            blend_sign,
            fluid_level,
            swirl_sign,
            hypodensity,
            heterogeneous_density,
        )
    }
)
"""The function that computes each marker, by the name of the marker's column in the cohort table."""

MARKER_ALGORITHM = 1
"""Raised whenever the same files would give other suggestions; part of every cache key."""

LABEL = "computed suggestion"
"""How suggestions are named wherever they are shown beside a reader's findings."""


def suggest_markers(scan: Scan, mask: Mask) -> Mapping[str, bool]:
    """The computed suggestion of each marker, by the name of its column; from the ICH alone.

    Raises
    ------
    ScanError
        If the mask has no ICH, or no brain is seen beside it.

    References
    ----------
    Ning Y et al. 2025, Fig. 3.
    """
    hematoma = cut_hematoma(scan, mask)
    return {name: suggest(hematoma) for name, suggest in SUGGESTIONS.items()}
