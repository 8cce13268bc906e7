"""What is extracted: PyRadiomics' own parameter file, and how the volume that it is given is made."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import ClassVar, Literal, TypeAlias

from common.imaging.resample import Interpolation

Voi: TypeAlias = Literal["ICH", "ICH+IVH"]
"""The labels of the mask that form the volume of interest."""

PARAMETERS = files("common.radiomics").joinpath("settings.yaml")
"""PyRadiomics' parameter file."""

PYRADIOMICS = "3.0.1"
"""The release whose numbers these are, pinned in pyproject.toml."""


@dataclass(frozen=True)
class ExtractionSettings:
    """How a CT and its mask become the volume that PyRadiomics is given (Ning et al. 2025, Methods).

    Attributes
    ----------
    voi : {"ICH", "ICH+IVH"}
        Labels of the mask that form the volume of interest.
    spacing_mm : tuple of 3 floats
        Voxel spacing (x, y, z) of the resampled volume, in mm.
    interpolation : {"linear", "bspline"}
        How the image is resampled; masks always are by nearest neighbour.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    voi: Voi = "ICH"
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 5.0)
    interpolation: Interpolation = "linear"

    def __post_init__(self) -> None:
        if min(self.spacing_mm) <= 0:
            raise ValueError(f"spacing_mm must be positive, not {list(self.spacing_mm)}")
