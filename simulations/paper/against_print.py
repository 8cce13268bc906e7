"""Printed numbers against computed ones, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from common.runtime.csv_file import format_csv
from common.runtime.storage import write_atomically
from server.results.file import Results
from simulations.paper.computed import computed_value_of
from simulations.paper.printed_values import (
    CellName,
    Erratum,
    ErratumName,
    PaperCell,
    read_errata,
    read_paper_cells,
)


class Verdict(StrEnum):
    """How one printed cell compares with the study's number."""

    REPRODUCED = "reproduced"
    """The computed number prints alike."""
    ERRATUM = "erratum"
    """The numbers differ, and the printed one is a known misprint."""
    FINER = "finer than rhe"
    """The numbers differ because the paper prints more decimals than rhe keeps: no misprint."""
    NOT_REPRODUCIBLE = "not reproducible"
    """The paper does not print what the number depends on."""
    MISMATCH = "MISMATCH"
    """The numbers differ, and no erratum is known."""
    UNEXPECTED = "UNEXPECTED"
    """The cell is listed as an erratum, but the numbers agree."""

    @property
    def wrong(self) -> bool:
        """Whether the comparison fails."""
        return self in {Verdict.MISMATCH, Verdict.UNEXPECTED}


@dataclass(frozen=True)
class ComparedCell:
    """One printed cell and the study's number.

    Attributes
    ----------
    printed : PaperCell
        The paper's number.
    value : float or None
        The study's number, or None where it has none.
    verdict : Verdict
        How the two compare.
    reason : str
        Why it is an erratum or not reproducible, or what its reproduction means.
    erratum : Erratum or None
        The known error of the printed number, whether it can be compared or not.
    """

    printed: PaperCell
    value: float | None
    verdict: Verdict
    reason: str
    erratum: Erratum | None = None


def compare_cells(results: Results) -> tuple[ComparedCell, ...]:
    """Compare every printed cell of Tables 1 to 3 with the results, in the paper's order."""
    errata = read_errata()
    return tuple(
        _compare_cell(printed, computed_value_of(results, printed.name), errata)
        for printed in read_paper_cells()
    )


def _compare_cell(
    printed: PaperCell, value: float | None, errata: Mapping[CellName, Erratum]
) -> ComparedCell:
    erratum = errata.get(printed.name)
    if not printed.claim.checked:
        reason = printed.claim.reason + (f"; a misprint, {erratum}" if erratum else "")
        return ComparedCell(printed, None, Verdict.NOT_REPRODUCIBLE, reason, erratum)
    agrees = printed.agrees(value)
    if erratum is None:
        verdict = Verdict.REPRODUCED if agrees else Verdict.MISMATCH
        return ComparedCell(printed, value, verdict, printed.claim.reason)
    known = Verdict.FINER if erratum.name is ErratumName.FINER else Verdict.ERRATUM
    return ComparedCell(printed, value, Verdict.UNEXPECTED if agrees else known, erratum.reason, erratum)


def failures_of(cells: Iterable[ComparedCell]) -> tuple[ComparedCell, ...]:
    """The cells that differ without a known erratum, or agree in spite of one."""
    return tuple(cell for cell in cells if cell.verdict.wrong)


def write_comparison(cells: Sequence[ComparedCell], path: Path) -> None:
    """Write every cell as a line of a CSV file."""
    rows: list[tuple[object, ...]] = [
        ("table", "row", "level", "cohort", "cell", "printed", "computed", "verdict", "name", "reason")
    ]
    for cell in cells:
        name = cell.printed.name
        value = "" if cell.value is None else f"{cell.value:.6g}"
        where = (name.table, name.row, name.level, name.cohort, name.cell)
        erratum = "" if cell.erratum is None else cell.erratum.name.value
        rows.append((*where, cell.printed.text, value, cell.verdict.value, erratum, cell.reason))
    write_atomically(path, format_csv(rows).encode())
