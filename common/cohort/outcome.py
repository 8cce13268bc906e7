"""Hematoma expansion from two pairs of volumes: conventional, revised, and for which reasons."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

VOLUME_TOLERANCE_ML = 1e-6
"""Volumes nearer than this are equal.

Volumes are sums of voxels or decimals of a table, so a growth of exactly 6 mL can read
5.999999999999999 in floating point (10.2 - 4.2). A millionth of a millilitre is a 27th of a voxel with
sides of 0.3 mm, and 10,000 times less than the last digit of a volume printed with two decimals: it repairs
rounding and cannot turn a real volume into another class.
"""


class Reason(StrEnum):
    """What makes a hematoma count as expanded."""

    ICH_ABSOLUTE = "ICH grew by the absolute bound"
    ICH_RELATIVE = "ICH grew by the relative bound"
    IVH_GROWTH = "IVH grew by the absolute bound"
    IVH_DE_NOVO = "IVH appeared de novo"


_HEADING = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_LONGEST_LABEL = 40

_CONVENTIONAL = frozenset({Reason.ICH_ABSOLUTE, Reason.ICH_RELATIVE})


@dataclass(frozen=True)
class OutcomeDefinition:
    """What a study predicts: expansion by volumes, or a 0/1 column of the hospitals' tables.

    A growth equal to a bound counts (>=). With a column, no volume is needed for the outcome.

    Attributes
    ----------
    endpoint : {"rHE", "cHE", "column"}
        Revised (with IVH) or conventional hematoma expansion; or what a column of the table says.
    ich_absolute_ml, ich_relative : float
        Growth of the ICH that counts: 6 mL, or a share of 0.33 of the baseline volume (Ning et al. 2025).
    ivh_absolute_ml : float
        Growth of the IVH that counts: 1 mL; 0 counts any growth (Yogendrakumar et al. 2020).
    column : str
        Heading of the 0/1 column; empty where volumes decide.
    label : str
        What a 1 in that column is called in tables, e.g. "Poor outcome".
    meaning : str
        What a 1 means, for whoever fills in the table, e.g. "mRS 3 to 6 at 90 days".

    References
    ----------
    Ning et al. (2025), Scientific Reports, Methods. Yogendrakumar et al. (2020), Stroke 51:1120-1127.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    endpoint: Literal["rHE", "cHE", "column"] = "rHE"
    ich_absolute_ml: float = 6.0
    ich_relative: float = 0.33
    ivh_absolute_ml: float = 1.0
    column: str = ""
    label: str = ""
    meaning: str = ""

    def __post_init__(self) -> None:
        self._check_column()
        for name, bound in (("ich_absolute_ml", self.ich_absolute_ml), ("ich_relative", self.ich_relative)):
            if not (math.isfinite(bound) and bound > 0):
                raise ValueError(f"{name} must be a positive number, not {bound}")
        if not (math.isfinite(self.ivh_absolute_ml) and self.ivh_absolute_ml >= 0):
            raise ValueError(
                f"ivh_absolute_ml must be 0 (any growth) or positive, not {self.ivh_absolute_ml}"
            )

    def _check_column(self) -> None:
        told = {name: text for name, text in self._texts.items() if text}
        if self.endpoint != "column":
            if told:
                raise ValueError(
                    f'{", ".join(told)} without endpoint = "column": volumes decide -> add that line, or '
                    "remove these"
                )
            return
        if absent := [name for name in self._texts if name not in told]:
            raise ValueError(
                f'endpoint = "column" needs {", ".join(absent)} -> name the 0/1 column, what a 1 is called '
                "in tables, and what it means"
            )
        if _HEADING.fullmatch(self.column) is None:
            raise ValueError(
                f"{self.column!r} is no column's name -> a letter first, then letters, digits and '_'"
            )
        if len(self.label) > _LONGEST_LABEL or not self.label.isprintable():
            raise ValueError(f"the label {self.label!r} is too long, or not on one line -> a few words")

    @property
    def _texts(self) -> dict[str, str]:
        return {"column": self.column, "label": self.label, "meaning": self.meaning}

    @property
    def by_volumes(self) -> bool:
        """Whether the volumes of both scans decide."""
        return self.endpoint != "column"

    @property
    def event(self) -> str:
        """What tables call the outcome: "rHE", "cHE", or the column's label."""
        return self.endpoint if self.by_volumes else self.label

    @property
    def noun(self) -> str:
        """What patients have who reached it, in a sentence: "expansion", or the column's label."""
        return "expansion" if self.by_volumes else self.label

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The definition without a column that was not named: older plans keep their hash."""
        return {name: value for name, value in write(self).items() if value or name not in self._texts}


@dataclass(frozen=True)
class Volumes:
    """What one scan's mask holds.

    Attributes
    ----------
    ich_ml, ivh_ml : float
        Volumes of intracerebral and of intraventricular hemorrhage in mL, at least 0.
    """

    ich_ml: float
    ivh_ml: float

    def __post_init__(self) -> None:
        for name, volume_ml in (("ich_ml", self.ich_ml), ("ivh_ml", self.ivh_ml)):
            if not (math.isfinite(volume_ml) and volume_ml >= 0):
                raise ValueError(f"{name} must be a finite volume of at least 0 mL, not {volume_ml}")


@dataclass(frozen=True)
class Expansion:
    """Whether one hematoma expanded, under both definitions.

    Attributes
    ----------
    conventional : bool
        The ICH alone grew enough.
    revised : bool
        The ICH or the IVH grew enough, or IVH appeared.
    reasons : tuple of Reason
        Every bound that was reached, in the order of `Reason`; empty if none.
    """

    conventional: bool
    revised: bool
    reasons: tuple[Reason, ...]

    def __post_init__(self) -> None:
        expected = (not _CONVENTIONAL.isdisjoint(self.reasons), bool(self.reasons))
        if (self.conventional, self.revised) != expected:
            raise ValueError(
                f"conventional={self.conventional}, revised={self.revised} contradict {self.reasons}"
            )

    def positive(self, definition: OutcomeDefinition) -> bool:
        """Whether the plan's endpoint was reached, where volumes decide."""
        return self.revised if definition.endpoint == "rHE" else self.conventional


