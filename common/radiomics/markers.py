"""The nine NCCT markers as computed suggestions: never a reader's finding, and nowhere put in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from common.imaging.mask import Mask
from common.imaging.scan import Scan
from common.radiomics.density_markers import (
    black_hole_sign,
    blend_sign,
    fluid_level,
    heterogeneous_density,
    hypodensity,
    swirl_sign,
)
from common.radiomics.hematoma import Hematoma, hematoma
from common.radiomics.shape_markers import irregular_shape, island_sign, satellite_sign

Suggest: TypeAlias = Callable[[Hematoma], bool]

SUGGESTIONS: Mapping[str, Suggest] = MappingProxyType(
    {
        one.__name__: one
        for one in (
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
"""What computes each marker, by the name of its column in the cohort table."""

ALGORITHM = 1
"""Raised whenever the same files would give other suggestions; part of every cache key."""

LABEL = "computed suggestion"
"""How these are named wherever they are shown beside a reader's findings."""


def suggested_markers(scan: Scan, mask: Mask) -> Mapping[str, bool]:
    """Each marker's computed suggestion, by the name of its column; of the ICH alone.

    Raises
    ------
    ScanError
        If the mask has no ICH, or no brain is seen beside it.

    References
    ----------
    Ning Y et al. 2025, Fig. 3.
    """
    one = hematoma(scan, mask)
    return {name: suggest(one) for name, suggest in SUGGESTIONS.items()}
