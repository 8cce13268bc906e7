"""How full the cohort's table is and what its columns hold, for the hospital's own eyes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from client.prepare import PreparedCase
from common.cohort.schema import VARIABLES


@dataclass(frozen=True)
class ColumnLine:
    """One column of the table, over the prepared patients.

    Attributes
    ----------
    name : str
    filled, blank : int
        Patients.
    values : str
        Smallest, median and largest of a number; how many have each level of anything else.
    """

    name: str
    filled: int
    blank: int
    values: str


def column_lines(cases: Sequence[PreparedCase]) -> tuple[ColumnLine, ...]:
    """Every column but identifiers and paths, in the schema's order, then the plan's scores.

    Columns of repeated readings are left out where nobody was read again.
    """
    lines = []
    for variable in VARIABLES:
        cells = [case.patient.value(variable.name) for case in cases]
        given = [cell for cell in cells if cell is not None]
        if variable.group == "repeated readings" and not given:
            continue
        if variable.kind == "continuous":
            lines.append(_number_line(variable.name, cells))
        elif variable.kind == "binary":
            lines.append(_line(variable.name, cells, f"{sum(cell == 1 for cell in given)} yes"))
        elif variable.kind == "categorical":
            counts = Counter(given)
            shown = ", ".join(f"{counts[level]} {level}" for level in variable.levels)
            lines.append(_line(variable.name, cells, shown))
    scores = sorted({column for case in cases for column in case.patient.scores})
    lines += [_number_line(column, [case.patient.score(column) for case in cases]) for column in scores]
    return tuple(lines)


def _number_line(name: str, cells: Sequence[float | str | None]) -> ColumnLine:
    numbers = [cell for cell in cells if isinstance(cell, float)]
    if not numbers:
        return _line(name, cells, "")
    shown = f"{min(numbers):g} to {max(numbers):g}, median {statistics.median(numbers):g}"
    return _line(name, cells, shown)


def _line(name: str, cells: Sequence[float | str | None], values: str) -> ColumnLine:
    filled = sum(cell is not None for cell in cells)
    return ColumnLine(name, filled, len(cells) - filled, values if filled else "")