def classify(baseline: Volumes, followup: Volumes, definition: OutcomeDefinition) -> Expansion:
    """Conventional and revised expansion between two scans, with every reason.

    From a baseline ICH of 0 mL there is no relative growth: only the absolute bound counts. De-novo IVH is
    any IVH where the baseline had none, however small.

    Examples
    --------
    >>> classify(Volumes(20, 0), Volumes(25.9, 0), OutcomeDefinition()).revised
    False
    >>> classify(Volumes(20, 0), Volumes(25.9, 0.2), OutcomeDefinition()).reasons
    (<Reason.IVH_DE_NOVO: 'IVH appeared de novo'>,)

    References
    ----------
    Ning et al. (2025), Scientific Reports, Methods.
    """
    ich_growth_ml = followup.ich_ml - baseline.ich_ml
    ivh_growth_ml = followup.ivh_ml - baseline.ivh_ml
    had_ich = baseline.ich_ml > VOLUME_TOLERANCE_ML
    had_ivh = baseline.ivh_ml > VOLUME_TOLERANCE_ML
    reached = {
        Reason.ICH_ABSOLUTE: _reaches(ich_growth_ml, definition.ich_absolute_ml),
        Reason.ICH_RELATIVE: had_ich and _reaches(ich_growth_ml, definition.ich_relative * baseline.ich_ml),
        Reason.IVH_GROWTH: _reaches(ivh_growth_ml, definition.ivh_absolute_ml),
        Reason.IVH_DE_NOVO: not had_ivh and followup.ivh_ml > VOLUME_TOLERANCE_ML,
    }
    reasons = tuple(reason for reason in Reason if reached[reason])
    return Expansion(
        conventional=not _CONVENTIONAL.isdisjoint(reasons), revised=bool(reasons), reasons=reasons
    )


def _reaches(growth_ml: float, bound_ml: float) -> bool:
    """Whether a volume grew at all, and by at least the bound."""
    return growth_ml > VOLUME_TOLERANCE_ML and growth_ml >= bound_ml - VOLUME_TOLERANCE_ML
