"""The preprocessing that a study prescribes; defaults are the paper's (Ning et al. 2025, Methods)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

LesionLabels: TypeAlias = Literal["ICH", "ICH+IVH"]
"""Which labels of the mask form the lesion that is cropped."""


@dataclass(frozen=True)
class Recipe:
    """How a CT and its mask become one network input.

    Attributes
    ----------
    spacing_mm : tuple of 3 floats
        Target voxel spacing (x, y, z).
    window_level_hu, window_width_hu : float
        Intensities outside level ± width/2 are clipped, the rest scaled to [0, 1].
    interpolation : {"linear", "bspline"}
        How the image is interpolated; masks are always resampled by nearest neighbour.
    lesion : {"ICH", "ICH+IVH"}
        The labels that form the lesion.
    margin_mm : float
        Margin on every side of the lesion's box: in the plane for 2D, along all axes for 3D.
    scaling : {"fit", "physical"}
        "fit" resizes the box to the input (the paper's; removes the lesion's size); "physical" keeps
        `physical_mm_per_pixel` and pads or crops centrally.
    physical_mm_per_pixel : float
        In-plane and axial scale of "physical" inputs.
    slices : {1, 3}
        2D only: the largest slice alone, or with both neighbours as channels (2.5D).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 5.0)
    window_level_hu: float = 40.0
    window_width_hu: float = 80.0
    interpolation: Literal["linear", "bspline"] = "linear"
    lesion: LesionLabels = "ICH"
    margin_mm: float = 0.0
    scaling: Literal["fit", "physical"] = "fit"
    physical_mm_per_pixel: float = 0.5
    slices: Literal[1, 3] = 1

    def __post_init__(self) -> None:
        if min(self.spacing_mm) <= 0:
            raise ValueError(f"spacing_mm must be positive, not {list(self.spacing_mm)}")
        if self.window_width_hu <= 0:
            raise ValueError(f"window_width_hu must be positive, not {self.window_width_hu}")
        if self.margin_mm < 0:
            raise ValueError(f"margin_mm must not be negative, not {self.margin_mm}")
        if self.physical_mm_per_pixel <= 0:
            raise ValueError(f"physical_mm_per_pixel must be positive, not {self.physical_mm_per_pixel}")


@dataclass(frozen=True)
class InputShape:
    """The grid that one network takes.

    Attributes
    ----------
    dimensions : {2, 3}
        The largest slice's rectangle, or the lesion's box.
    size : int
        Pixels or voxels along every axis (the paper: 224 in 2D, 112 in 3D).
    """

    dimensions: Literal[2, 3]
    size: int

    def __post_init__(self) -> None:
        if self.size < 8:  # five halvings of anything smaller leave nothing
            raise ValueError(
                f"an input of {self.size} pixels is too small for any of the networks (at least 8)"
            )
