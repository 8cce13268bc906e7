"""The paper's Tables 1 to 3 as printed, cell by cell, and what is known to be misprinted.

Only the comparison reads this; rows are made from `facts` alone.

References
----------
Ning et al. (2025), Scientific Reports, Tables 1 to 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from simulations.paper.facts import HERE, Cohort, rows_of

_ROUNDED_AUC = frozenset({"auc_low", "auc_high"})
_SLACK = 1e-9
"""Of floating point, far below any printed digit."""


class Claim(StrEnum):
    """What reproducing a cell would mean."""

    COMPUTED = "computed"
    INPUT = "input"
    RANKS = "ranks"
    VALUES = "values"
    JOINT = "joint"

    @property
    def reason(self) -> str:
        """For the reader."""
        return {
            Claim.COMPUTED: "computed over the sites",
            Claim.INPUT: "by construction: the rows were made from it",
            Claim.RANKS: "ranks not printed",
            Claim.VALUES: "values not printed",
            Claim.JOINT: "joint distribution not printed",
        }[self]

    @property
    def checked(self) -> bool:
        """Whether the printed cells determine it."""
        return self in {Claim.COMPUTED, Claim.INPUT}


@dataclass(frozen=True)
class CellName:
    """Where a number stands.

    Attributes
    ----------
    table : int
    row, level : str
        Variable or model, and a level of it where the table lists levels.
    cohort : {"training", "internal", "external"}
    cell : str
        Which number of the row.
    """

    table: int
    row: str
    level: str
    cohort: Cohort
    cell: str

    def __str__(self) -> str:
        """For messages."""
        level = f" ({self.level})" if self.level else ""
        return f"Table {self.table}, {self.row}{level}, {self.cohort}, {self.cell}"


@dataclass(frozen=True)
class PrintedCell:
    """One number of the paper.

    Attributes
    ----------
    name : CellName
    text : str
        As printed, e.g. "0.007" or "<0.001".
    claim : Claim
    """

    name: CellName
    text: str
    claim: Claim

    def agrees(self, value: float | None) -> bool:
        """Whether a computed number prints like this; either way of rounding a half is right.

        A limit of an AUC's interval was computed from an AUC that is known to three decimals only, so it may
        be off by half a digit more.

        Examples
        --------
        >>> name = CellName(1, "Age", "", "training", "p")
        >>> PrintedCell(name, "<0.001", Claim.COMPUTED).agrees(0.0002)
        True
        >>> PrintedCell(name, "0.190", Claim.COMPUTED).agrees(0.1906)
        False
        """
        if value is None:
            return False
        if self.text.startswith("<"):
            return value < float(self.text[1:])
        decimals = len(self.text.partition(".")[2])
        halves = 2 if self.name.cell in _ROUNDED_AUC else 1
        return abs(value - float(self.text)) <= halves * 0.5 / float(10**decimals) + _SLACK


def printed_cells() -> tuple[PrintedCell, ...]:
    """Every cell in the paper's order."""
    return tuple(
        PrintedCell(_name(row), row["printed"], Claim(row["claim"])) for row in rows_of(HERE / "printed.csv")
    )


def known_errata() -> Mapping[CellName, str]:
    """Why a printed cell cannot be right."""
    return {_name(row): row["reason"] for row in rows_of(HERE / "errata.csv")}


def _name(row: Mapping[str, str]) -> CellName:
    return CellName(int(row["table"]), row["row"], row["level"], cast("Cohort", row["cohort"]), row["cell"])
