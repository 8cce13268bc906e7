"""How full the cohort's table is and what its columns hold, for the hospital's own eyes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from common.cohort.patient import Patient
from common.cohort.schema import BY_NAME, VARIABLES, Variable, find_variable


@dataclass(frozen=True)
class ColumnLine:
    """One column of the table, over some patients.

    Attributes
    ----------
    name : str
        As the table's heading has it.
    filled, blank : int
        How many patients have a value, and how many have none.
    values : str
        Smallest, median and largest of a number; how many have each level of anything else.
    """

    name: str
    filled: int
    blank: int
    values: str


def describe_columns(patients: Sequence[Patient]) -> tuple[ColumnLine, ...]:
    """Every column but identifiers and paths, in the schema's order, then the plan's own, then its scores.

    Columns of repeated readings are left out where nobody was read again.
    """
    lines = []
    own = patients[0].own.values() if patients else ()
    for variable in (*VARIABLES, *_find_further_readings(patients), *own):
        cells = [patient.value(variable.name) for patient in patients]
        given = [cell for cell in cells if cell is not None]
        if variable.group == "repeated readings" and not given:
            continue
        if variable.kind == "continuous":
            lines.append(_describe_number(variable.name, cells))
        elif variable.kind == "binary":
            lines.append(_make_line(variable.name, cells, f"{sum(cell == 1 for cell in given)} yes"))
        elif variable.kind == "categorical":
            counts = Counter(given)
            shown = ", ".join(f"{counts[level]} {level}" for level in variable.levels)
            lines.append(_make_line(variable.name, cells, shown))
    scores = sorted({column for patient in patients for column in patient.scores})
    lines += [_describe_number(column, [patient.score(column) for patient in patients]) for column in scores]
    return tuple(lines)


def _find_further_readings(patients: Sequence[Patient]) -> tuple[Variable, ...]:
    """Columns of third readers and later sessions, in the table's order: the schema does not list them."""
    headings = dict.fromkeys(name for patient in patients for name in patient.values if name not in BY_NAME)
    found = (find_variable(heading) for heading in headings)
    return tuple(variable for variable in found if variable is not None)


def _describe_number(name: str, cells: Sequence[float | str | None]) -> ColumnLine:
    numbers = [cell for cell in cells if isinstance(cell, float)]
    if not numbers:
        return _make_line(name, cells, "")
    shown = f"{min(numbers):g} to {max(numbers):g}, median {statistics.median(numbers):g}"
    return _make_line(name, cells, shown)


def _make_line(name: str, cells: Sequence[float | str | None], values: str) -> ColumnLine:
    filled = sum(cell is not None for cell in cells)
    return ColumnLine(name, filled, len(cells) - filled, values if filled else "")
