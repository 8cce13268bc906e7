"""Which hidden cells of the report's Table 1 follow from the shown ones: integer programs bound each of them.

Unknown are the patients of every site, part, level and outcome; a missing value is a level. Every shown count
is an equation over them, and so is the number of patients of each site, part and outcome, which other pages
show. What a hidden cell can be at least, and at most, is what a reader of the report can find out.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from common.plan.matrix import TablePart
from common.stats.table_one import GROUPS, CategoricalRow
from common.types import Flags, Reals
from server.phases.cohort import DescribedColumn
from tests.reading.received import ReadExchange

Atom = tuple[str, str, int]
"""Site, part and outcome."""


@dataclass(frozen=True)
class HiddenCell:
    """A count that the report hides.

    Attributes
    ----------
    name : str
        Of the variable, column, level and outcome.
    least, greatest : int
        Between which it must lie.
    """

    name: str
    least: int
    greatest: int


@dataclass
class _Table:
    """One variable in all columns."""

    sizes: Mapping[Atom, int]
    levels: int
    rows: list[Flags] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)
    hidden: dict[str, Flags] = field(default_factory=dict)

    def mark(self, column: DescribedColumn, level: int, outcome: int) -> Flags:
        """The unknowns that a cell adds up."""
        parts = {"whole": ("training", "test")}.get(column.column.taken, (column.column.taken,))
        return np.array(
            [
                site in column.column.sites and part in parts and (level, outcome) == (of_level, of_outcome)
                for (site, part, of_outcome) in self.sizes
                for of_level in range(self.levels)
            ]
        )

    def add(self, name: str, cell: Flags, count: int | None) -> None:
        """Take a shown count, or note that it is hidden."""
        if count is None:
            self.hidden[name] = cell
        else:
            self.rows.append(cell)
            self.totals.append(count)

    def bound(self) -> Iterator[HiddenCell]:
        """Every hidden cell with its bounds."""
        sizes = np.kron(np.eye(len(self.sizes)), np.ones(self.levels))
        equations = np.vstack([sizes, *self.rows]).astype(np.float64)
        totals = np.array([*self.sizes.values(), *self.totals], dtype=np.float64)
        known = LinearConstraint(equations, totals, totals)
        for name, cell in self.hidden.items():
            cost = cell.astype(np.float64)
            yield HiddenCell(name, _find_least(cost, known), -_find_least(-cost, known))


def bound_hidden_cells(
    line: ReadExchange, columns: Sequence[DescribedColumn], names: Container[str]
) -> tuple[HiddenCell, ...]:
    """Every hidden count of some of Table 1's categorical variables, with the bounds that the others set."""
    sizes = _count_patients(line)
    cells: list[HiddenCell] = []
    for place, row in enumerate(columns[0].rows):
        if isinstance(row, CategoricalRow) and row.variable.name in names:
            table = _Table(sizes, len(row.variable.levels) + 1)
            for column in columns:
                _read_column(table, column, column.rows[place])
            cells += table.bound()
    return tuple(cells)


def _read_column(table: _Table, column: DescribedColumn, row: object) -> None:
    assert isinstance(row, CategoricalRow)
    tabulation = row.tabulation
    for outcome in range(GROUPS):
        counts = [shown[outcome] for shown in tabulation.counts]
        for level, count in enumerate([*counts, tabulation.n_missing[outcome]]):
            name = (
                f"{row.variable.name} {column.column.taken} {'+'.join(column.column.sites)} {level} {outcome}"
            )
            table.add(name, table.mark(column, level, outcome), None if count is None else int(count))


def _count_patients(line: ReadExchange) -> dict[Atom, int]:
    parts: tuple[TablePart, ...] = ("training", "test")
    return {
        (site, part, outcome): sum(
            (case.part == "test") == (part == "test") and case.positive == bool(outcome)
            for case in analyses.cases
        )
        for site, analyses in line.sites.items()
        for part in parts
        for outcome in range(GROUPS)
    }


def _find_least(cost: Reals, known: LinearConstraint) -> int:
    whole = np.ones(cost.size, dtype=np.int64)
    found = milp(cost, constraints=known, integrality=whole, bounds=Bounds(0, np.inf))
    assert found.success, found.message
    return round(float(found.fun))
