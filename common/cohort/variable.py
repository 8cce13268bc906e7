"""What one column of the cohort table may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["binary", "categorical", "continuous", "path", "text"]
Group = Literal[
    "identity",
    "files",
    "clinical",
    "radiologic",
    "BRAIN score",
    "eligibility",
    "follow-up",
    "repeated readings",
    "study",
    "scores",
]


@dataclass(frozen=True)
class Range:
    """Values that are possible in a living adult's record; whatever lies outside is a mistake of writing.

    Eligibility is not decided here: a patient of 12 years is possible, and excluded later.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"an empty range: {self.low} to {self.high}")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Variable:
    """One column of the cohort table.

    Attributes
    ----------
    name : str
        The column's heading.
    kind : Kind
        binary: 0 or 1; categorical: one of `levels`; continuous: a number; path: a file or DICOM folder.
    group : Group
        What it is for.
    label : str
        As the paper's tables print it.
    meaning : str
        For whoever fills in the table.
    required : bool
        Whether the column must exist; its cells may still be blank where a value is unknown.
    unit : str
        Of a continuous variable; empty for pure numbers.
    possible : Range or None
        Of a continuous variable.
    levels : tuple of str
        Of a categorical variable, in the paper's order.
    decimals : int
        With which a continuous variable is printed.
    """

    name: str
    kind: Kind
    group: Group
    label: str
    meaning: str
    required: bool = True
    unit: str = ""
    possible: Range | None = None
    levels: tuple[str, ...] = ()
    decimals: int = 2

    def __post_init__(self) -> None:
        if (self.kind == "continuous") != (self.possible is not None):
            raise ValueError(f"{self.name}: a range belongs to continuous variables, and to all of them")
        if (self.kind == "categorical") != bool(self.levels):
            raise ValueError(f"{self.name}: levels belong to categorical variables, and to all of them")

    @property
    def allowed(self) -> str:
        """What a cell of this column may hold, in words."""
        if self.possible is not None:
            return f"{self.possible} {self.unit}".strip()
        return {"binary": "0 or 1", "path": "relative path", "text": "text"}.get(
            self.kind, ", ".join(self.levels)
        )
