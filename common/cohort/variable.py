"""What one column of the cohort table may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

VariableKind: TypeAlias = Literal["binary", "categorical", "continuous", "path", "text"]
"""What a column holds; see `Variable.kind`."""

VariableGroup: TypeAlias = Literal[
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
    "own",
]
"""What a column is for; the data dictionary has one table for each group."""


@dataclass(frozen=True)
class Range:
    """The values that can occur in a real record; a value outside is a writing error.

    Eligibility is not decided here: a patient of 12 years is possible, and excluded later.

    Attributes
    ----------
    low, high : float
        Smallest and largest possible value, both included, in the variable's unit.
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
    kind : VariableKind
        binary: 0 or 1; categorical: one of `levels`; continuous: a number; path: a file or DICOM folder.
    group : VariableGroup
        What it is for.
    label : str
        The name that the paper's tables print.
    meaning : str
        Explanation for the person who fills in the table.
    required : bool
        Whether the column must exist; its cells may still be blank where a value is unknown.
    unit : str
        Unit of a continuous variable; empty for pure numbers.
    possible : Range or None
        Possible values of a continuous variable; None for every other kind.
    levels : tuple of str
        Levels of a categorical variable, in the paper's order; empty for every other kind.
    decimals : int
        Decimals with which a continuous variable is printed.
    whole : bool
        Whether a continuous variable holds whole numbers alone.
    """

    name: str
    kind: VariableKind
    group: VariableGroup
    label: str
    meaning: str
    required: bool = True
    unit: str = ""
    possible: Range | None = None
    levels: tuple[str, ...] = ()
    decimals: int = 2
    whole: bool = False

    def __post_init__(self) -> None:
        if (self.kind == "continuous") != (self.possible is not None):
            raise ValueError(f"{self.name}: a range belongs to continuous variables, and to all of them")
        if (self.kind == "categorical") != bool(self.levels):
            raise ValueError(f"{self.name}: levels belong to categorical variables, and to all of them")

    @property
    def allowed(self) -> str:
        """What a cell of this column may hold, in words."""
        if self.possible is not None:
            return f"{'a whole number, ' if self.whole else ''}{self.possible} {self.unit}".strip()
        return {"binary": "0 or 1", "path": "relative path", "text": "text"}.get(
            self.kind, ", ".join(self.levels)
        )
