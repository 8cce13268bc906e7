"""The paper's Tables 1 to 3 as printed, cell by cell, and the known misprints.

Only the comparison reads these; the rows are made from `facts` alone.

References
----------
Ning et al. (2025), Scientific Reports, Tables 1 to 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from simulations.hospitals.published import PaperCohort
from simulations.paper.facts import HERE, rows_of

_ROUNDED_AUC = frozenset({"auc_low", "auc_high"})
_SLACK = 1e-9
"""Tolerance for floating-point error, far below any printed digit."""


class Claim(StrEnum):
    """What it would mean to reproduce a cell."""

    COMPUTED = "computed"
    """The study computes it over the sites from facts that do not contain it."""
    INPUT = "input"
    """The rows were made from it."""
    RANKS = "ranks"
    """It depends on ranks that the paper does not print."""
    VALUES = "values"
    """It depends on values that the paper does not print."""
    JOINT = "joint"
    """It depends on a joint distribution that the paper does not print."""

    @property
    def reason(self) -> str:
        """The claim in words, for the comparison's reader."""
        return {
            Claim.COMPUTED: "computed over the sites",
            Claim.INPUT: "by construction: the rows were made from it",
            Claim.RANKS: "ranks not printed",
            Claim.VALUES: "values not printed",
            Claim.JOINT: "joint distribution not printed",
        }[self]

    @property
    def checked(self) -> bool:
        """Whether the printed cells determine the number, so that it can be compared."""
        return self in {Claim.COMPUTED, Claim.INPUT}


@dataclass(frozen=True)
class CellName:
    """The position of a number in the paper.

    Attributes
    ----------
    table : int
        1, 2 or 3.
    row, level : str
        Variable or model, and a level of it where the table lists levels.
    cohort : {"training", "internal", "external"}
        Whose patients the number describes.
    cell : str
        Which number of the row, e.g. "negative_count", "auc_low" or "p".
    """

    table: int
    row: str
    level: str
    cohort: PaperCohort
    cell: str

    def __str__(self) -> str:
        """E.g. "Table 1, Location (lobar), training, p"."""
        level = f" ({self.level})" if self.level else ""
        return f"Table {self.table}, {self.row}{level}, {self.cohort}, {self.cell}"


@dataclass(frozen=True)
class PaperCell:
    """One number of the paper.

    Attributes
    ----------
    name : CellName
        Where it stands.
    text : str
        As printed, e.g. "0.007" or "<0.001".
    claim : Claim
        What it would mean to reproduce it.
    """

    name: CellName
    text: str
    claim: Claim

    def agrees(self, value: float | None) -> bool:
        """Whether a computed number prints like this; a half may be rounded up or down.

        A limit of an AUC's interval was computed from an AUC that is known to three decimals only, so it may
        differ by half a digit more.

        Examples
        --------
        >>> name = CellName(1, "Age", "", "training", "p")
        >>> PaperCell(name, "<0.001", Claim.COMPUTED).agrees(0.0002)
        True
        >>> PaperCell(name, "0.190", Claim.COMPUTED).agrees(0.1906)
        False
        """
        if value is None:
            return False
        if self.text.startswith("<"):
            return value < float(self.text[1:])
        decimals = len(self.text.partition(".")[2])
        halves = 2 if self.name.cell in _ROUNDED_AUC else 1
        return abs(value - float(self.text)) <= halves * 0.5 / float(10**decimals) + _SLACK


class ErratumName(StrEnum):
    """What is wrong with a printed cell that the study does not reproduce."""

    CONTRADICTED = "contradicted"
    """The paper's own printed numbers or counts give another number."""
    MISROUNDED = "misrounded"
    """The paper's own counts give a number that rounds to other digits."""
    OF_ANOTHER_ROW = "of another row"
    """The interval is that of another model's AUC."""
    DECIMAL_POINT = "decimal point"
    """It is lost."""
    FINER = "finer than rhe"
    """Nothing is wrong with it: it has more decimals than rhe keeps."""


@dataclass(frozen=True)
class Erratum:
    """Why the study does not reproduce a printed cell.

    Attributes
    ----------
    name : ErratumName
        What kind of error it is.
    reason : str
        What the number is against.
    """

    name: ErratumName
    reason: str

    def __str__(self) -> str:
        """E.g. "misrounded: 4 of 116 are 3.4 %"."""
        return f"{self.name.value}: {self.reason}"


def read_paper_cells() -> tuple[PaperCell, ...]:
    """Every printed cell, in the paper's order."""
    return tuple(
        PaperCell(_parse_name(row), row["printed"], Claim(row["claim"]))
        for row in rows_of(HERE / "printed.csv")
    )


def read_errata() -> Mapping[CellName, Erratum]:
    """The errata by cell, each with its name and reason."""
    return {
        _parse_name(row): Erratum(ErratumName(row["name"]), row["reason"])
        for row in rows_of(HERE / "errata.csv")
    }


def _parse_name(row: Mapping[str, str]) -> CellName:
    cohort = cast("PaperCohort", row["cohort"])
    return CellName(int(row["table"]), row["row"], row["level"], cohort, row["cell"])
