"""Placeholder while the cohort is being written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class OutcomeDefinition:
    """When a hematoma counts as expanded.

    Attributes
    ----------
    endpoint : {"rHE", "cHE"}
        Revised (with IVH) or conventional hematoma expansion.
    ich_absolute_ml, ich_relative : float
        Growth of the ICH that counts: 6 mL or 33 % (Ning et al. 2025).
    ivh_absolute_ml : float
        Growth of the IVH that counts: 1 mL; 0 counts any growth (Yogendrakumar et al. 2020).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    endpoint: Literal["rHE", "cHE"] = "rHE"
    ich_absolute_ml: float = 6.0
    ich_relative: float = 0.33
    ivh_absolute_ml: float = 1.0
