"""Printed against computed, cell by cell, and the sums of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from common.storage import write_atomically
from server.results import Results
from simulations.paper.computed import value_of
from simulations.paper.printed import CellName, PrintedCell, known_errata, printed_cells


class Verdict(StrEnum):
    """What became of one printed cell."""

    REPRODUCED = "reproduced"
    ERRATUM = "erratum"
    NOT_REPRODUCIBLE = "not reproducible"
    MISMATCH = "MISMATCH"
    """Computed otherwise, and no erratum is known."""
    UNEXPECTED = "UNEXPECTED"
    """Listed as an erratum, but reproduced."""

    @property
    def wrong(self) -> bool:
        """Whether the comparison fails."""
        return self in {Verdict.MISMATCH, Verdict.UNEXPECTED}


@dataclass(frozen=True)
class ComparedCell:
    """One printed cell and the study's number.

    Attributes
    ----------
    printed : PrintedCell
    value : float or None
        None where the study has no number.
    verdict : Verdict
    reason : str
        Why it is an erratum or not reproducible, or what its reproduction means.
    """

    printed: PrintedCell
    value: float | None
    verdict: Verdict
    reason: str


def compare(results: Results) -> tuple[ComparedCell, ...]:
    """Every printed cell of Tables 1 to 3 against the results, in the paper's order."""
    errata = known_errata()
    return tuple(_compare(printed, value_of(results, printed.name), errata) for printed in printed_cells())


def _compare(printed: PrintedCell, value: float | None, errata: Mapping[CellName, str]) -> ComparedCell:
    misprint = errata.get(printed.name)
    if not printed.claim.checked:
        reason = printed.claim.reason + (f"; a misprint: {misprint}" if misprint else "")
        return ComparedCell(printed, None, Verdict.NOT_REPRODUCIBLE, reason)
    agrees = printed.agrees(value)
    if misprint is not None:
        return ComparedCell(printed, value, Verdict.UNEXPECTED if agrees else Verdict.ERRATUM, misprint)
    return ComparedCell(
        printed, value, Verdict.REPRODUCED if agrees else Verdict.MISMATCH, printed.claim.reason
    )


def failures(cells: Iterable[ComparedCell]) -> tuple[ComparedCell, ...]:
    """Cells that differ without a known reason, or agree against one."""
    return tuple(cell for cell in cells if cell.verdict.wrong)


def write_comparison(cells: Sequence[ComparedCell], path: Path) -> None:
    """Every cell as a line of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "row", "level", "cohort", "cell", "printed", "computed", "verdict", "reason"])
    for cell in cells:
        name = cell.printed.name
        value = "" if cell.value is None else f"{cell.value:.6g}"
        where = (name.table, name.row, name.level, name.cohort, name.cell)
        writer.writerow([*where, cell.printed.text, value, cell.verdict.value, cell.reason])
    write_atomically(path, text.getvalue().encode())
