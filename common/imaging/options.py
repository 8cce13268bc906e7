"""How a CT is read where a site or a study may choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

MissingSlices: TypeAlias = Literal["refuse", "far-from-lesion"]
"""Whether a scan that lacks slices is refused, or used where none is near the lesion."""


@dataclass(frozen=True)
class SeriesRule:
    """Which of several CT series in a folder is read; without any wish, several are refused.

    Attributes
    ----------
    description : str
        Pattern of the series' description, as in a shell (`*head*`), capitals or not; empty: any.
    kernel : str
        Pattern of the convolution kernel; empty: any.
    thinnest_soft_tissue : bool
        Whether the thinnest axial series of a soft-tissue kernel is taken of those that fit.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    description: str = ""
    kernel: str = ""
    thinnest_soft_tissue: bool = False


@dataclass(frozen=True)
class ReadingOptions:
    """What a site or a study chose.

    Attributes
    ----------
    series : SeriesRule
        The site's: which of several series is read.
    missing_slices : MissingSlices
        The study's: whether a scan that lacks slices is refused, or used where none is near the lesion.
    """

    series: SeriesRule = SeriesRule()
    missing_slices: MissingSlices = "refuse"


NO_CHOICE = ReadingOptions()
"""No choice among series, no missing slice."""
